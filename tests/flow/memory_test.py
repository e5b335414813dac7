# SPDX-License-Identifier: Apache-2.0
"""
kmsd cannot read a data key: while sealed unwraps run, root reads all of kmsd's memory and looks for
the keys, raw, in hex and in base64. The same search finds them in the client, and, with a key that
was born `clear`, in kmsd: it would have found them.
"""
import base64
import contextlib
import os
import pathlib
import re
import socket
import ssl
import subprocess
import time
import unittest

import house

UNWRAPS = int(os.environ.get("KMS_TEST_UNWRAPS", "10000"))
WORKER = house.BUILD / "tests" / "flow" / "unwrapper"


def forms(key):
    """A key as it might lie in memory."""
    # Base64 by the three alignments it can have inside a longer text; its ends depend on neighbours.
    found = [key, key.hex().encode(), key.hex().upper().encode()]
    for pad in range(3):
        text = base64.b64encode(b"\0" * pad + key)
        found.append(text[4 if pad else 0:40])
    return found


def search(pid, keys):
    """How many of the keys stand in the memory of a process, in any form."""
    wanted = re.compile(b"|".join(re.escape(form) for key in keys for form in forms(key)))
    found = set()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            if "r" not in rights or "[vvar" in line or "[vsyscall" in line:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            try:
                memory.seek(start)
                found.update(wanted.findall(memory.read(end - start)))
            except OSError:
                continue  # a guard page, or gone meanwhile
    return len(found)


@unittest.skipIf("KMS_SANITIZED" in os.environ, "a sanitizer maps more memory than can be read")
@unittest.skipUnless(house.IS_ROOT, "reading another process's memory needs root")
class Memory(house.Case):
    options = ("--clear",)

    def unwrap_under_watch(self, key, profile):
        """Run UNWRAPS unwraps of 16 data keys; the most keys found at once in kmsd and the client."""
        worker = subprocess.Popen(
            [WORKER, profile, key, str(UNWRAPS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=house.ENVIRONMENT,
        )
        with worker:
            keys = [bytes.fromhex(worker.stdout.readline().strip()) for _ in range(16)]
            worker.stdin.write("go\n")
            worker.stdin.flush()
            in_kmsd = in_client = scans = 0
            while worker.poll() is None:
                in_kmsd = max(in_kmsd, search(self.house.pid("kmsd"), keys))
                try:
                    in_client = max(in_client, search(worker.pid, keys))
                except ProcessLookupError:
                    break  # it has just finished
                scans += 1
            worker.wait()
            in_kmsd = max(in_kmsd, search(self.house.pid("kmsd"), keys))
            self.assertEqual(worker.returncode, 0)
        self.assertGreater(scans, 2, "the search must run while the unwraps do")
        return in_kmsd, in_client

    def test_sealed_keys_are_never_in_kmsd(self):
        in_kmsd, in_client = self.unwrap_under_watch(
            self.new_key("sealed"), self.house.dir / "storage-1.yaml")
        self.assertGreater(in_client, 0, "the control must find them in the client")
        self.assertEqual(in_kmsd, 0)

    def test_clear_keys_are_found_in_kmsd(self):
        profile = self.house.folder / "clear.yaml"
        profile.write_text((self.house.dir / "storage-1.yaml").read_text().replace(
            "delivery: sealed", "delivery: clear"))
        in_kmsd, _ = self.unwrap_under_watch(self.new_key("clear", "--delivery", "clear"), profile)
        self.assertGreater(in_kmsd, 0, "the control must find them in kmsd")
        self.house.verify()  # a clear use has kmsd's certificate, and is no accusation

    def test_who_may_not_wrap_takes_no_secret_memory(self):
        """Bodies of wraps that an auditor begins and never ends, of every size, leave room for others."""
        key = self.new_key("clear", "--delivery", "clear")
        people = self.house.dir / "tenant/people"
        data = next(line for line in (self.house.dir / "storage-1.yaml").read_text().splitlines()
                    if line.startswith("data_url"))
        host, port = data.split("//")[1].strip("'").split(":")
        context = ssl.create_default_context(cafile=self.house.dir / "platform/ca/ca.pem")
        context.load_cert_chain(people / "auditor-1.pem", people / "auditor-1.key")
        profile = self.house.folder / "clear-auditor.yaml"
        profile.write_text((self.house.dir / "storage-1.yaml").read_text().replace(
            "delivery: sealed", "delivery: clear"))
        with contextlib.ExitStack() as open_ones:
            for size in [262144] * 8 + [2 ** n for n in range(17, 6, -1) for _ in range(6)]:
                link = socket.create_connection((host, int(port)))
                link = open_ones.enter_context(context.wrap_socket(link, server_hostname=host))
                link.sendall(f"POST /v1/keys/{key}/wrap HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n"
                             "Content-Type: application/json\r\n\r\n{".encode())
            time.sleep(1)
            result = subprocess.run([house.KMS, "--profile", profile, "datakey", "--key", key, "--json"],
                                    env=house.ENVIRONMENT, capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    house.main()
