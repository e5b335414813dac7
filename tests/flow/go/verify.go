// SPDX-License-Identifier: Apache-2.0

// Verify a bundle's checkpoint, manifest and inclusion proofs with Go's own sumdb packages
// (golang.org/x/mod/sumdb/note and tlog), and nothing of ours:
//
//	verify BUNDLE LEDGER-KEY MANIFEST-KEY
//
// The keys are verifier keys from the trust file. The packages know Ed25519 only; an ECDSA key
// (C2SP signed-note, type 2) takes the small Verifier below.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ecdsaVerifier is a key of type 2: SHA-256, ASN.1 signatures, its ID from the SPKI alone.
type ecdsaVerifier struct {
	name string
	hash uint32
	key  *ecdsa.PublicKey
}

func (v ecdsaVerifier) Name() string    { return v.name }
func (v ecdsaVerifier) KeyHash() uint32 { return v.hash }
func (v ecdsaVerifier) Verify(message, signature []byte) bool {
	digest := sha256.Sum256(message)
	return ecdsa.VerifyASN1(v.key, digest[:], signature)
}

func fail(format string, arguments ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func must(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func verifierOf(vkey string) note.Verifier {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		fail("not a verifier key: %s", vkey)
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	must(err, vkey)
	if len(key) > 0 && key[0] == 1 {
		verifier, err := note.NewVerifier(vkey)
		must(err, vkey)
		return verifier
	}
	if len(key) == 0 || key[0] != 2 {
		fail("neither an Ed25519 nor an ECDSA key: %s", vkey)
	}
	public, err := x509.ParsePKIXPublicKey(key[1:])
	must(err, vkey)
	digest := sha256.Sum256(key[1:])
	if hex.EncodeToString(digest[:4]) != parts[1] {
		fail("the key's ID is not its hash: %s", vkey)
	}
	return ecdsaVerifier{parts[0], binary.BigEndian.Uint32(digest[:4]), public.(*ecdsa.PublicKey)}
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	must(err, path)
	return data
}

func openNote(path, vkey string) string {
	opened, err := note.Open(read(path), note.VerifierList(verifierOf(vkey)))
	must(err, path)
	return opened.Text
}

// checkpoint: origin, size, root (c2sp.org/tlog-checkpoint).
func checkpoint(text string) (int64, tlog.Hash) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		fail("a checkpoint has three lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err, "size")
	root, err := tlog.ParseHash(lines[2])
	must(err, "root")
	return size, root
}

// included: is the entry a leaf of the tree, by its c2sp.org/tlog-proof@v1 file?
func included(folder, entry, proof string, size int64, root tlog.Hash) {
	parts := bytes.SplitN(read(filepath.Join(folder, proof)), []byte("\n\n"), 2)
	if len(parts) != 2 || !bytes.Equal(parts[1], read(filepath.Join(folder, "checkpoint"))) {
		fail("%s: of another checkpoint", proof)
	}
	lines := strings.Split(string(parts[0]), "\n")
	if len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		fail("%s: not a proof", proof)
	}
	index, err := strconv.ParseInt(lines[1][len("index "):], 10, 64)
	must(err, proof)
	var hashes tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		must(err, proof)
		hashes = append(hashes, hash)
	}
	leaf := tlog.RecordHash(read(filepath.Join(folder, entry)))
	must(tlog.CheckRecord(hashes, size, root, index, leaf), proof)
	if tlog.CheckRecord(hashes, size, root, index^1, leaf) == nil {
		fail("%s: it proves another place just as well", proof)
	}
}

func main() {
	if len(os.Args) != 4 {
		fail("usage: verify BUNDLE LEDGER-KEY MANIFEST-KEY")
	}
	folder := os.Args[1]
	size, root := checkpoint(openNote(filepath.Join(folder, "checkpoint"), os.Args[2]))
	for _, line := range strings.Split(openNote(filepath.Join(folder, "manifest"), os.Args[3]), "\n") {
		if len(line) < 67 {
			continue // the first line, and the end
		}
		digest := sha256.Sum256(read(filepath.Join(folder, line[66:])))
		if hex.EncodeToString(digest[:]) != line[:64] {
			fail("%s: not the file of the manifest", line[66:])
		}
	}
	entries, err := filepath.Glob(filepath.Join(folder, "entries", "*.json"))
	must(err, "entries")
	for _, entry := range entries {
		name := strings.TrimSuffix(filepath.Base(entry), ".json")
		included(folder, "entries/"+name+".json", "entries/"+name+".tlog-proof", size, root)
	}
	included(folder, "cert-entry.json", "certificate.tlog-proof", size, root)
	fmt.Printf("%d entries of a log of %d\n", len(entries)+1, size)
}
