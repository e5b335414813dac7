# SPDX-License-Identifier: Apache-2.0
"""What kms itself promises about keys on the command line, on one house: where they may go, how keys
are named, what people see."""
import base64
import json
import os
import pty
import re
import stat
import subprocess
import time
import unicodedata

import house


def columns(text):
    """How wide a text is on a terminal."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


class Data(house.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.key = cls.house.json("custodian-1", "key", "create", "--label", "archives")["id"]
        cls.folder = cls.house.folder

    def fresh(self, name):
        path = self.folder / name
        path.unlink(missing_ok=True)
        return path

    def key_after(self, change):
        key = self.new_key("resting")
        self.kms("custodian-1", "key", change, key)
        return key

    # ---- where keys may go ----

    def test_a_data_key_goes_nowhere_by_itself(self):
        out = self.kms("storage-1", "datakey", "--key", "archives").stdout
        self.assertEqual(base64.b64decode(out.strip(), validate=True)[:4], b"KMSW")
        self.assertEqual(out.count("\n"), 1)
        shown = self.house.json("storage-1", "datakey", "--key", "archives")
        self.assertEqual(set(shown), {"wrapped"})

    def test_a_data_key_goes_to_a_file_of_its_owner(self):
        wrapped, key = self.fresh("wrapped"), self.fresh("key")
        self.kms("storage-1", "datakey", "--key", "archives", "--dataset", "d", "--output", wrapped,
                 "--output-key", key)
        self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600)
        self.assertEqual(len(key.read_bytes()), 32)
        again = self.fresh("again")
        out = self.kms("storage-1", "unwrap", wrapped, "--context", "dataset=d", "--output-key", again)
        self.assertEqual(out.stdout, "")
        self.assertEqual(again.read_bytes(), key.read_bytes())
        out = self.kms("storage-1", "unwrap", "--dataset", "d", "--show-key", data=wrapped.read_text())
        self.assertEqual(base64.b64decode(out.stdout), key.read_bytes())
        error = self.refused("storage-1", "unwrap", wrapped, "--dataset", "d", "--output-key", key)
        self.assertEqual(error.code, 4)

    def test_unwrap_is_told_where_the_key_may_go(self):
        self.assertEqual(self.refused("storage-1", "unwrap", "/dev/null").code, 2)
        both = ["--show-key", "--output-key", self.fresh("key")]
        self.assertEqual(self.refused("storage-1", "unwrap", "/dev/null", *both).code, 2)
        self.assertEqual(self.refused("storage-1", "unwrap", "/dev/null", "--show-key").code, 5)

    def test_a_key_of_ones_own_has_exactly_32_bytes(self):
        own = self.fresh("own")
        for key in [os.urandom(31) + b"\n", bytes(32)]:
            own.write_bytes(key)
            own.chmod(0o600)
            wrapped = self.kms("storage-1", "wrap", "--key", "archives", "--key-file", own).stdout
            out = self.kms("storage-1", "unwrap", "--show-key", data=wrapped).stdout
            self.assertEqual(base64.b64decode(out), key)
            piped = self.kms("storage-1", "wrap", "--key", "archives", data=key)
            self.assertTrue(piped.stdout)
        for length in [0, 31, 33]:
            own.write_bytes(bytes(length))
            error = self.refused("storage-1", "wrap", "--key", "archives", "--key-file", own)
            self.assertEqual(error.code, 2)
        own.write_bytes(bytes(32))
        own.chmod(0o640)
        error = self.refused("storage-1", "wrap", "--key", "archives", "--key-file", own)
        self.assertEqual(error.code, 9)

    def test_context_pairs_are_checked(self):
        for pair in ["purpose", "Purpose=x", "tenant=x", "=x"]:
            error = self.refused("storage-1", "datakey", "--key", "archives", "--context", pair)
            self.assertEqual(error.code, 2, error.text)
        twice = ["--dataset", "a", "--context", "dataset=b"]
        self.assertEqual(self.refused("storage-1", "datakey", "--key", "archives", *twice).code, 4)

    def test_a_wrapped_key_in_a_file_is_rewrapped_in_place(self):
        key = self.new_key("wrapped-file")
        wrapped = self.fresh("moved")
        self.kms("storage-1", "datakey", "--key", key, "--output", wrapped)
        before = self.kms("storage-1", "unwrap", wrapped, "--show-key").stdout
        self.kms("custodian-1", "key", "rotate", key)
        said = self.house.json("storage-1", "rewrap", "--wrapped", wrapped)
        self.assertEqual((said["key"], said["before"], said["after"]), (key, 1, 2))
        self.assertEqual(self.kms("storage-1", "unwrap", wrapped, "--show-key").stdout, before)

    # ---- how keys are named ----

    def test_a_key_is_its_id_or_its_label(self):
        shown = self.house.json("custodian-1", "key", "show", "archives")
        self.assertEqual(shown["id"], self.key)
        self.assertEqual(shown["keks"][0]["version"], 1)
        error = self.refused("custodian-1", "key", "show", "archive")
        self.assertEqual(error.code, 4)
        self.assertIn("kms key list", error.text)

    def test_a_label_of_two_keys_names_none(self):
        self.new_key("twins")
        self.new_key("twins")
        error = self.refused("storage-1", "datakey", "--key", "twins")
        self.assertEqual(error.code, 2)
        self.assertIn("2 keys have the label twins", error.text)

    # ---- what people see ----

    def test_lists_are_aligned(self):
        self.new_key("文書保管庫")
        lines = self.kms("custodian-1", "key", "list").stdout.splitlines()
        at = lines[0].index("state")
        self.assertGreater(len(lines), 2)
        for line in lines[1:]:
            before = re.match(r".* (?=(?:active|suspended|deactivated) )", line)
            self.assertEqual(columns(before.group()), at, line)

    def test_history_is_a_page(self):
        key = self.new_key("a-life")
        for change in ["suspend", "resume", "rotate", "deactivate"]:
            self.kms("custodian-1", "key", change, key)
        page = self.kms("auditor-1", "key", "history", "a-life").stdout
        head, places, versions, changes = re.split(r"\n[A-Z ]+\n", page)
        fields = dict(re.split(r"  +", line, maxsplit=1) for line in head.splitlines() if line)
        self.assertEqual(fields["key"], key)
        self.assertEqual(fields["state"], "deactivated")
        self.assertEqual(fields["custodian"], "custodian-1")
        self.assertIn("AES-256", fields["algorithm"])
        token, = self.house.json("auditor-1", "token", "list")["tokens"]
        self.assertIn(token["id"], places)
        self.assertIn(token["site"], places)
        self.assertEqual(len(versions.splitlines()), 1 + 2)  # two versions in one token
        rows = [re.split(r"  +", line.strip()) for line in changes.splitlines()]
        self.assertEqual(rows[0], ["entry", "time", "what", "version", "who"])
        self.assertEqual([row[2] for row in rows[1:]], [
            "key.create.intent", "key.create.result", "key.state suspend", "key.state resume",
            "key.rotate.intent", "key.rotate.result", "key.state deactivate"])
        self.assertEqual({row[4] for row in rows[1:]}, {"custodian-1"})
        known = self.house.lines("auditor-1", "key", "history", "a-life")
        times = [time.strftime("%FT%T", time.gmtime(entry["t"] // 1000)) for entry in known]
        self.assertEqual([row[1].partition(".")[0] for row in rows[1:]], times)

    def test_the_ledger_ends_with_its_newest_entry(self):
        self.new_key("newest")
        known = self.house.lines("auditor-1", "ledger", "show", "--from", "0", "--limit", "100000")[-1]["seq"]
        entry = json.loads(self.kms("auditor-1", "ledger", "show", "--limit", "1", "--json").stdout)
        # A statement over uses may have come in between.
        self.assertGreaterEqual(entry["seq"], known)
        lines = self.kms("auditor-1", "ledger", "show", "--from", "0", "--limit", "3").stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["seq", "0", "1", "2"])

    def test_uses_of_a_batch_are_a_page(self):
        self.kms("storage-1", "datakey", "--key", "archives")
        self.refused("storage-1", "datakey", "--key", self.key_after("suspend"))
        batches = [entry for entry in
                   self.house.lines("auditor-1", "ledger", "show", "--from", "0", "--limit", "100000")
                   if entry.get("type") == "use.batch"]
        made = next(b for b in batches if "token" in b["data"])
        denied = batches[-1]
        self.assertNotIn("token", denied["data"])
        for batch, n, version, result in [(made, "1", "1", "ok"), (denied, "-", "-", "key-state")]:
            lines = self.kms("auditor-1", "ledger", "uses", batch["seq"]).stdout.splitlines()
            self.assertEqual(lines[0].split(),
                             ["n", "time", "op", "key", "version", "client", "result"])
            self.assertEqual(len(lines) - 1, batch["data"]["count"])
            row = lines[1].split()
            self.assertEqual(row[0], n)
            self.assertRegex(row[1], r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
            self.assertEqual(row[2:], ["datakey", "archives" if n == "1" else "resting", version,
                                       "storage-1", result])

    def test_uses_are_printed_as_they_are_stored(self):
        self.kms("storage-1", "datakey", "--key", "archives")
        entry = next(e for e in reversed(
            self.house.lines("auditor-1", "ledger", "show", "--from", "0", "--limit", "100000"))
            if e.get("type") == "use.batch")
        stored = self.house.get("auditor-1", f"/v1/ledger/uses/{entry['seq']}")[2]["uses"]
        printed = self.kms("auditor-1", "ledger", "uses", entry["seq"], "--json").stdout
        self.assertEqual([line.encode() for line in printed.splitlines()],
                         [base64.b64decode(record["bytes"]) for record in stored])

    def test_what_is_no_batch_has_no_uses(self):
        self.assertEqual(self.refused("auditor-1", "ledger", "uses", "0").code, 4)
        for text in ["x", "-1", "1x", "", "99999999999999999"]:
            error = self.refused("auditor-1", "ledger", "uses", text)
            self.assertEqual(error.code, 2)

    def test_a_checkpoint_that_was_kept_must_still_hold(self):
        kept = self.fresh("checkpoint")
        self.eventually(lambda: self.house.verify("--save-checkpoint", str(kept)))
        self.house.verify("--older", str(kept))
        other = self.fresh("other-checkpoint")
        lines = kept.read_text().splitlines(keepends=True)
        lines[2] = base64.b64encode(bytes(32)).decode() + "\n"
        other.write_text("".join(lines))
        trust = self.house.dir / "trust.json"
        error = self.refused("auditor-1", "ledger", "verify", "--trust", trust, "--older", other)
        self.assertEqual(error.code, 5)

    def test_progress_is_shown_on_a_terminal_only(self):
        big = self.fresh("big")
        with open(big, "wb") as file:
            file.truncate(1500 * 1024 * 1024)  # no room on the disk is used
        words = [house.KMS, "--profile", self.house.dir / "storage-1.yaml", "encrypt", "--key",
                 "archives", big, "-"]
        ours, theirs = pty.openpty()
        run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs, env=house.ENVIRONMENT)
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:
                break
            seen += part
            if not part:
                break
        os.close(ours)
        self.assertEqual(run.wait(), 0, seen)
        self.assertRegex(seen.decode(), r"\d+%  [\d.]+ MiB  [\d.]+ .iB/s  \d+:\d\d left")
        quiet = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               env=house.ENVIRONMENT)
        self.assertEqual((quiet.returncode, quiet.stderr), (0, b""))

    def test_an_error_says_what_to_do_next(self):
        error = self.refused("storage-1", "key", "create", "--label", "x")
        self.assertEqual(error.code, 3)
        self.assertIn("; take the profile of somebody with the right role", error.text)
        error = self.refused("storage-1", "datakey")
        self.assertEqual(error.code, 2)
        self.assertIn("default_key", error.text)

    def test_the_statement_of_a_tokens_owner_fits_the_ledger(self):
        self.kms("storage-1", "datakey", "--key", "archives")
        statement = self.fresh("statement")

        def printed():
            run = subprocess.run(
                [house.BUILD / "kmsd/tokend/kms-tokend", "--config", self.house.dir / "acme/owner.yaml",
                 "--statement"], capture_output=True, text=True, env=house.ENVIRONMENT)
            self.assertEqual(run.returncode, 0, run.stderr)
            statement.write_text(run.stdout)

        self.eventually(printed)
        self.eventually(lambda: self.house.verify("--statement", str(statement)))
        statement.write_text("AAAA\n")
        self.assertNotEqual(self.house.run(
            "auditor-1", "ledger", "verify", "--trust", self.house.dir / "trust.json", "--statement",
            statement, check=False).returncode, 0)


if __name__ == "__main__":
    house.main()
