# SPDX-License-Identifier: Apache-2.0
"""
A whole kmsd for one flow test: real daemons, real tokens, real TLS, made by scripts/demo in a folder
of its own and taken away afterwards. Standard library only.

    class Story(house.Case):
        options = ("--clear",)        # for scripts/demo make
        def test_...(self):
            self.kms("custodian-1", "key", "create", "--label", "archives")
"""
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("KMS_BUILD", SOURCE / "build")).resolve()
KMS = BUILD / "cli" / "kms"
DEMO = SOURCE / "scripts" / "demo"
IS_ROOT = os.geteuid() == 0

# The daemons cannot be traced, which LeakSanitizer would need.
ENVIRONMENT = dict(
    os.environ,
    KMS_BUILD=str(BUILD),
    KMS_DEMO_QUIET="1",
    ASAN_OPTIONS="detect_leaks=0",
    PATH=f"{BUILD / 'cli'}:{BUILD / 'kmsd' / 'main'}:{os.environ['PATH']}",
)


class Refused(Exception):
    """A kms command that failed: its exit code and what it said."""

    def __init__(self, result):
        super().__init__(f"exit {result.returncode}: {result.stderr.strip()}")
        self.code = result.returncode
        self.text = result.stderr


class House:
    """One demo directory and its daemons."""

    def __init__(self, options=(), copy_of=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kms-"))
        self.folder.chmod(0o755)  # the daemons' users have to get through
        self.dir = self.folder / "demo"
        if copy_of is not None:
            subprocess.run(["cp", "-a", copy_of, self.dir], check=True)
        else:
            users = ["--users"] if IS_ROOT else []
            self.demo("make", *users, *options)

    def demo(self, action, *arguments):
        subprocess.run(
            [DEMO, action, self.dir, *arguments], check=True, env=ENVIRONMENT, stdin=subprocess.DEVNULL
        )

    def start(self, *names):
        self.demo("start", *names)

    def stop(self, *names):
        self.demo("stop", *names)

    def restart(self):
        self.stop()
        self.start()

    def pid(self, name):
        return int((self.dir / "run" / f"{name}.pid").read_text())

    def kill(self, name, number=signal.SIGKILL):
        os.kill(self.pid(name), number)

    def log(self, name):
        return (self.dir / "run" / f"{name}.log").read_text()

    def run(self, who, *arguments, data=None, check=True):
        """Run kms as a principal; the finished process, or Refused."""
        result = subprocess.run(
            [KMS, "--profile", self.dir / f"{who}.yaml", *map(str, arguments)],
            env=ENVIRONMENT, capture_output=True, input=data, text=data is None or isinstance(data, str),
        )
        if check and result.returncode != 0:
            raise Refused(result)
        return result

    def lines(self, who, *arguments):
        """What --json prints as one JSON text a line: entries and use records, as they are stored."""
        return [json.loads(line) for line in self.run(who, *arguments, "--json").stdout.splitlines()]

    def get(self, who, path, body=None, listener="admin"):
        """One HTTPS request by hand: status, headers and JSON."""
        profile = {}
        for line in (self.dir / f"{who}.yaml").read_text().splitlines():
            name, _, value = line.partition(": ")
            profile[name] = value.strip("'")
        context = ssl.create_default_context(cafile=profile["server_ca"])
        context.load_cert_chain(profile["certificate"], profile["key"])
        request = urllib.request.Request(
            profile[f"{listener}_url"] + path, data=body, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, context=context, timeout=60) as answer:
                return answer.status, dict(answer.headers), json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), json.load(error)

    def uses(self, auditor="auditor-1"):
        """Every use record that the auditor may see, in order."""
        found = []
        for entry in self.lines(auditor, "ledger", "show", "--from", "0", "--limit", "100000"):
            if entry.get("type") == "use.batch":
                found += self.lines(auditor, "ledger", "uses", entry["seq"])
        return found

    def json(self, who, *arguments):
        return json.loads(self.run(who, *arguments, "--json").stdout)

    def kmsd(self, *arguments, config="kmsd.yaml"):
        """kmsd for one of its offline jobs."""
        return subprocess.run(
            [BUILD / "kmsd" / "main" / "kmsd", "--config", self.dir / "kmsd" / config,
             "--log-level", "error", *arguments],
            env=ENVIRONMENT, capture_output=True, text=True,
        )

    def replay(self):
        return self.kmsd("--replay")

    def verify(self, *arguments, check=True, tenant=""):
        """kms ledger verify, with the pins of the trust file; its JSON report."""
        result = self.run(
            f"{tenant}auditor-1", "ledger", "verify", "--trust", self.dir / f"{tenant}trust.json",
            "--json", *arguments, check=False,
        )
        report = json.loads(result.stdout)
        if check and result.returncode != 0:
            raise AssertionError(json.dumps(report, indent=1))
        return report

    def close(self):
        self.demo("stop")
        shutil.rmtree(self.folder, ignore_errors=True)


class Case(unittest.TestCase):
    """A test with a house of its own for the whole class."""

    options = ()

    @classmethod
    def setUpClass(cls):
        cls.house = House(cls.options)
        cls.addClassCleanup(cls.house.close)
        cls.house.start()

    def kms(self, who, *arguments, **keywords):
        return self.house.run(who, *arguments, **keywords)

    def refused(self, who, *arguments):
        with self.assertRaises(Refused) as caught:
            self.house.run(who, *arguments)
        return caught.exception

    def new_key(self, label="test", *arguments):
        return self.house.json("custodian-1", "key", "create", "--label", label, *arguments)["id"]

    def eventually(self, check, seconds=60):
        """Try until it does not raise, or the time is over."""
        end = time.monotonic() + seconds
        while True:
            try:
                return check()
            except (AssertionError, Refused):
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)


def main():
    """Run the file's tests; exit status 77 says that every one of them was skipped."""
    result = unittest.main(verbosity=2, exit=False).result
    if not result.wasSuccessful():
        raise SystemExit(1)
    raise SystemExit(77 if result.testsRun == len(result.skipped) or result.testsRun == 0 else 0)
