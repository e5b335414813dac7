# SPDX-License-Identifier: Apache-2.0
"""A bundle and the tiles, verified by somebody else's code: Go's sumdb/note and sumdb/tlog, as Debian
ships them. The ledger's Ed25519 key goes to their own verifier as the trust file has it."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

import house

PACKAGES = pathlib.Path("/usr/share/gocode")  # golang-golang-x-mod-dev
GO = next((p for p in ("/usr/lib/go-1.19/bin/go", "/usr/bin/go") if pathlib.Path(p).exists()), None)
PROGRAM = pathlib.Path(__file__).with_name("go") / "verify.go"
MISSING = None
if GO is None:
    MISSING = "there is no Go here: scripts/install-packages --test installs golang-go"
elif not (PACKAGES / "src/golang.org/x/mod/sumdb/tlog").exists():
    MISSING = "Go's sumdb packages are not here: scripts/install-packages --test installs golang-golang-x-mod-dev"


@unittest.skipIf(MISSING, MISSING)
class Go(house.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = cls.house.folder / "verify"
        cls.go("build", "-o", cls.program, PROGRAM)
        cls.trust = json.loads((cls.house.dir / "trust.json").read_text())
        cls.bundle = cls.house.folder / "bundle"
        cls.erase()

    @classmethod
    def go(cls, *arguments):
        environment = dict(
            os.environ, GO111MODULE="off", GOPATH=str(PACKAGES), GOFLAGS="", GOTOOLCHAIN="local",
            GOCACHE=str(cls.house.folder / "go-cache"), HOME=str(cls.house.folder))
        subprocess.run([GO, *map(str, arguments)], check=True, env=environment)

    @classmethod
    def erase(cls):
        """One key's whole erasure, and its certificate."""
        run = cls.house.run
        key = cls.house.json("custodian-1", "key", "create", "--label", "archive")["id"]
        erasure = cls.house.json(
            "custodian-1", "erase", "request", "--key", key, "--window", "0s", "--yes")["id"]
        for who in ("approver-1", "approver-2"):
            key = cls.house.dir / "tenant/people" / f"{who}.approval.key"
            run(who, "erase", "approve", "--yes", "--sign-key", key, erasure)
        run("custodian-1", "erase", "execute", erasure)
        run("custodian-1", "erase", "certificate", "--output", cls.bundle, erasure)

    def program_says(self, *arguments):
        return subprocess.run([self.program, *arguments], capture_output=True, text=True)

    def verify(self, folder, p256=None, ed25519=None, manifest=None):
        keys = self.trust["ledger_keys"]
        return self.program_says("bundle", folder, p256 or keys[0], ed25519 or keys[1],
                                 manifest or self.trust["manifest_key"])

    def copy(self, source, name, change):
        """A copy of the folder with that file changed."""
        folder = self.house.folder / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        path = folder / name
        before = path.read_bytes()
        path.write_bytes(change(before))
        self.assertNotEqual(path.read_bytes(), before)
        return folder

    def changed(self, name, change):
        return self.copy(self.bundle, name, change)

    def test_bundle_verifies(self):
        result = self.verify(self.bundle)
        self.assertEqual(result.returncode, 0, result.stderr)
        # key.create.intent and .result; request, approvals, intent, result, final; cert.issue
        self.assertRegex(result.stdout, r"^9 entries of a log of \d+\n$")

    def test_other_keys_do_not(self):
        other = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
        for keys in ({"p256": self.trust["manifest_key"]}, {"manifest": self.trust["ledger_keys"][0]},
                     {"ed25519": other}):
            self.assertEqual(self.verify(self.bundle, **keys).returncode, 1)

    def test_a_changed_file_does_not(self):
        for name in ("certificate.json", "cert-entry.json", "checkpoint", "certificate.tlog-proof", "manifest"):
            with self.subTest(name):
                folder = self.changed(name, lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
                self.assertEqual(self.verify(folder).returncode, 1)

    def test_each_signature_counts(self):
        """The lines of the checkpoint: three of text, an empty one, P-256, Ed25519."""
        def line(data, at, change):
            lines = data.split(b"\n")
            self.assertEqual(len(lines), 7)
            lines[at:at + 1] = change(lines[at])
            return b"\n".join(lines)

        def other(text):  # one character of the signature, in the middle of it
            return [text[:-40] + (b"A" if text[-40:-39] != b"A" else b"B") + text[-39:]]

        for at in (4, 5):
            for change in (other, lambda text: []):
                folder = self.changed("checkpoint", lambda data: line(data, at, change))
                result = self.verify(folder)
                self.assertEqual(result.returncode, 1)
                self.assertIn("checkpoint: ", result.stderr)

    # ---- tiles ----

    def tiles(self):
        """A copy of the published files: those are replaced while somebody reads them."""
        folder = self.house.folder / "tiles"
        shutil.rmtree(folder, ignore_errors=True)

        def whole():
            try:
                shutil.copytree(self.house.dir / "tiles", folder, dirs_exist_ok=True)
            except (OSError, shutil.Error) as error:
                self.fail(error)
            result = self.program_says("tiles", folder, self.trust["ledger_keys"][1])
            self.assertEqual(result.returncode, 0, result.stderr)
            # The files come a little after the entries: log.open and those of the bundle, at least.
            self.assertGreaterEqual(int(re.fullmatch(r"(\d+) leaves\n", result.stdout)[1]), 10)

        self.eventually(whole)
        return folder

    def test_tiles_verify_with_the_ed25519_key_alone(self):
        self.tiles()

    def test_changed_tiles_do_not(self):
        folder = self.tiles()
        size = int((folder / "checkpoint").read_text().split("\n")[1])
        self.assertLess(size, 256)
        bit = lambda at: lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
        key = self.trust["ledger_keys"][1]
        root = (folder / "checkpoint").read_bytes().index(b"\n", 30) + 1
        for name, change in (
                (f"tile/0/000.p/{size}", bit(0)),
                (f"tile/0/000.p/{size}", bit(32 * size - 1)),
                (f"tile/0/000.p/{size}", lambda data: data[:-32]),
                ("checkpoint", bit(0)),
                ("checkpoint", bit(root)),
                ("checkpoint", bit(-20)),
                ("checkpoint", lambda data: data[:data.rindex(b"\n", 0, -1) + 1])):
            result = self.program_says("tiles", self.copy(folder, name, change), key)
            self.assertEqual(result.returncode, 1, (name, result.stdout))


if __name__ == "__main__":
    house.main()
