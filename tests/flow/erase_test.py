# SPDX-License-Identifier: Apache-2.0
"""The end of a contract: planned, requested, approved by two, executed, certified, verified offline."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import unittest

import house

RESULTS = {"pass": "pass", "FAIL": "fail", "not shown": "not shown",
           "合格": "pass", "不合格": "fail", "未提示": "not shown"}
CONTEXT = ("--context", "purpose=archive")
KEY_STATE = ERASED = 6  # exit codes of kms(1)
AGAIN = 8


class Contract(house.Case):
    """What every end of a contract does."""

    prefix = ""  # of the tenant's people

    def who(self, name):
        return self.prefix + name

    def make_archive(self, label="archives"):
        """A key, a dataset under it, and an archive that was encrypted for it."""
        key = self.house.json(self.who("custodian-1"), "key", "create", "--label", label)["id"]
        dataset = self.house.json(
            self.who("custodian-1"), "dataset", "add", "--label", f"{label} of 2026", "--key", key, "--medium",
            "archive", "--serial", "S-1", "--site", "tokyo-1", "--country", "JP")["id"]
        plain, sealed = (self.house.folder / f"{key}.{kind}" for kind in ("plain", "kms"))
        plain.write_bytes(os.urandom(200_000))
        self.kms(self.who("storage-1"), "encrypt", "--key", key, "--dataset", dataset, *CONTEXT, plain, sealed)
        return key, dataset, sealed

    def decrypt(self, dataset, sealed):
        out = self.house.folder / "out"
        out.unlink(missing_ok=True)
        self.kms(self.who("storage-1"), "decrypt", "--dataset", dataset, *CONTEXT, sealed, out)
        return out

    def refuse_decrypt(self, dataset, sealed, code):
        error = self.refused(
            self.who("storage-1"), "decrypt", "--dataset", dataset, *CONTEXT, sealed, self.house.folder / "none")
        self.assertEqual(error.code, code, error.text)
        self.assertFalse((self.house.folder / "none").exists())
        return error.text

    def sign_key(self, who):
        home = f"tenant-{self.prefix.rstrip('-')}" if self.prefix else "tenant"
        return self.house.dir / home / "people" / f"{who}.approval.key"

    def request(self, *target):
        return self.house.json(
            self.who("custodian-1"), "erase", "request", *target, "--window", "0s", "--yes")["id"]

    def approve(self, erasure, *people):
        for who in map(self.who, people or ("approver-1", "approver-2")):
            self.kms(who, "erase", "approve", erasure, "--sign-key", self.sign_key(who), "--yes")

    def execute(self, erasure, check=True):
        result = self.kms(self.who("custodian-1"), "erase", "execute", erasure, "--json", check=check)
        return json.loads(result.stdout)

    def state(self, erasure):
        return self.house.json(self.who("auditor-1"), "erase", "show", erasure)["state"]

    def erase(self, *target):
        erasure = self.request(*target)
        self.approve(erasure)
        self.assertEqual(self.execute(erasure)["state"], "done")
        return erasure

    def certificate(self, erasure):
        folder = self.house.folder / f"bundle-{erasure}-{time.monotonic_ns()}"
        self.kms(self.who("auditor-1"), "erase", "certificate", erasure, "--output", folder)
        return folder

    def verify_bundle(self, folder):
        """kms verify in another directory, as another user; exit code and report."""
        words = [house.KMS, "verify", folder, "--trust", self.house.dir / f"{self.prefix}trust.json",
                 "--json"]
        if house.IS_ROOT:
            words = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", *words]
        result = subprocess.run(words, cwd="/", env=house.ENVIRONMENT, capture_output=True, text=True)
        return result.returncode, json.loads(result.stdout)

    def read_by_people(self, folder, language):
        """What kms verify prints, its exit code, and the result of each step."""
        words = [house.KMS, "verify", folder, "--trust", self.house.dir / f"{self.prefix}trust.json",
                 "--lang", language]
        result = subprocess.run(words, env=house.ENVIRONMENT, capture_output=True, text=True)
        steps = re.findall(r"^ +(\d+)  .*: (.*)$", result.stdout, re.MULTILINE)
        return result.returncode, result.stdout, [RESULTS[word] for _, word in steps]

    def check_reading(self, folder):
        """Text says what JSON says, in both languages, and Japanese is Japanese."""
        code, report = self.verify_bundle(folder)
        for language in ("en", "ja"):
            text_code, text, results = self.read_by_people(folder, language)
            self.assertEqual(text_code, code)
            self.assertEqual(results, [step["result"] for step in report["steps"]])
            if language == "ja":
                self.assertNotRegex(text, r"\b[a-z]{2,} [a-z]{2,} [a-z]{2,}\b")
        return code

    def entries(self, kind):
        found = self.house.lines(self.who("auditor-1"), "ledger", "show", "--from", "0", "--limit", "100000")
        return [entry for entry in found if entry.get("type") == kind]


class Story(Contract):
    def check_strange_bundles(self, good):
        """Each is read to its end, with the exit code that kms(1) has for it."""
        def copy(name):
            return shutil.copytree(good, self.house.folder / name)
        changed = copy("changed")
        (changed / "VERIFY.txt").write_text("do nothing\n")
        stranger = copy("stranger")
        (stranger / "\x1b[31m\u202egpj").touch()
        crowded = copy("crowded")
        for i in range(5000):
            (crowded / f"more-{i}").touch()
        empty = self.house.folder / "empty"
        empty.mkdir()
        for folder, code in ((changed, 5), (stranger, 5), (crowded, 5), (empty, 5), (good / "checkpoint", 4),
                             (good / "absent", 4)):
            self.assertEqual(self.check_reading(folder), code, folder)
        _, text, _ = self.read_by_people(stranger, "en")
        self.assertFalse({"\x1b", "\u202e"} & set(text), text)

    def test_key_is_erased_certified_and_verified(self):
        key, dataset, sealed = self.make_archive()
        plan = self.kms("custodian-1", "erase", "plan", "--key", key).stdout
        for word in (key, "archives of 2026", "S-1", "tokyo-1"):
            self.assertIn(word, plan)

        erasure = self.request("--key", key)
        self.refuse_decrypt(dataset, sealed, KEY_STATE)  # suspended at once
        self.refused("custodian-1", "key", "resume", key)
        self.refused("custodian-1", "erase", "execute", erasure)  # no approval
        self.refused("custodian-1", "erase", "approve", erasure, "--sign-key",
                     self.house.dir / "tenant/people/custodian-1.key", "--yes")
        self.approve(erasure, "approver-1")
        self.refused("custodian-1", "erase", "execute", erasure)  # one approval
        self.refused("approver-1", "erase", "approve", erasure, "--sign-key", self.sign_key("approver-1"), "--yes")
        self.refused("approver-2", "erase", "approve", erasure, "--sign-key", self.sign_key("approver-1"), "--yes")
        self.approve(erasure, "approver-2")
        self.assertEqual(self.execute(erasure)["state"], "done")

        self.assertEqual(self.house.json("custodian-1", "key", "show", key)["state"], "destroyed")
        folder = self.certificate(erasure)
        text = self.refuse_decrypt(dataset, sealed, ERASED)
        self.assertIn(erasure, text)
        self.assertIn(json.loads((folder / "certificate.json").read_text())["id"], text)
        code, report = self.verify_bundle(folder)
        self.assertEqual(code, 0, json.dumps(report, indent=1))
        self.assertEqual(self.check_reading(folder), 0)
        self.check_strange_bundles(folder)
        self.assertEqual(report["claim_level"], "recorded")
        self.assertEqual(report["status"], "final")
        self.house.verify()
        self.assertIn("state equals", self.house.replay().stdout)
        history = self.kms("auditor-1", "key", "history", key).stdout
        self.assertIn("destroyed", history)

    def test_request_can_be_cancelled(self):
        key, dataset, sealed = self.make_archive()
        erasure = self.request("--key", key)
        self.approve(erasure, "approver-1")
        self.kms("approver-2", "erase", "cancel", erasure, "--sign-key", self.sign_key("approver-2"), "--yes")
        self.refused("custodian-1", "erase", "execute", erasure)
        self.assertEqual(self.house.json("custodian-1", "key", "show", key)["state"], "active")
        self.decrypt(dataset, sealed)

    def test_older_versions_are_erased_and_the_newest_stays(self):
        key, dataset, sealed = self.make_archive()
        old = self.house.folder / "old.kms"
        shutil.copy(sealed, old)
        self.kms("custodian-1", "key", "rotate", key)
        self.kms("storage-1", "rewrap", "--dataset", dataset, *CONTEXT, sealed)
        erasure = self.request("--key", key, "--versions", "1")
        self.decrypt(dataset, sealed)
        self.refuse_decrypt(dataset, old, KEY_STATE)
        self.approve(erasure)
        self.assertEqual(self.execute(erasure)["state"], "done")
        self.decrypt(dataset, sealed)
        self.refuse_decrypt(dataset, old, ERASED)
        self.assertEqual(self.verify_bundle(self.certificate(erasure))[0], 0)

    def test_dataset_that_shares_its_key_is_a_problem_of_the_plan(self):
        key, dataset, _ = self.make_archive()
        self.house.json("custodian-1", "dataset", "add", "--label", "another", "--key", key, "--medium", "volume")
        plan = self.kms("custodian-1", "erase", "plan", "--dataset", dataset, check=False)
        self.assertIn("rewrap", plan.stdout + plan.stderr)
        self.refused("custodian-1", "erase", "request", "--dataset", dataset, "--window", "0s", "--yes")

    def test_nothing_is_begun_while_no_token_answers(self):
        key, dataset, sealed = self.make_archive()
        erasure = self.request("--key", key)
        self.approve(erasure)
        self.house.stop("acme")
        self.assertEqual(self.refused("custodian-1", "erase", "execute", erasure).code, AGAIN)
        self.assertEqual(self.house.json("auditor-1", "erase", "show", erasure)["state"], "requested")
        self.house.start("acme")
        self.eventually(lambda: self.assertEqual(self.execute(erasure)["state"], "done"), 30)
        self.refuse_decrypt(dataset, sealed, ERASED)


class TwoTokens(Contract):
    """One of a key's two tokens is away: what is said of the erasure is true at each time."""

    prefix = "city-"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.house.stop()
        cls.house.demo("add-tenant", "city", "any")
        cls.house.start()

    def token_id(self, name):
        pins = (self.house.dir / "tenant-city" / f"{name}-pins.yaml").read_text()
        return next(line.split()[-1].strip("'") for line in pins.splitlines() if line.startswith("token:"))

    def pin_no_peers(self, name):
        """The owner's file without its last section, until the test is over."""
        path = self.house.dir / name / "owner.yaml"
        text = path.read_text()
        self.assertIn("\npeers:", text)
        path.write_text(text[:text.index("\npeers:") + 1])

        def put_back():
            self.house.stop(name)
            path.write_text(text)
            self.house.start(name)
        self.addCleanup(put_back)

    def test_goes_on_when_the_token_is_back(self):
        key, dataset, sealed = self.make_archive()
        erasure = self.request("--key", key)
        self.approve(erasure)
        self.house.stop("city-2")
        self.assertEqual(self.execute(erasure, check=False)["state"], "executing")
        self.assertEqual(self.verify_bundle(self.certificate(erasure))[1]["status"], "provisional")
        self.assertEqual(self.check_reading(self.certificate(erasure)), 6)
        self.house.start("city-2")
        self.eventually(lambda: self.assertEqual(self.state(erasure), "done"), 60)
        self.refuse_decrypt(dataset, sealed, ERASED)
        code, report = self.verify_bundle(self.certificate(erasure))
        self.assertEqual((code, report["status"]), (0, "final"), json.dumps(report, indent=1))

    def test_goes_on_after_the_approvals_expired(self):
        """On the word of the token that destroyed its own in time."""
        key, dataset, sealed = self.make_archive()
        erasure = self.request("--key", key, "--valid", "20s")
        self.approve(erasure)
        self.house.stop("city-2")
        self.assertEqual(self.execute(erasure, check=False)["state"], "executing")
        time.sleep(21)
        self.house.start("city-2")
        self.eventually(lambda: self.assertEqual(self.state(erasure), "done"), 60)
        self.refuse_decrypt(dataset, sealed, ERASED)
        code, report = self.verify_bundle(self.certificate(erasure))
        self.assertEqual((code, report["status"]), (0, "final"), json.dumps(report, indent=1))


    def copies_of(self, erasure, name):
        """What kms erase show says of the copies in that token."""
        shown = self.house.json(self.who("auditor-1"), "erase", "show", erasure)["copies"]
        return [row for row in shown if row["token"] == self.token_id(name)]

    def refuse_use(self, key, dataset, sealed):
        """Suspended, whichever token a client asks first: one is away."""
        self.assertEqual(self.house.json(self.who("custodian-1"), "key", "show", key)["state"], "suspended")
        error = self.refused(
            self.who("storage-1"), "decrypt", "--dataset", dataset, *CONTEXT, sealed, self.house.folder / "none")
        self.assertIn(error.code, (KEY_STATE, AGAIN), error.text)

    def test_token_that_is_away_from_the_beginning(self):
        key, dataset, sealed = self.make_archive()
        self.house.stop("city-2")
        self.addCleanup(self.house.start)
        plan = self.kms(self.who("custodian-1"), "erase", "plan", "--key", key).stdout
        self.assertIn(f"token {self.token_id('city-2')} is not reached", plan)
        erasure = self.request("--key", key)
        self.refuse_use(key, dataset, sealed)  # suspended at once
        self.approve(erasure)
        self.assertEqual(self.execute(erasure, check=False)["state"], "executing")
        self.refuse_use(key, dataset, sealed)
        folder = self.certificate(erasure)
        left = [copy for copy in json.loads((folder / "certificate.json").read_text())["copies"]
                if copy["removed_seq"] is None]
        self.assertEqual([copy["token"] for copy in left], [self.token_id("city-2")])
        code, report = self.verify_bundle(folder)
        self.assertEqual((code, report["status"]), (KEY_STATE, "provisional"), json.dumps(report, indent=1))
        self.assertIn(f"KEK {left[0]['kek']} in token {left[0]['token']} is not destroyed yet", json.dumps(report))
        self.house.start("city-2")
        self.eventually(lambda: self.assertEqual(self.state(erasure), "done"), 60)
        self.refuse_decrypt(dataset, sealed, ERASED)
        code, report = self.verify_bundle(self.certificate(erasure))
        self.assertEqual((code, report["status"]), (0, "final"), json.dumps(report, indent=1))

    def test_what_a_token_refuses_after_the_expiry_is_approved_anew(self):
        """Its owner pins no other token, so nobody's word helps it when it is back."""
        key, dataset, sealed = self.make_archive()
        old = self.request("--key", key, "--valid", "20s")
        self.approve(old)
        self.house.stop("city-2")
        self.assertEqual(self.execute(old, check=False)["state"], "executing")
        self.pin_no_peers("city-2")
        time.sleep(21)
        self.house.start("city-2")

        def is_refused():
            (row,) = self.copies_of(old, "city-2")
            self.assertIn("expired", row["refused"])
        self.eventually(is_refused, 60)
        self.assertEqual(self.state(old), "executing")
        self.refuse_decrypt(dataset, sealed, KEY_STATE)
        new = self.eventually(lambda: self.request("--key", key), 60)
        self.assertEqual(self.state(old), "renewed")
        self.assertEqual([row["renewed"] for row in self.copies_of(old, "city-2")], [new])
        self.refused(self.who("custodian-1"), "key", "resume", key)
        self.refused(self.who("custodian-1"), "erase", "execute", new)  # nobody approved this one
        self.kms(self.who("approver-1"), "erase", "cancel", new, "--sign-key",
                 self.sign_key(self.who("approver-1")), "--yes")
        self.assertEqual(self.state(old), "executing")
        self.refuse_decrypt(dataset, sealed, KEY_STATE)
        new = self.eventually(lambda: self.request("--key", key), 60)
        self.approve(new)
        self.assertEqual(self.execute(new)["state"], "done")
        self.refuse_decrypt(dataset, sealed, ERASED)
        self.assertIn("state equals", self.house.replay().stdout)
        code, report = self.verify_bundle(self.certificate(new))
        self.assertEqual((code, report["status"]), (0, "final"), json.dumps(report, indent=1))
        code, report = self.verify_bundle(self.certificate(old))
        self.assertEqual((code, report["status"]), (KEY_STATE, "provisional"), json.dumps(report, indent=1))
        self.assertIn(f"was destroyed under erasure {new}", json.dumps(report))
        self.assertEqual(self.state(old), "renewed")


class Copies(Contract):
    """Copies of the store and of the token's files from the day before the erasure."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        it = cls()
        cls.key, cls.dataset, cls.sealed = it.make_archive()
        time.sleep(2.5)  # heads are signed
        cls.keep("yesterday")
        cls.erasure = it.erase("--key", cls.key)
        time.sleep(2.5)
        cls.keep("today")

    @classmethod
    def keep(cls, name):
        cls.house.stop()
        subprocess.run(["cp", "-a", cls.house.dir, cls.house.folder / name], check=True)
        cls.house.start()

    def put_back(self, *parts):
        """Everything as it is today, but these parts as they were yesterday."""
        self.house.stop()
        for day, part in (("today", "."), *(("yesterday", part) for part in parts)):
            shutil.rmtree(self.house.dir / part)
            subprocess.run(["cp", "-a", self.house.folder / day / part, self.house.dir / part], check=True)

    def test_a_older_store_is_refused(self):
        self.put_back("store", "tiles")
        with self.assertRaises(subprocess.CalledProcessError):
            self.house.start()
        self.assertIn("rolled back", self.house.log("kmsd"))

    def test_b_without_that_guard_the_key_is_still_gone(self):
        self.put_back("store", "tiles", "system/token/state")
        self.house.start()
        self.refuse_decrypt(self.dataset, self.sealed, ERASED)
        self.eventually(lambda: self.assertTrue(self.entries("alarm")))

    def test_c_copy_of_the_token_brings_it_back_and_is_seen(self):
        self.put_back("acme/token/tokens")
        self.house.start()
        self.refuse_decrypt(self.dataset, self.sealed, ERASED)
        self.eventually(lambda: self.assertIn(self.key, json.dumps(self.entries("alarm"))))

    def test_d_copy_of_all_of_the_tokens_files_is_seen_by_kmsd(self):
        """Then kms-tokend has forgotten the erasure, too; the ledger has not."""
        self.put_back("acme/token")
        self.house.start()
        self.refuse_decrypt(self.dataset, self.sealed, ERASED)
        self.eventually(lambda: self.assertIn(self.key, json.dumps(self.entries("alarm"))))


class Tenant(Contract):
    def test_end_of_a_tenant_wipes_its_token(self):
        archives = [self.make_archive(f"archive {i}") for i in range(3)]
        tokens = self.house.dir / "acme/token/tokens"
        before = {path: path.read_bytes() for path in tokens.glob("*/token.object")}
        self.assertTrue(before)
        erasure = self.erase("--tenant", "--wipe")
        for key, dataset, sealed in archives:
            self.refuse_decrypt(dataset, sealed, ERASED)
        for path, old in before.items():
            self.assertFalse(path.exists() and path.read_bytes() == old)
        folder = self.certificate(erasure)
        code, report = self.verify_bundle(folder)
        self.assertEqual(code, 0, json.dumps(report, indent=1))
        self.assertTrue(json.loads((folder / "certificate.json").read_text())["wipes"])
        self.house.restart()  # it starts, and says the same
        self.refuse_decrypt(archives[0][1], archives[0][2], ERASED)


if __name__ == "__main__":
    house.main()
