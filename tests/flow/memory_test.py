# SPDX-License-Identifier: Apache-2.0
"""
kmsd cannot read a data key: while sealed unwraps run, root reads all of kmsd's memory and looks for
the keys, raw, in hex and in base64. The same search finds them in the client, and, with a key that
was born `clear`, in kmsd: it would have found them.
"""
import array
import base64
import contextlib
import os
import pathlib
import socket
import ssl
import subprocess
import time
import unittest

import house

UNWRAPS = int(os.environ.get("KMS_TEST_UNWRAPS", "10000"))
SCANS = 3
PATIENCE_S = 60
PAGE = os.sysconf("SC_PAGE_SIZE")
WORKER = house.BUILD / "tests" / "flow" / "unwrapper"


def forms(key):
    """A key as it might lie in memory."""
    # Base64 by the three alignments it can have inside a longer text; its ends depend on neighbours.
    found = [key, key.hex().encode(), key.hex().upper().encode()]
    for pad in range(3):
        text = base64.b64encode(b"\0" * pad + key)
        found.append(text[4 if pad else 0:40])
    return found


def stretches(pid, start, end):
    """Where a mapping holds anything. Stacks of threads and arenas of the C library are hundreds of
    megabytes that nobody ever touched; pagemap knows (bit 63: in memory, bit 62: swapped out)."""
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        pagemap.seek(start // PAGE * 8)
        pages = array.array("Q", pagemap.read((end - start) // PAGE * 8))
    found = []
    for at, page in zip(range(start, end, PAGE), pages):
        if page >> 62 == 0:
            continue
        if found and found[-1][1] == at:
            found[-1][1] += PAGE
        else:
            found.append([at, at + PAGE])
    return found


def search(pid, keys):
    """How many of the keys stand in the memory of a process, in any form."""
    wanted = [(key, form) for key in keys for form in forms(key)]
    found = set()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            if "r" not in rights or "[vvar" in line or "[vsyscall" in line:
                continue
            whole = [int(x, 16) for x in span.split("-")]
            # What is shared can be in memory without being in this process's table of pages.
            for start, end in [whole] if "s" in rights else stretches(pid, *whole):
                try:
                    memory.seek(start)
                    data = memory.read(end - start)
                except OSError:
                    continue  # a guard page, or gone meanwhile
                found.update(key for key, form in wanted if form in data)
    return len(found)


class Worker:
    """The unwrapper at work, until the block is left."""

    KEYS = 16
    KEYS_BYTES = KEYS * (2 * 32 + 1)  # a line each, in hex

    def __init__(self, profile, key, folder):
        self.said, self.problem = folder / f"said-{key}", folder / f"problem-{key}"
        with self.said.open("w") as said, self.problem.open("w") as problem:
            self.process = subprocess.Popen([WORKER, profile, key], stdin=subprocess.PIPE, stdout=said,
                                            stderr=problem, env=house.ENVIRONMENT)
        self.size, self.since = 0, time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.process.stdin.close()  # it ends after the unwrap that it is at
            self.process.wait(0 if kind else PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            if not kind:
                raise AssertionError("the worker was told to end and did not") from None
        if not kind and self.process.returncode != 0:
            raise AssertionError(f"the worker failed: {self.problem.read_text()}")

    def bytes_said(self):
        """A byte more for each unwrap. An error when it ended by itself or says nothing any more."""
        size = self.said.stat().st_size
        if self.process.poll() is not None:
            raise AssertionError(f"the worker ended by itself ({self.process.returncode}): {self.problem.read_text()}")
        if size > self.size:
            self.size, self.since = size, time.monotonic()
        elif time.monotonic() > self.since + PATIENCE_S:
            raise AssertionError(f"the worker hangs after {size - self.KEYS_BYTES} unwraps")
        return size

    def unwraps(self):
        return self.bytes_said() - self.KEYS_BYTES

    def keys(self):
        while self.unwraps() < 0:
            time.sleep(0.01)
        return [bytes.fromhex(line) for line in self.said.read_text().splitlines()[:self.KEYS]]


@unittest.skipIf("KMS_SANITIZED" in os.environ, "a sanitizer maps more memory than can be read")
@unittest.skipUnless(house.IS_ROOT, "reading another process's memory needs root")
class Memory(house.Case):
    options = ("--clear",)

    def unwrap_under_watch(self, key, profile, is_control=False):
        """The most keys found at once in kmsd and in its client, while UNWRAPS unwraps are done; a
        control is over when it has found one in kmsd."""
        in_kmsd = in_client = scans = 0
        with Worker(profile, key, self.house.folder) as worker:
            keys = worker.keys()
            while scans < SCANS or (worker.unwraps() < UNWRAPS and not (is_control and in_kmsd)):
                before = worker.unwraps()
                in_kmsd = max(in_kmsd, search(self.house.pid("kmsd"), keys))
                in_client = max(in_client, search(worker.process.pid, keys))
                scans += worker.unwraps() > before  # else kmsd had nothing to do
                while worker.unwraps() < before + UNWRAPS // 20:
                    time.sleep(0.02)
        in_kmsd = max(in_kmsd, search(self.house.pid("kmsd"), keys))
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
        in_kmsd, _ = self.unwrap_under_watch(
            self.new_key("clear", "--delivery", "clear"), profile, is_control=True)
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
