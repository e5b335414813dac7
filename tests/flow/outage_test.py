# SPDX-License-Identifier: Apache-2.0
"""
What fails, fails clearly, and nothing is lost: a kms-tokend that is gone or hangs, a store on a full
or read-only file system, a kmsd that is killed, an older copy of the store.
"""
import os
import shutil
import signal
import subprocess
import time
import unittest

import house


class Outage(house.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.key = cls.house.json("custodian-1", "key", "create", "--label", "k")["id"]
        cls.n = 0

    def datakey(self):
        type(self).n += 1
        out = self.house.folder / f"key-{self.n}"
        self.kms("storage-1", "datakey", "--key", self.key, "--output-key", out, "--output",
                 self.house.folder / f"wrapped-{self.n}")
        return out

    def assert_503(self):
        token = self.house.json("custodian-1", "token", "list")["tokens"][0]["id"]
        body = f'{{"token":"{token}","flight":"AAAA"}}'.encode()
        status, headers, _ = self.house.get("storage-1", "/v1/sessions", body, listener="data")
        self.assertEqual(status, 503)
        self.assertIn("Retry-After", headers)

    def assert_well(self):
        self.eventually(self.datakey)
        self.eventually(self.house.verify)
        self.assertEqual(self.house.replay().returncode, 0)

    def test_tokend_killed_and_started_again(self):
        self.house.kill("acme")
        time.sleep(0.3)
        self.assert_503()
        self.assertEqual(self.refused("storage-1", "datakey", "--key", self.key, "--output-key",
                                      self.house.folder / "none").code, 8)
        self.assertFalse((self.house.folder / "none").exists())
        self.house.start("acme")
        self.assert_well()

    def test_tokend_hangs(self):
        self.house.kill("acme", signal.SIGSTOP)
        began = time.monotonic()
        try:
            self.assert_503()
            self.assertLess(time.monotonic() - began, 25)
        finally:
            self.house.kill("acme", signal.SIGCONT)
        self.assert_well()

    def test_kmsd_killed_and_started_again(self):
        self.datakey()
        self.house.kill("kmsd")
        self.house.start("kmsd")
        self.assert_well()

    def test_second_kmsd_on_one_store_is_refused(self):
        result = subprocess.run(
            [house.BUILD / "kmsd/main/kmsd", "--config", self.house.dir / "kmsd/kmsd.yaml"],
            env=house.ENVIRONMENT, capture_output=True, text=True, timeout=60)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("another kmsd has it open", result.stderr)

    def test_older_store_is_refused(self):
        self.house.stop("kmsd")
        copy = self.house.folder / "yesterday"
        shutil.rmtree(copy, ignore_errors=True)
        subprocess.run(["cp", "-a", self.house.dir / "store", copy], check=True)
        self.house.start("kmsd")
        self.datakey()
        time.sleep(2.5)  # the head is signed within a second
        self.house.stop("kmsd")
        today = self.house.folder / "today"
        subprocess.run(["cp", "-a", self.house.dir / "store", today], check=True)
        try:
            subprocess.run(["cp", "-a", "--remove-destination", f"{copy}/.", self.house.dir / "store"], check=True)
            result = subprocess.run(
                [house.BUILD / "kmsd/main/kmsd", "--config", self.house.dir / "kmsd/kmsd.yaml"],
                env=house.ENVIRONMENT, capture_output=True, text=True, timeout=60)
            self.assertEqual(result.returncode, 10, result.stderr)
            self.assertIn("older", result.stderr)
        finally:
            shutil.rmtree(self.house.dir / "store")
            subprocess.run(["cp", "-a", today, self.house.dir / "store"], check=True)
            self.house.start("kmsd")
        self.assert_well()


@unittest.skipUnless(house.IS_ROOT, "mounting a file system needs root")
class Disk(house.Case):
    """The store on a small file system of its own."""

    @classmethod
    def setUpClass(cls):
        cls.house = house.House()
        cls.addClassCleanup(cls.house.close)
        store = cls.house.dir / "store"
        kept = cls.house.folder / "kept"
        store.rename(kept)
        store.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", store], check=True)
        cls.addClassCleanup(subprocess.run, ["umount", "-l", store])
        subprocess.run(["cp", "-a", f"{kept}/.", store], check=True)
        stat = kept.stat()
        os.chown(store, stat.st_uid, stat.st_gid)
        cls.store = store
        cls.house.start()
        cls.key = cls.house.json("custodian-1", "key", "create", "--label", "k")["id"]

    def fill(self):
        with open(self.store / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:
                pass

    def test_full_store_releases_no_key(self):
        self.fill()
        released = 0
        try:
            # The write-ahead log may have room left for a few.
            for n in range(400):
                out = self.house.folder / f"full-{n}"
                result = self.kms("storage-1", "datakey", "--key", self.key, "--output-key", out, check=False)
                if result.returncode != 0:
                    self.assertIn(result.returncode, (8, 10), result.stderr)
                    self.assertFalse(out.exists())
                    break
                released += 1
            else:
                self.fail("the store never filled")
        finally:
            (self.store / "ballast").unlink()
        self.eventually(lambda: self.kms("storage-1", "datakey", "--key", self.key, "--output-key",
                                         self.house.folder / "after"))
        self.assertEqual(self.house.replay().returncode, 0)
        self.eventually(self.house.verify)

    def test_read_only_store_is_not_served(self):
        self.house.stop("kmsd")
        subprocess.run(["mount", "-o", "remount,ro", self.store], check=True)
        try:
            with self.assertRaises(subprocess.CalledProcessError):
                self.house.start("kmsd")
        finally:
            subprocess.run(["mount", "-o", "remount,rw", self.store], check=True)
        self.house.start("kmsd")
        self.eventually(self.house.verify)


if __name__ == "__main__":
    house.main()
