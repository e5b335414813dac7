# SPDX-License-Identifier: Apache-2.0
"""A bundle, verified by somebody else's code: Go's sumdb/note and sumdb/tlog, as Debian ships them."""
import json
import os
import pathlib
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

    def verify(self, folder, ledger=None, manifest=None):
        return subprocess.run(
            [self.program, folder, ledger or self.trust["ledger_keys"][0], manifest or self.trust["manifest_key"]],
            capture_output=True, text=True)

    def changed(self, name, change):
        folder = self.house.folder / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.bundle, folder)
        path = folder / name
        path.write_bytes(change(path.read_bytes()))
        return folder

    def test_bundle_verifies(self):
        result = self.verify(self.bundle)
        self.assertEqual(result.returncode, 0, result.stderr)
        # key.create.intent and .result; request, approvals, intent, result, final; cert.issue
        self.assertRegex(result.stdout, r"^9 entries of a log of \d+\n$")

    def test_other_keys_do_not(self):
        for keys in ({"ledger": self.trust["manifest_key"]}, {"manifest": self.trust["ledger_keys"][0]}):
            self.assertEqual(self.verify(self.bundle, **keys).returncode, 1)

    def test_a_changed_file_does_not(self):
        for name in ("certificate.json", "cert-entry.json", "checkpoint", "certificate.tlog-proof", "manifest"):
            with self.subTest(name):
                folder = self.changed(name, lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
                self.assertEqual(self.verify(folder).returncode, 1)


if __name__ == "__main__":
    house.main()
