// SPDX-License-Identifier: Apache-2.0

// Verify our ledger with Go's own sumdb packages (golang.org/x/mod/sumdb/note and tlog), and nothing
// of ours:
//
//	verify bundle BUNDLE P256-KEY ED25519-KEY MANIFEST-KEY
//	verify tiles FOLDER ED25519-KEY
//
// a bundle's checkpoint, manifest and inclusion proofs; or a checkpoint and the tiles under it
// (c2sp.org/tlog-tiles). The keys are verifier keys from the trust file. The Ed25519 key goes to
// note.NewVerifier as it is; a P-256 key (C2SP signed-note, type 2) takes the small Verifier below.
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

func p256(vkey string) note.Verifier {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		fail("not a verifier key: %s", vkey)
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	must(err, vkey)
	if len(key) == 0 || key[0] != 2 {
		fail("not an ECDSA key: %s", vkey)
	}
	public, err := x509.ParsePKIXPublicKey(key[1:])
	must(err, vkey)
	digest := sha256.Sum256(key[1:])
	if hex.EncodeToString(digest[:4]) != parts[1] {
		fail("the key's ID is not its hash: %s", vkey)
	}
	return ecdsaVerifier{parts[0], binary.BigEndian.Uint32(digest[:4]), public.(*ecdsa.PublicKey)}
}

func ed25519(vkey string) note.Verifier {
	verifier, err := note.NewVerifier(vkey)
	must(err, vkey)
	return verifier
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	must(err, path)
	return data
}

// openNote: the text that every one of them signed.
func openNote(data []byte, what string, verifiers ...note.Verifier) string {
	opened, err := note.Open(data, note.VerifierList(verifiers...))
	must(err, what)
	if len(opened.Sigs) != len(verifiers) {
		fail("%s: %d of %d signatures", what, len(opened.Sigs), len(verifiers))
	}
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

// included: is the entry a leaf of the tree, by its c2sp.org/tlog-proof@v1 file? The checkpoint in
// that file is opened with the Ed25519 key alone: nothing else is needed.
func included(folder, entry, proof string, by note.Verifier) {
	parts := bytes.SplitN(read(filepath.Join(folder, proof)), []byte("\n\n"), 2)
	if len(parts) != 2 || !bytes.Equal(parts[1], read(filepath.Join(folder, "checkpoint"))) {
		fail("%s: of another checkpoint", proof)
	}
	size, root := checkpoint(openNote(parts[1], proof, by))
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

func bundle(folder, logP256, logEd25519, manifest string) {
	first, second := p256(logP256), ed25519(logEd25519)
	data := read(filepath.Join(folder, "checkpoint"))
	text := openNote(data, "checkpoint", second)
	if openNote(data, "checkpoint", first) != text || openNote(data, "checkpoint", first, second) != text {
		fail("the signatures are of different texts")
	}
	size, _ := checkpoint(text)
	list := openNote(read(filepath.Join(folder, "manifest")), "manifest", p256(manifest))
	for _, line := range strings.Split(list, "\n") {
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
		included(folder, "entries/"+name+".json", "entries/"+name+".tlog-proof", second)
	}
	included(folder, "cert-entry.json", "certificate.tlog-proof", second)
	fmt.Printf("%d entries of a log of %d\n", len(entries)+1, size)
}

// mirror reads tiles from a folder. tlog-tiles has one height, and Go's paths name it.
type mirror struct{ folder string }

func (m mirror) Height() int                             { return 8 }
func (m mirror) SaveTiles(tiles []tlog.Tile, d [][]byte) {}
func (m mirror) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(m.folder, path))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// tiles: each leaf's hash, authenticated up to the root by tlog's own reader.
func tiles(folder, key string) {
	size, root := checkpoint(openNote(read(filepath.Join(folder, "checkpoint")), "checkpoint", ed25519(key)))
	reader := tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, mirror{folder})
	for i := int64(0); i < size; i++ {
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
		must(err, "tiles")
		proof, err := tlog.ProveRecord(size, i, reader)
		must(err, "tiles")
		must(tlog.CheckRecord(proof, size, root, i, leaf[0]), "tiles")
	}
	fmt.Printf("%d leaves\n", size)
}

func main() {
	switch {
	case len(os.Args) == 6 && os.Args[1] == "bundle":
		bundle(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	case len(os.Args) == 4 && os.Args[1] == "tiles":
		tiles(os.Args[2], os.Args[3])
	default:
		fail("usage: verify bundle BUNDLE P256-KEY ED25519-KEY MANIFEST-KEY\n       verify tiles FOLDER ED25519-KEY")
	}
}
