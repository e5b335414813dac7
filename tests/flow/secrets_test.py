# SPDX-License-Identifier: Apache-2.0
"""
No PIN and no data key stands in a log at the most verbose level, a command line, an environment or
a database file; and as kmsd's user nobody reads a CA's key or a PIN, or writes a kms-tokend's file.
"""
import base64
import os
import pathlib
import pwd
import subprocess
import unittest

import house
from memory_test import forms


class Secrets(house.Case):
    @classmethod
    def setUpClass(cls):
        house.ENVIRONMENT["KMS_DEMO_LOG"] = "debug"
        cls.addClassCleanup(house.ENVIRONMENT.pop, "KMS_DEMO_LOG")
        super().setUpClass()

    def made(self):
        """Data keys that went through everything, and the tokens' PINs."""
        key = self.new_key("secrets")
        found = []
        for n in range(4):
            out, wrapped = self.house.folder / f"{key}-{n}", self.house.folder / f"{key}-{n}.wrapped"
            self.kms("storage-1", "datakey", "--key", key, "--output-key", out, "--output", wrapped)
            found.append(out.read_bytes())
            again = self.house.folder / f"{key}-{n}.again"
            self.kms("storage-1", "unwrap", "--output-key", again, wrapped)
            self.assertEqual(again.read_bytes(), out.read_bytes())
        self.assertEqual({len(k) for k in found}, {32})
        return found, [(self.house.dir / t / "token" / "pin").read_bytes() for t in ("acme", "system")]

    def places(self):
        for path in (self.house.dir / "run").glob("*.log"):
            yield path.name, path.read_bytes()
        for path in (self.house.dir / "store").iterdir():
            if path.is_file():
                yield path.name, path.read_bytes()
        for name in ("kmsd", "system", "acme"):
            for file in ("cmdline", "environ"):
                yield f"{name} {file}", pathlib.Path(f"/proc/{self.house.pid(name)}/{file}").read_bytes()

    def found(self, keys, pins):
        wanted = [form for key in keys for form in forms(key)] + pins
        return [name for name, content in self.places() if any(form in content for form in wanted)]

    def test_no_secret_where_it_must_not_be(self):
        keys, pins = self.made()
        self.assertEqual(self.found(keys, pins), [])
        for name in ("kmsd", "acme"):
            self.assertIn("debug:", self.house.log(name), "the logs must be at their most verbose")

    def test_the_search_would_find_them(self):
        keys, pins = self.made()
        planted = {
            self.house.dir / "run/planted.log": b"the key is %s." % base64.b64encode(b"!" + keys[0] + b"!"),
            self.house.dir / "store/planted": b"%s" % pins[1],
        }
        try:
            for path, content in planted.items():
                path.write_bytes(content)
            self.assertEqual(sorted(self.found(keys, pins)), ["planted", "planted.log"])
        finally:
            for path in planted:
                path.unlink()

    def test_core_dumps_are_off(self):
        for name in ("kmsd", "system", "acme"):
            limits = pathlib.Path(f"/proc/{self.house.pid(name)}/limits").read_text()
            core = next(line for line in limits.splitlines() if line.startswith("Max core"))
            self.assertEqual(core.split()[4:6], ["0", "0"], name)

    @unittest.skipUnless(house.IS_ROOT, "users of their own need root")
    def test_kmsds_user_reads_no_key_and_writes_no_file_of_a_tokend(self):
        user = pwd.getpwnam("kmsd")
        demo = self.house.dir
        private = [demo / "tenant/ca/ca.key", demo / "platform/ca/ca.key", demo / "tenant/people/storage-1.key"]
        for token in ("acme", "system"):
            private += [p for p in (demo / token / "token").rglob("*") if p.is_file()]
            self.assertIn(demo / token / "token/pin", private)
        script = (
            "import os, sys\n"
            "for path in sys.stdin.read().split('\\n'):\n"
            "    for mode in (os.O_RDONLY, os.O_WRONLY):\n"
            "        try:\n"
            "            os.close(os.open(path, mode))\n"
            "        except PermissionError:\n"
            "            continue\n"
            "        print('opened', path, mode)\n"
            "for path in sys.argv[1:]:\n"
            "    if os.access(path, os.W_OK):\n"
            "        print('writable', path)\n"
        )
        folders = [demo / "acme", demo / "acme/token", demo / "acme/token/state", demo / "run/acme", demo / "system"]
        result = subprocess.run(
            ["/usr/bin/python3", "-c", script, *folders], input="\n".join(map(str, private)), text=True,
            capture_output=True, user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd="/",
        )
        self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)

    @unittest.skipUnless(house.IS_ROOT, "users of their own need root")
    def test_daemons_run_as_their_own_users(self):
        for name, user in (("kmsd", "kmsd"), ("system", "kmstok-system"), ("acme", "kmstok-acme")):
            status = pathlib.Path(f"/proc/{self.house.pid(name)}/status").read_text()
            uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
            self.assertEqual(set(uids), {str(pwd.getpwnam(user).pw_uid)})


if __name__ == "__main__":
    house.main()
