# SPDX-License-Identifier: Apache-2.0
"""What bench/run and bench/erase share."""
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

import house


class Program:
    """A program of bench/ that answers each line with a line of JSON."""

    def __init__(self, name, *arguments):
        self.process = subprocess.Popen(
            [house.BUILD / "bench" / f"bench-{name}", *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"bench: {self.process.args[0]} stopped")
        return json.loads(line)

    def lap(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def cpu_s(pid):
    """Seconds that a process and its threads have worked, ended ones too: proc(5)."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine():
    model = next(
        (line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="ascii")
         if line.startswith("model name")), platform.machine())
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.split()[1]
    return (f"{datetime.date.today()}, {os.cpu_count()} cores of {model}, "
            f"Linux {platform.release()}, OpenSSL {openssl}")
