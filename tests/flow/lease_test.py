# SPDX-License-Identifier: Apache-2.0
"""
Data keys on lease: given back at the end, on request and because of an erasure, by real storage systems
in libkms; and what a certificate says while one of them has not given its own back.
"""
import json
import os
import signal
import subprocess
import time

import house
from erase_test import Contract

LEASE_S = 20
PROVISIONAL = KEY_STATE = 6  # exit codes of kms(1)


class Holder:
    """A storage system that holds data keys."""

    def __init__(self, which, key, count):
        self.process = subprocess.Popen(
            [house.BUILD / "tests/flow/holder", which.dir / "storage-1.yaml", key, str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=house.ENVIRONMENT)
        line = self.process.stdout.readline()
        if line != f"held {count}\n":
            raise AssertionError(line)

    def gone(self):
        """Waits until some are gone: how many."""
        return int(self.process.stdout.readline().split()[1])

    def leave(self):
        self.process.stdin.close()
        if self.process.wait(timeout=60) != 0:
            raise AssertionError("a holder did not end well")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()


class Leases(Contract):
    @classmethod
    def setUpClass(cls):
        cls.house = house.House()
        cls.addClassCleanup(cls.house.close)
        policy = cls.house.dir / "kmsd/policy.yaml"
        text = policy.read_text()
        policy.write_text(text.replace("lease_seconds: 3600", f"lease_seconds: {LEASE_S}"))
        assert policy.read_text() != text
        cls.house.start()

    def holder(self, key, count):
        holder = Holder(self.house, key, count)
        self.addCleanup(holder.close)
        return holder

    def leases(self, key):
        """What a plan to erase the key sees of them."""
        plan = self.house.json("auditor-1", "erase", "plan", "--key", key)
        return plan["observed"]["leases"]

    def test_1_at_its_end(self):
        key = self.new_key("ends")
        holder = self.holder(key, 3)
        before = self.leases(key)
        self.assertEqual((before["handed_out"], before["returned"], before["clients"]), (3, 0, 1))
        ends_in = before["last_end"] / 1000 - time.time()
        self.assertTrue(0 < ends_in <= LEASE_S, ends_in)
        gone = 0
        while gone < 3:
            gone += holder.gone()
        self.assertLess(time.time(), before["last_end"] / 1000 + 5)
        holder.leave()
        after = self.leases(key)
        self.assertEqual((after["returned"], after["clients"], after["last_end"]), (3, 0, None))

    def test_2_when_the_client_ends(self):
        key = self.new_key("leaves")
        holder = self.holder(key, 5)
        holder.leave()
        self.assertEqual(self.leases(key)["returned"], 5)
        # One receipt for all of them, by that storage system, that verifies without kmsd.
        self.assertEqual(self.house.verify()["result"], "pass")
        self.assertEqual(self.house.replay().returncode, 0)

    def test_3_what_a_program_takes_away_stays_open(self):
        key = self.new_key("taken")
        wrapped, plain = self.house.folder / "taken.wrapped", self.house.folder / "taken.key"
        self.kms("storage-1", "datakey", "--key", key, "--output", wrapped, "--output-key", plain)
        self.assertEqual(self.leases(key)["returned"], 0)
        self.kms("storage-1", "datakey", "--key", key, "--output", self.house.folder / "only.wrapped")
        self.assertEqual(self.leases(key)["returned"], 1)  # the key itself went nowhere

    def test_4_erasure(self):
        key, dataset, sealed = self.make_archive()
        self.decrypt(dataset, sealed)
        self.assertEqual(self.leases(key)["clients"], 0)  # kms gave both back
        good = self.holder(key, 2)
        lost = self.holder(key, 1)
        lost.process.send_signal(signal.SIGKILL)
        erasure = self.request("--key", key)
        gone = 0
        while gone < 2:  # it asks by itself, and is told
            gone += good.gone()
        self.eventually(lambda: self.assertEqual(len(self.receipts_of(erasure)), 1))
        self.approve(erasure)
        self.assertEqual(self.execute(erasure)["state"], "done")

        first = self.certificate(erasure)
        said = json.loads((first / "certificate.json").read_text())
        self.assertEqual(said["status"], "provisional")
        leases = said["leases"]
        self.assertEqual((leases["handed_out"], leases["returned"], leases["clients"]), (5, 4, 1))
        self.assertGreater(leases["last_end"], leases["seen"])
        code, report = self.verify_bundle(first)
        self.assertEqual((code, report["result"]), (PROVISIONAL, "pass"), report)
        self.assertIn("1 data keys which nobody gave back", json.dumps(report["not_shown"]))
        self.assertIn("lease.receipt", [event["type"] for event in said["events"]])

        # When the last one is over there is nothing more to wait for.
        time.sleep(max(0, leases["last_end"] / 1000 - time.time()) + 0.1)
        last = self.certificate(erasure)
        said = json.loads((last / "certificate.json").read_text())
        self.assertEqual((said["status"], said["supersedes"]), ("final", self.id_of(first)))
        self.assertEqual(said["leases"]["clients"], 1)  # it is still nobody's word
        code, report = self.verify_bundle(last)
        self.assertEqual((code, report["result"]), (0, "pass"), report)
        self.assertEqual(self.house.verify()["result"], "pass")
        self.assertEqual(self.house.replay().returncode, 0)
        good.leave()

    def id_of(self, bundle):
        return json.loads((bundle / "certificate.json").read_text())["id"]

    def receipts_of(self, erasure):
        """Entries of receipts since the erasure was requested."""
        since = [e["seq"] for e in self.entries("destroy.request") if e["data"]["erasure"] == erasure]
        return [e for e in self.entries("lease.receipt") if e["seq"] > since[0]]

    def test_5_a_stream_that_runs_is_stopped(self):
        key = self.new_key("runs")
        out = self.house.folder / "running.kms"
        process = subprocess.Popen(
            [house.KMS, "--profile", self.house.dir / "storage-1.yaml", "encrypt", "--key", key, "-", out],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=house.ENVIRONMENT)
        self.addCleanup(process.stderr.close)
        process.stdin.write(os.urandom(1 << 20))
        process.stdin.flush()
        self.eventually(lambda: self.assertEqual(self.leases(key)["clients"], 1))
        erasure = self.request("--key", key)
        end = time.monotonic() + 60
        with self.assertRaises(BrokenPipeError):
            while time.monotonic() < end:
                process.stdin.write(os.urandom(1 << 18))
                process.stdin.flush()
                time.sleep(0.05)
        self.assertEqual(process.wait(timeout=60), KEY_STATE, process.stderr.read())
        self.assertFalse(out.exists())
        self.assertEqual(len(self.receipts_of(erasure)), 1)  # kms said so before it ended


if __name__ == "__main__":
    house.main()
