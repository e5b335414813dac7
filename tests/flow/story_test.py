# SPDX-License-Identifier: Apache-2.0
"""The main job, step by step, on one house: what quickstart.sh shows, held."""
import contextlib
import json
import os
import sqlite3
import unittest

import house

CHUNK = 64 * 1024 + 16
LAST, MARK = 17 + 16, 8  # bytes of the archive's last chunk, and of the file's end mark
ACTIVE, DEACTIVATED = 2, 4  # enum model_state, as the store has it
CONTEXT = ("--context", "purpose=archive", "--context", "dataset=d-1")


class Story(house.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.key = cls.house.json("custodian-1", "key", "create", "--label", "archives")["id"]
        cls.plain = cls.house.folder / "plain"
        cls.sealed = cls.house.folder / "sealed"
        cls.out = cls.house.folder / "out"
        cls.plain.write_bytes(os.urandom(80 * 64 * 1024 + 17))

    def encrypt(self):
        self.kms("storage-1", "encrypt", "--force", "--key", self.key, *CONTEXT, self.plain, self.sealed)

    def decrypt(self, source=None, context=CONTEXT):
        self.kms("storage-1", "decrypt", "--force", *context, source or self.sealed, self.out)
        self.assertEqual(self.out.read_bytes(), self.plain.read_bytes())

    def setUp(self):
        self.out.unlink(missing_ok=True)
        if not self.sealed.exists():
            self.encrypt()

    def assert_no_output(self):
        self.assertEqual([p.name for p in self.house.folder.iterdir() if p.name.startswith(("out", ".out"))], [])

    def damaged(self, change):
        data = bytearray(self.sealed.read_bytes())
        change(data)
        path = self.house.folder / "damaged"
        path.write_bytes(data)
        return path

    def refuse_decrypt(self, source, code, context=CONTEXT):
        error = self.refused("storage-1", "decrypt", *context, source, self.out)
        self.assertEqual(error.code, code, error.text)
        self.assert_no_output()
        return error.text

    # 2: the custodian's key
    def test_key_is_born_in_the_tenants_token(self):
        shown = self.house.json("custodian-1", "key", "show", self.key)
        self.assertEqual(shown["state"], "active")
        self.assertEqual(shown["delivery"], "sealed")
        history = self.house.lines("auditor-1", "key", "history", self.key)
        self.assertEqual([e["type"] for e in history[:2]], ["key.create.intent", "key.create.result"])
        birth = history[1]["data"]["births"][0]
        self.assertTrue(birth["obj"]["sensitive"] and birth["obj"]["local"])
        self.assertFalse(birth["obj"]["extractable"])

    def test_a_second_key_needs_no_second_token(self):
        other = self.new_key("second")
        self.assertNotEqual(other, self.key)

    def test_only_the_custodian_makes_keys(self):
        for who in ("storage-1", "approver-1", "auditor-1"):
            self.assertEqual(self.refused(who, "key", "create", "--label", "x").code, 3)

    # 3: the archive
    def test_archive_opens_after_a_restart_of_everything(self):
        self.house.restart()
        self.decrypt()

    def test_changed_byte_is_an_error_and_leaves_no_file(self):
        size = self.sealed.stat().st_size
        for place in (3, 500, 2300, 100000, size // 2, size - 5):
            def flip(data, place=place):
                data[place] ^= 1
            with self.subTest(place=place):
                self.refuse_decrypt(self.damaged(flip), 5)

    def test_cut_file_is_an_error_and_leaves_no_file(self):
        size = self.sealed.stat().st_size
        for keep in (0, 100, 2400, size - CHUNK, size - 1):
            def cut(data, keep=keep):
                del data[keep:]
            with self.subTest(keep=keep):
                self.refuse_decrypt(self.damaged(cut), 5)

    def test_dropped_last_chunk_is_an_error_and_leaves_no_file(self):
        """Cut between chunks, with the file's end mark put back: only the last chunk's flag tells."""
        def drop(data):
            self.assertEqual(bytes(data[-MARK:]), b"KMSSTEND")
            del data[-MARK - LAST:-MARK]
        self.refuse_decrypt(self.damaged(drop), 5)

    def test_swapped_chunks_are_an_error_and_leave_no_file(self):
        def swap(data):
            header = len(data) - MARK - LAST - 80 * CHUNK  # whole chunks change places
            first = header + 10 * CHUNK
            second = first + 4 * CHUNK
            data[first:first + CHUNK], data[second:second + CHUNK] = (
                data[second:second + CHUNK], data[first:first + CHUNK])
        self.refuse_decrypt(self.damaged(swap), 5)

    def test_wrong_context_is_an_error_and_leaves_no_file(self):
        for context in ((), ("--context", "purpose=archive"),
                        ("--context", "purpose=backup", "--context", "dataset=d-1"),
                        CONTEXT + ("--context", "more=1",)):
            with self.subTest(context=context):
                self.assertIn("context", self.refuse_decrypt(self.sealed, 5, context))

    def test_others_cannot_unwrap(self):
        for who in ("custodian-1", "approver-1", "auditor-1", "operator-1"):
            error = self.refused(who, "decrypt", *CONTEXT, self.sealed, self.out)
            self.assertIn(error.code, (3, 7, 9), error.text)
            self.assert_no_output()

    # 4: rotation
    def test_rotation_and_rewrap(self):
        key = self.new_key("rotating")
        sealed = self.house.folder / "rotating.kms"
        self.kms("storage-1", "encrypt", "--key", key, *CONTEXT, self.plain, sealed)
        body = sealed.read_bytes()[4096:]
        rotated = self.house.json("custodian-1", "key", "rotate", key)
        self.assertEqual(rotated["version"], 2)
        self.decrypt(sealed)
        self.out.unlink()
        self.kms("storage-1", "rewrap", *CONTEXT, sealed)
        self.assertEqual(sealed.read_bytes()[4096:], body, "only the header may change")
        self.decrypt(sealed)
        uses = [u for u in self.house.uses() if u.get("key") == key]
        self.assertEqual([(u["op"], u["kver"]) for u in uses],
                         [("datakey", 1), ("unwrap", 1), ("rewrap", 2), ("unwrap", 2)])

    # state
    def test_suspended_key_neither_wraps_nor_unwraps(self):
        key = self.new_key("suspended")
        sealed = self.house.folder / "suspended.kms"
        self.kms("storage-1", "encrypt", "--key", key, *CONTEXT, self.plain, sealed)
        self.kms("custodian-1", "key", "suspend", key)
        self.assertEqual(self.refused("storage-1", "decrypt", *CONTEXT, sealed, self.out).code, 6)
        self.assertEqual(self.refused("storage-1", "encrypt", "--key", key, self.plain, self.house.folder / "n").code, 6)
        self.kms("custodian-1", "key", "resume", key)
        self.decrypt(sealed)

    # 5: the ledger
    def test_ledger_verifies_with_pinned_keys_only(self):
        self.encrypt()
        report = self.eventually(self.verified_to_the_end)
        checks = {c["check"]: c["result"] for c in report["checks"]}
        self.assertEqual(set(checks.values()), {"pass"}, report)

    def verified_to_the_end(self):
        report = self.house.verify()
        # The platform's own entries are another's: their leaf hashes are in the tree.
        others = [f for f in report["findings"] if "of others" not in f["text"]]
        self.assertEqual(others, [], report)
        return report

    def test_ledger_with_other_pins_does_not_verify(self):
        trust = json.loads((self.house.dir / "trust.json").read_text())
        self.assertEqual(len(trust["tokens"]), 2)
        p256, ed25519 = trust["ledger_keys"]
        # A key of another name is no key that signed; the first bytes are those of its type.
        other_ed25519 = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
        for keys in ([trust["manifest_key"]], [trust["manifest_key"], ed25519], [p256, other_ed25519]):
            trust["ledger_keys"] = keys
            other = self.house.folder / "other-trust.json"
            other.write_text(json.dumps(trust))
            result = self.kms("auditor-1", "ledger", "verify", "--trust", other, "--json", check=False)
            self.assertEqual(result.returncode, 5, result.stderr)
            self.assertIn("not signed by every pinned key", result.stdout)
        # Whoever pins the P-256 key alone passes over the other line.
        trust["ledger_keys"] = [p256]
        other.write_text(json.dumps(trust))
        result = self.kms("auditor-1", "ledger", "verify", "--trust", other, "--json", check=False)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_replay_gives_the_stores_state(self):
        result = self.house.replay()
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_replay_finds_a_state_that_no_entry_made(self):
        path = self.house.dir / "store" / "kmsd.db"
        self.house.stop("kmsd")

        def set_state(old, new):
            with contextlib.closing(sqlite3.connect(path)) as database, database:
                return database.execute(
                    "UPDATE logical_key SET state = ? WHERE state = ?", (new, old)).rowcount
        try:
            self.assertGreater(set_state(ACTIVE, DEACTIVATED), 0)
            result = self.house.replay()
            self.assertEqual(result.returncode, 5, result.stdout + result.stderr)
            self.assertIn("key", result.stdout)
        finally:
            set_state(DEACTIVATED, ACTIVE)
            self.house.start("kmsd")
        self.assertEqual(self.house.replay().returncode, 0)

    def test_a_denial_is_recorded(self):
        self.refused("auditor-1", "datakey", "--key", self.key)
        auditor = next(p["id"] for p in self.house.json("auditor-1", "principal", "list")["principals"]
                       if p["label"] == "auditor-1")
        denied = [u for u in self.house.uses() if u["res"] == "denied" and u.get("actor") == auditor]
        self.assertTrue(denied)


if __name__ == "__main__":
    house.main()
