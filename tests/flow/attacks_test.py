# SPDX-License-Identifier: Apache-2.0
"""
Attacks of a malicious or compelled operator on an erasure, numbered as in docs/threat-model.md, in a
real house: each is refused, seen by whoever kept something, or named as what is left. Attacks 1 and 4
are in erase_test.py, those that need a lying module, or every key of a forger, in the unit tests.
"""
import json
import os
import shutil
import subprocess
import time

import house
from erase_test import ERASED, KEY_STATE, Contract

CLOCK = 2.5  # seconds until heads and statements are signed


class Attacks(Contract):
    """The operator has kmsd, its store, and the system token with its PIN; kept from yesterday."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        it = cls()
        cls.key, cls.dataset, cls.sealed = it.make_archive()
        time.sleep(CLOCK)
        cls.keep("yesterday")
        for _ in range(3):
            it.decrypt(cls.dataset, cls.sealed)
        time.sleep(CLOCK)
        cls.checkpoint = cls.house.folder / "checkpoint"  # somebody keeps it
        shutil.copy(cls.house.dir / "tiles/checkpoint", cls.checkpoint)
        cls.erasure = it.erase("--key", cls.key)
        cls.bundle = it.certificate(cls.erasure)
        time.sleep(CLOCK)
        cls.keep("today")

    @classmethod
    def keep(cls, name):
        cls.house.stop()
        subprocess.run(["cp", "-a", cls.house.dir, cls.house.folder / name], check=True)
        cls.house.start()

    def setUp(self):
        """Everything as it is today."""
        self.house.stop()
        self.put_back("today", ".")

    def put_back(self, day, *parts):
        for part in parts:
            shutil.rmtree(self.house.dir / part)
            subprocess.run(["cp", "-a", self.house.folder / day / part, self.house.dir / part], check=True)

    def forget(self):
        """The operator's day begins again at yesterday's end, and the ledger's key signs that."""
        self.put_back("yesterday", "store", "tiles", "system/token/state")
        self.house.start()
        time.sleep(CLOCK)

    def verify_copy(self, change):
        """kms verify of a bundle that somebody changed."""
        folder = self.house.folder / f"changed-{self.id()}"
        shutil.copytree(self.bundle, folder)
        change(folder)
        return self.verify_bundle(folder)

    def test_attack_3_statement_by_another_key_than_the_pinned_one(self):
        """As the verifier sees it: the pin is another token's statement key."""
        trust = self.house.dir / "trust.json"
        pins = json.loads(trust.read_text())
        lines = (self.house.dir / "platform/system-pins.yaml").read_text()
        other = next(line.split("'")[1] for line in lines.splitlines() if line.startswith("ledger_key:"))
        for token in pins["tokens"]:
            token["statement_key"] = other
        trust.write_text(json.dumps(pins))
        code, report = self.verify_bundle(self.bundle)
        self.assertNotEqual(code, 0)
        self.assert_failed(report, 5)

    def assert_failed(self, report, step):
        steps = {row["step"]: row["result"] for row in report["steps"]}
        self.assertEqual(steps[step], "fail", json.dumps(report, indent=1))

    def test_attack_5_data_keys_that_were_handed_out_are_counted_and_outside(self):
        certificate = json.loads((self.bundle / "certificate.json").read_text())
        leases = certificate["leases"]
        del leases["seen"]
        # kms gave each back when it ended.
        self.assertEqual(leases, {"handed_out": 1 + 3, "returned": 1 + 3, "clients": 0, "last_end": None})
        self.assertIn("Data keys that were handed out before", certificate["scope"]["excluded"][0])
        page = (self.bundle / "certificate.html").read_text()
        self.assertIn("Data keys that were handed out before", page)

    def test_attack_7_forgotten_uses_are_named(self):
        """Three uses before the erasure were recorded and are so no more; kms-tokend has counted them."""
        self.forget()
        report = self.house.verify(check=False)
        self.assertRegex(json.dumps(report), r"counts \d+ uses, and only \d+")

    def test_attack_7_bundle_without_a_result(self):
        certificate = json.loads((self.bundle / "certificate.json").read_text())
        seq = next(row["seq"] for row in certificate["events"] if row["type"] == "destroy.execute.result")

        def leave_out(folder):
            for kind in ("json", "tlog-proof"):
                (folder / f"entries/{seq}.{kind}").unlink()

        code, report = self.verify_copy(leave_out)
        self.assertNotEqual(code, 0)
        self.assert_failed(report, 1)
        self.assert_failed(report, 4)

    def test_attack_10_forged_tail_is_no_extension_of_a_checkpoint_that_was_kept(self):
        self.forget()
        self.new_key("what never was")
        time.sleep(CLOCK)
        # its own checkpoint is the ledger key's word ...
        self.assertNotEqual((self.house.dir / "tiles/checkpoint").read_text(), self.checkpoint.read_text())
        self.assertNotIn("older checkpoint", json.dumps(self.house.verify(check=False)))
        # ... and neither the auditor's nor the certificate's is in its past
        for older in (self.checkpoint, self.bundle / "checkpoint"):
            report = self.house.verify("--older", older, check=False)
            self.assertIn("older checkpoint", json.dumps(report))

    def test_attack_11_bundle_verifies_when_all_of_kmsd_is_gone(self):
        for part in ("store", "tiles", "system", "kmsd", "acme"):
            shutil.rmtree(self.house.dir / part)
        try:
            code, report = self.verify_bundle(self.bundle)
        finally:
            for part in ("store", "tiles", "system", "kmsd", "acme"):
                subprocess.run(
                    ["cp", "-a", self.house.folder / "today" / part, self.house.dir / part], check=True)
        self.assertEqual((code, report["status"]), (0, "final"), json.dumps(report, indent=1))


class LyingModule(Contract):
    """Attack 8: a PKCS#11 module that answers CKR_OK to C_DestroyObject and keeps the key."""

    SHIM = house.BUILD / "tests/unit/p11_shim.so"

    def restart_with(self, module, words):
        profile = self.house.dir / "acme/softhsm.yaml"
        lines = profile.read_text().splitlines()
        self.house.stop("acme")
        profile.write_text("".join(
            (f"module: {module}" if line.startswith("module:") else line) + "\n" for line in lines))
        house.ENVIRONMENT["KMS_WRAP_acme"] = words
        try:
            self.house.start("acme")
        finally:
            del house.ENVIRONMENT["KMS_WRAP_acme"]

    def test_attack_8_key_that_a_module_keeps_is_not_certified(self):
        key, dataset, sealed = self.make_archive()
        self.restart_with(self.SHIM, "env KMS_SHIM_DESTROY_LIES=1")
        self.eventually(lambda: self.decrypt(dataset, sealed))
        erasure = self.request("--key", key)
        self.approve(erasure)
        self.assertEqual(self.execute(erasure, check=False)["state"], "executing")
        self.refuse_decrypt(dataset, sealed, KEY_STATE)
        self.assertIn(key, json.dumps(self.entries("alarm")))
        folder = self.certificate(erasure)
        certificate = json.loads((folder / "certificate.json").read_text())
        self.assertEqual([copy["removed_seq"] for copy in certificate["copies"]], [None])
        self.assertEqual(self.verify_bundle(folder)[1]["status"], "provisional")
        # an honest module is told again, by itself
        self.restart_with("/usr/lib/softhsm/libsofthsm2.so", "")
        self.eventually(lambda: self.assertEqual(self.state(erasure), "done"))
        self.refuse_decrypt(dataset, sealed, ERASED)
        self.assertEqual(self.verify_bundle(self.certificate(erasure))[1]["status"], "final")


if __name__ == "__main__":
    house.main()
