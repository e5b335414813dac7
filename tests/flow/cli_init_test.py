#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kms init: the files that each organisation begins with, from certificates that openssl makes."""

import base64
import hashlib
import json
import os
import subprocess
import tempfile
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path

KMS = Path(os.environ["KMS_BUILD"]) / "cli/kms"
PURPOSE = "2.25.81681696137807981867546420679643474028"
TENANT = "33333333-0000-4000-8000-000000000033"
TOKEN = "22222222-0000-4000-8000-000000000022"
SYSTEM = "44444444-0000-4000-8000-000000000044"
FACTS = {
    "class": "software", "manufacturer": "SoftHSM project", "model": "SoftHSM v2",
    "serial": "0011223344556677", "firmware": "2.6", "organisation": "Example City",
    "site": "Tokyo", "country": "JP",
}


def pins_text(role, token, **more):
    """As kmsd/tokend/init.c prints it."""
    lines = ["kms-token-pins: 1", f"token: {token}", f"role: {role}"]
    if role == "tenant":
        lines.append(f"tenant: {more.pop('tenant', TENANT)}")
    for name, value in {**FACTS, "statement_key": f"kms-token-{token}+00000000+AAAA", **more}.items():
        quoted = name not in ("class", "country", "session_spki")
        lines.append(f"{name}: '{value}'" if quoted else f"{name}: {value}")
    return "\n".join(lines) + "\n"


class Init(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.dir = Path(cls.folder.name)
        cls.new_ca("ca")
        cls.new_ca("other-ca")
        cls.new_cert("storage-1", "ca", f"clientAuth,{PURPOSE}")
        cls.new_cert("custodian-1", "ca", "clientAuth")
        cls.new_cert("stranger", "other-ca", "clientAuth")
        (cls.dir / "tenant-pins.yaml").write_text(
            pins_text("tenant", TOKEN, session_spki="40" * 32))
        (cls.dir / "system-pins.yaml").write_text(
            pins_text("system", SYSTEM, log_origin="kms.example/kmsd/1",
                      ledger_key="kms.example/kmsd/1+00000000+AAAA",
                      ledger_key_ed25519="kms.example/kmsd/1+11111111+AQAA",
                      manifest_key="kms.example/kmsd/1/manifest+00000000+AAAA"))
        # Of a token that makes no Ed25519 key.
        (cls.dir / "one-key-pins.yaml").write_text("".join(
            line for line in (cls.dir / "system-pins.yaml").read_text().splitlines(True)
            if "ledger_key_ed25519" not in line))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def openssl(cls, *words):
        run = subprocess.run(["openssl", *words], cwd=cls.dir, capture_output=True)
        assert run.returncode == 0, run.stderr
        return run.stdout

    @classmethod
    def new_ca(cls, name):
        cls.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "30", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out",
                    f"{name}.pem")

    @classmethod
    def new_cert(cls, name, ca, usage):
        cls.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                    f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (cls.dir / "ext").write_text(f"extendedKeyUsage={usage}\n")
        cls.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key",
                    "-CAcreateserial", "-days", "20", "-extfile", "ext", "-out", f"{name}.pem")

    def init(self, *words, code=0):
        run = subprocess.run([KMS, "init", *words], cwd=self.dir, capture_output=True, text=True)
        self.assertEqual(run.returncode, code, run.stderr)
        return run.stdout if code == 0 else run.stderr

    def new_name(self, name):
        path = self.dir / name
        path.unlink(missing_ok=True)
        return name

    # ---- small ones ----

    def test_purpose(self):
        self.assertEqual(self.init("purpose"), PURPOSE + "\n")

    def test_pin_is_the_hash_of_the_spki(self):
        self.openssl("x509", "-in", "storage-1.pem", "-noout", "-pubkey", "-out", "pub.pem")
        spki = self.openssl("pkey", "-pubin", "-in", "pub.pem", "-outform", "DER")
        self.assertEqual(self.init("pin", "storage-1.pem"), hashlib.sha256(spki).hexdigest() + "\n")
        self.assertIn("no certificate in PEM", self.init("pin", "ca.key", code=5))
        self.assertIn("No such file", self.init("pin", "nothing.pem", code=10))

    # ---- tenant and platform ----

    def tenant(self, *more, output="tenant.json", code=0, pins="tenant-pins.yaml", ca="ca.pem"):
        return self.init("tenant", "--id", TENANT, "--name", "Example City", "--ca", ca, "--pins",
                         pins, "--output", self.new_name(output), *more, code=code)

    def test_tenant(self):
        said = self.tenant("--principal", "storage:storage-1=storage-1.pem",
                           "--principal", "custodian:Custodian Taro=custodian-1.pem")
        self.assertIn("openssl dgst -sha256 -sign CA.key -out tenant.json.sig tenant.json", said)
        file = json.loads((self.dir / "tenant.json").read_text())
        self.assertEqual(file["v"], "kmsd-tenant/1")
        self.assertEqual(file["tenant"], {
            "id": TENANT, "name": "Example City", "ca": (self.dir / "ca.pem").read_text()})
        self.assertEqual(
            [(p["role"], p["name"]) for p in file["principals"]],
            [("storage", "storage-1"), ("custodian", "Custodian Taro")])
        person = file["principals"][0]
        self.assertEqual(person["certificate"], (self.dir / "storage-1.pem").read_text())
        self.assertNotEqual(person["id"], file["principals"][1]["id"])
        end = datetime.strptime(person["expires"], "%Y-%m-%dT%H:%M:%S.000Z").replace(
            tzinfo=timezone.utc)
        said_end = self.openssl("x509", "-in", "storage-1.pem", "-noout", "-enddate").decode()
        self.assertEqual(end.strftime("notAfter=%b %e %H:%M:%S %Y GMT\n"), said_end)
        self.assertLess(end, datetime.now(timezone.utc) + timedelta(days=21))
        self.assertEqual(file["tokens"], [{
            **FACTS, "id": TOKEN, "certificate_no": "", "session_spki": "40" * 32,
            "statement_vkey": f"kms-token-{TOKEN}+00000000+AAAA"}])

    def test_a_private_key_beside_the_certificate_stays_out(self):
        both = (self.dir / "storage-1.key").read_text() + (self.dir / "storage-1.pem").read_text()
        (self.dir / "both.pem").write_text("for people\n" + both)
        self.tenant("--principal", "storage:s=both.pem", output="both.json")
        text = (self.dir / "both.json").read_text()
        self.assertNotIn("PRIVATE", text)
        self.assertEqual(json.loads(text)["principals"][0]["certificate"],
                         (self.dir / "storage-1.pem").read_text())

    def test_a_tenant_file_with_somebody_wrong_is_not_made(self):
        for what, code, principal in [
            ("not issued by the CA", 3, "custodian:x=stranger.pem"),
            ("lacks the purpose", 3, "storage:x=custodian-1.pem"),
            ("has the purpose", 3, "custodian:x=storage-1.pem"),
            ("ROLE:NAME=CERT.pem", 2, "operator:x=custodian-1.pem"),
            ("ROLE:NAME=CERT.pem", 2, "x=custodian-1.pem"),
            ("NAME=CERT.pem", 2, "custodian:custodian-1.pem"),
            ("a name has", 2, "custodian:" + "n" * 129 + "=custodian-1.pem"),
        ]:
            with self.subTest(principal=principal):
                self.assertIn(what, self.tenant("--principal", principal, output="bad.json",
                                                code=code))
                self.assertFalse((self.dir / "bad.json").exists())
        self.tenant("--principal", "custodian:" + "n" * 128 + "=custodian-1.pem", output="ok.json")

    def test_pins_of_another_tenant_or_of_the_system_token_are_refused(self):
        (self.dir / "other-pins.yaml").write_text(pins_text(
            "tenant", TOKEN, tenant="55555555-0000-4000-8000-000000000055", session_spki="40" * 32))
        for pins in ["other-pins.yaml", "system-pins.yaml"]:
            self.assertIn("not this tenant's", self.tenant(
                "--principal", "custodian:x=custodian-1.pem", output="bad.json", pins=pins, code=7))

    def test_pins_are_read_strictly(self):
        text = pins_text("tenant", TOKEN, session_spki="40" * 32)
        for bad in [text + "more: 1\n", text.replace("pins: 1", "pins: 2"),
                    text.replace("40" * 32, "40" * 31)]:
            (self.dir / "bad-pins.yaml").write_text(bad)
            self.assertIn("bad-pins.yaml:", self.tenant(
                "--principal", "custodian:x=custodian-1.pem", output="bad.json",
                pins="bad-pins.yaml", code=9))

    def test_nothing_is_overwritten(self):
        self.tenant("--principal", "custodian:x=custodian-1.pem", output="once.json")
        before = (self.dir / "once.json").read_bytes()
        said = self.init("tenant", "--id", TENANT, "--name", "Other", "--ca", "ca.pem", "--pins",
                         "tenant-pins.yaml", "--output", "once.json",
                         "--principal", "custodian:x=custodian-1.pem", code=4)
        self.assertIn("once.json", said)
        self.assertEqual((self.dir / "once.json").read_bytes(), before)

    def test_platform(self):
        self.init("platform", "--pins", "system-pins.yaml", "--ca", "ca.pem", "--operator",
                  "op=custodian-1.pem", "--output", self.new_name("platform.json"))
        file = json.loads((self.dir / "platform.json").read_text())
        members = {"v", "origin", "ledger_vkey", "system_token", "ca", "principals"}
        self.assertEqual(set(file), members | {"ledger_vkey_ed25519"})
        self.assertEqual(file["v"], "kmsd-platform/1")
        self.assertEqual(file["origin"], "kms.example/kmsd/1")
        self.assertEqual(file["ledger_vkey"], "kms.example/kmsd/1+00000000+AAAA")
        self.assertEqual(file["ledger_vkey_ed25519"], "kms.example/kmsd/1+11111111+AQAA")
        self.init("platform", "--pins", "one-key-pins.yaml", "--ca", "ca.pem", "--operator",
                  "op=custodian-1.pem", "--output", self.new_name("one-key.json"))
        self.assertEqual(set(json.loads((self.dir / "one-key.json").read_text())), members)
        self.assertEqual(file["system_token"]["id"], SYSTEM)
        self.assertEqual(file["principals"][0]["role"], "operator")
        self.assertIn("tenant's token", self.init(
            "platform", "--pins", "tenant-pins.yaml", "--ca", "ca.pem", "--operator",
            "op=custodian-1.pem", "--output", "bad.json", code=2))

    # ---- profile ----

    def profile(self, *more, code=0, output="profile.yaml"):
        self.new_name(output)
        return self.init("profile", "--server-ca", "ca.pem", "--certificate", "storage-1.pem", "--key",
                         "storage-1.key", "--output", output, *more, code=code)

    def test_profile(self):
        self.profile("--tenant", TENANT, "--pins", "tenant-pins.yaml", "--data-url",
                     "https://kmsd.example:1", "--admin-url", "https://localhost:2",
                     "--key-id", "66666666-0000-4000-8000-000000000066")
        real = self.dir.resolve()
        self.assertEqual((self.dir / "profile.yaml").read_text(), (
            "data_url: 'https://kmsd.example:1'\n"
            "admin_url: 'https://localhost:2'\n"
            f"server_ca: '{real}/ca.pem'\n"
            f"certificate: '{real}/storage-1.pem'\n"
            f"key: '{real}/storage-1.key'\n"
            "default_key: 66666666-0000-4000-8000-000000000066\n"
            f"tenant: {TENANT}\n"
            "pins:\n  custody: any\n  delivery: sealed\n  tokens:\n"
            f"  - {{id: {TOKEN}, session_spki: {'40' * 32}}}\n"))

    def test_libkms_reads_what_was_made(self):
        """It gets as far as the network, where nobody listens."""
        self.profile("--tenant", TENANT, "--pins", "tenant-pins.yaml", "--data-url",
                     "https://127.0.0.1:1", output="it's mine.yaml")
        run = subprocess.run([KMS, "datakey", "--key", TOKEN, "--profile", "it's mine.yaml"],
                             cwd=self.dir, capture_output=True, text=True)
        self.assertEqual(run.returncode, 8, run.stderr)
        self.assertIn("check that kmsd runs", run.stderr)

    def test_an_operator_has_no_pins(self):
        self.profile("--admin-url", "https://localhost:2")
        text = (self.dir / "profile.yaml").read_text()
        self.assertNotIn("pins", text)
        self.assertNotIn("tenant:", text)

    def test_profiles_that_are_not_made(self):
        url = ["--data-url", "https://localhost:1"]
        for what, code, more in [
            ("where kmsd is", 2, []),
            ("go together", 2, [*url, "--tenant", TENANT]),
            ("go together", 2, [*url, "--pins", "tenant-pins.yaml"]),
            ("not this tenant's", 7, [*url, "--tenant", TOKEN, "--pins", "tenant-pins.yaml"]),
            ("--custody is", 2, [*url, "--custody", "both"]),
            ("--delivery is", 2, [*url, "--delivery", "open"]),
            ("--key-id is", 2, [*url, "--key-id", "archives"]),
            ("control characters", 2, ["--data-url", "https://localhost:1\nkey: x"]),
        ]:
            with self.subTest(more=more):
                self.assertIn(what, self.profile(*more, code=code))
                self.assertFalse((self.dir / "profile.yaml").exists())

    # ---- trust ----

    def test_trust(self):
        out = self.init("trust", "--pins", "system-pins.yaml", "--pins", "tenant-pins.yaml")
        self.assertEqual(json.loads(out), {
            "v": "kmsd-trust/1",
            "origin": "kms.example/kmsd/1",
            "ledger_keys": ["kms.example/kmsd/1+00000000+AAAA", "kms.example/kmsd/1+11111111+AQAA"],
            "manifest_key": "kms.example/kmsd/1/manifest+00000000+AAAA",
            "tokens": [
                {"id": token, "serial": FACTS["serial"], "class": "software",
                 "statement_key": f"kms-token-{token}+00000000+AAAA"} for token in (SYSTEM, TOKEN)],
        })

    def test_trust_of_a_ledger_with_one_key(self):
        out = json.loads(self.init("trust", "--pins", "one-key-pins.yaml"))
        self.assertEqual(out["ledger_keys"], ["kms.example/kmsd/1+00000000+AAAA"])

    def test_trust_pins_approvers(self):
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-out", "approver.key")
        self.openssl("pkey", "-in", "approver.key", "-pubout", "-out", "approver.pub")
        pins = ["--pins", "system-pins.yaml"]
        out = json.loads(self.init(
            "trust", *pins, "--approver", f"{TENANT}=approver.pub",
            "--approver", f"{TOKEN}=custodian-1.pem", "--approvals", "2", "--tenant-ca", "ca.pem"))
        self.assertEqual(out["approvals"]["needed"], 2)
        self.assertEqual([row["id"] for row in out["approvals"]["approvers"]], [TENANT, TOKEN])
        self.assertEqual(out["tenant_ca"], (self.dir / "ca.pem").read_text())
        der = self.openssl("pkey", "-pubin", "-in", "approver.pub", "-outform", "DER")
        self.assertEqual(base64.b64decode(out["approvals"]["approvers"][0]["key"]), der)
        one = ["--approver", f"{TENANT}=approver.pub"]
        for what, more in [
            ("--approvals is", one),
            ("--approvals is", [*one, "--approvals", "0"]),
            ("--approvals is", [*one, "--approvals", "2"]),
            ("goes with --approver", ["--approvals", "2"]),
            ("given twice", [*one, *one, "--approvals", "1"]),
            ("public key", ["--approver", f"{TENANT}=approver.key", "--approvals", "1"]),
            ("id, '='", ["--approver", "approver.pub", "--approvals", "1"]),
            ("no certificate", ["--tenant-ca", "approver.pub"]),
        ]:
            with self.subTest(more=more):
                self.assertIn(what, self.init("trust", *pins, *more, code=2))

    def test_trust_is_about_one_ledger(self):
        self.assertIn("system token's pins", self.init("trust", "--pins", "tenant-pins.yaml", code=2))
        self.assertIn("second system token", self.init(
            "trust", "--pins", "system-pins.yaml", "--pins", "system-pins.yaml", code=2))


if __name__ == "__main__":
    unittest.main()
