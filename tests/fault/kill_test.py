# SPDX-License-Identifier: Apache-2.0
"""
Each daemon killed at each thing it leaves behind, by trace and not by chance. For every step (create,
rotate, datakey, unwrap, erase) and every process one run is traced; that says which system calls the step
makes: opens that truncate or create, writes, syncs, renames, unlinks, sends. Then the same house, as
it was before the step, is run again and the process killed before or after the n-th of them. It is
started again, and everything must be as if nothing had happened, or had not happened at all:
state, ledger and token agree, the ledger verifies, what was answered is recorded, nothing half-made is
left, nothing committed is gone, and the step can be done (again).

A few points of each step by default; with KMS_TEST_LONG=1 every n, before and after. That takes an
hour for an erasure, most of it waiting: KMS_TEST_PART=2/4 runs the second quarter of the points, so
that four runs side by side are all of them.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "flow"))
import house

KILLAT = house.BUILD / "tests" / "fault" / "killat"
LONG = os.environ.get("KMS_TEST_LONG") == "1"
PART, PARTS = map(int, os.environ.get("KMS_TEST_PART", "1/1").split("/"))
SAMPLES = {"kmsd": 6, "acme": 6, "system": 2}  # points of each step
SETTLE_S = 2.5  # heads and statements are signed within a second of what they are about
WRAPPED_ID = slice(23, 39)  # docs/formats/wrapped-key.md
SKIP = os.environ.get("KMS_SKIP") or ("" if house.IS_ROOT else "tracing a daemon needs root")


class Point:
    """One line of killat's: a call."""

    def __init__(self, line, folder):
        n, _, self.call, what = line.split(" ", 3)
        self.n = int(n)
        self.what = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4,12})+", "ID", what.replace(f"{folder}/", ""))

    def kind(self):
        return self.call, self.what


class Broken(AssertionError):
    """What a kill left wrong."""


class Story:
    """The house, the steps, and what must hold after them."""

    def __init__(self, empty_house):
        self.house = empty_house
        self.ready = self.house.folder / "ready"
        self.arm = self.house.folder / "arm"
        self.trace = self.house.folder / "trace"
        self.trace.mkdir()
        self.files = 0
        self.answers = []  # (operation, wrapped-key id) that a client got
        self.house.start()
        self.key = self.create()
        self.old = self.datakey(self.key)
        self.rotate()
        self.newer = self.datakey(self.key)
        self.doomed = self.create()
        self.lost = self.datakey(self.doomed)
        people = self.house.json("custodian-1", "principal", "list")["principals"]
        self.ids = {person["label"]: person["id"] for person in people}
        time.sleep(SETTLE_S)
        self.house.stop()
        subprocess.run(["cp", "-a", self.house.dir, self.ready], check=True)
        self.made = list(self.answers)
        self.own_objects = self.objects() - 3  # the token's own: we made three KEKs

    def restore(self):
        self.house.stop()
        shutil.rmtree(self.house.dir)
        subprocess.run(["cp", "-a", self.ready, self.house.dir], check=True)
        self.arm.unlink(missing_ok=True)
        self.answers = list(self.made)

    # ---- the steps ----

    def create(self):
        return self.house.json("custodian-1", "key", "create", "--label", "archives")["id"]

    def rotate(self):
        self.house.run("custodian-1", "key", "rotate", self.key)

    def fresh(self, name):
        self.files += 1
        return self.house.folder / f"{name}-{self.files}"

    def note(self, operation, wrapped):
        out = subprocess.run(["base64", "-d", wrapped], capture_output=True, check=True).stdout
        identity = out[WRAPPED_ID].hex()
        self.answers.append((operation, re.sub("(.{8})(.{4})(.{4})(.{4})(.{12})", r"\1-\2-\3-\4-\5", identity)))

    def datakey(self, key=None):
        """A new data key: its wrapped key's file and its own."""
        wrapped, plain = self.fresh("wrapped"), self.fresh("plain")
        try:
            self.house.run("storage-1", "datakey", "--key", key or self.key, "--output", wrapped,
                           "--output-key", plain)
        except house.Refused:
            if plain.exists():
                raise Broken("a refused data key left a file") from None
            raise
        self.note("datakey", wrapped)
        return wrapped, plain

    def unwrap(self, pair=None):
        wrapped, plain = pair or self.old
        out = self.fresh("unwrapped")
        try:
            self.house.run("storage-1", "unwrap", wrapped, "--output-key", out)
        except house.Refused:
            if out.exists():
                raise Broken("a refused unwrap left a file") from None
            raise
        self.note("unwrap", wrapped)
        if out.read_bytes() != plain.read_bytes():
            raise Broken("unwrap gave another data key")

    def erase(self):
        """The doomed key's end, from where an earlier try left it."""
        found = [row for row in self.house.json("custodian-1", "erase", "list")["erasures"]
                 if row["subject"] == self.doomed]
        if not found:
            self.house.run("custodian-1", "erase", "request", "--key", self.doomed, "--window", "0s", "--yes")
            found = self.house.json("custodian-1", "erase", "list")["erasures"]
        shown = self.house.json("custodian-1", "erase", "show", found[0]["id"])
        approved = {approval["principal"] for approval in shown["approvals"]}
        for who in ("approver-1", "approver-2"):
            if shown["state"] == "requested" and self.ids[who] not in approved:
                self.house.run(who, "erase", "approve", shown["id"], "--yes", "--sign-key",
                               self.house.dir / f"tenant/people/{who}.approval.key")
        if self.house.json("custodian-1", "erase", "execute", shown["id"])["state"] != "done":
            raise Broken("executed, and not done")
        try:
            self.unwrap(self.lost)
        except house.Refused as refused:
            if "erased" not in refused.text:
                raise
        else:
            raise Broken("erased, and unwrapped")

    STEPS = {"create": create, "rotate": rotate, "datakey": datakey, "unwrap": unwrap, "erase": erase}

    # ---- a run ----

    def start_under_killat(self, victims, *options):
        wraps = {}
        for victim in victims:
            folders = ["store", "tiles"] if victim == "kmsd" else [f"{victim}/token"]
            only = [word for folder in folders for word in ("--only", self.house.dir / folder)]
            words = [KILLAT, "--trace", self.trace / victim, "--arm", self.arm, "--sockets", *only,
                     *options, "--"]
            wraps[f"KMS_WRAP_{victim}"] = " ".join(map(str, words))
        subprocess.run([house.DEMO, "start", self.house.dir], check=True,
                       env={**house.ENVIRONMENT, **wraps}, stdin=subprocess.DEVNULL)

    def points(self, victim):
        lines = (self.trace / victim).read_text().splitlines()
        return [Point(line, self.house.dir) for line in lines if not line.startswith("killed ")]

    def traced(self, step):
        """The calls of one undisturbed run, of each process."""
        self.restore()
        self.start_under_killat(SAMPLES)
        time.sleep(SETTLE_S)  # what a start leaves behind is not the step's
        self.arm.touch()
        self.STEPS[step](self)
        time.sleep(SETTLE_S)
        return {victim: self.points(victim) for victim in SAMPLES}

    def is_dead(self, victim):
        try:
            return pathlib.Path(f"/proc/{self.house.pid(victim)}/stat").read_text().split()[2] == "Z"
        except FileNotFoundError:
            return True

    def killed(self, victim, step, n, when):
        """Do the step with the victim killed there: the point (None: it came to no n) and whether the
        client was answered."""
        self.restore()
        self.start_under_killat([victim], "--at", n, "--when", when)
        time.sleep(SETTLE_S if LONG else 0)  # so that n means what it meant in the trace
        self.arm.touch()
        try:
            self.STEPS[step](self)
            answered = True
        except house.Refused:
            answered = False
        end = time.monotonic() + SETTLE_S
        while not self.is_dead(victim) and time.monotonic() < end:
            time.sleep(0.02)
        hit = None
        if f"killed {when} {n}\n" in (self.trace / victim).read_text():
            hit = self.points(victim)[n - 1]
        else:
            self.house.kill(victim)
        while not self.is_dead(victim):
            time.sleep(0.02)
        return hit, answered

    # ---- what must hold ----

    def objects(self):
        return len(list((self.house.dir / "acme/token/tokens").glob("*/????????-*.object")))

    def live_keks(self):
        keys = self.house.json("custodian-1", "key", "list")["keys"]
        shown = [self.house.json("custodian-1", "key", "show", key["id"]) for key in keys]
        return {kek["id"] for key in shown for kek in key["keks"] if kek["state"] == "live"}, keys

    def agree(self):
        """Store, ledger and token say the same."""
        replay = self.house.replay()
        if replay.returncode != 0 or "state equals" not in replay.stdout:
            raise Broken(f"replay: {replay.stdout}{replay.stderr}")
        self.house.verify("--older", self.house.dir / "tiles/checkpoint")  # what was published holds
        entries = self.house.lines("auditor-1", "ledger", "show", "--from", "0", "--limit", "100000")
        alarms = [entry for entry in entries if entry.get("type") == "alarm"]
        if alarms:
            raise Broken(f"alarms: {alarms}")
        live, _ = self.live_keks()
        births = self.house.dir / "acme/token/state/kek"
        destroyed = {path.stem for path in births.glob("*.destroyed")}
        committed = {path.stem for path in births.glob("*.live")} - destroyed
        abandoned = {path.stem for path in births.glob("*.abandoned")}
        if committed != live or committed & abandoned:
            raise Broken(f"live: {live}; committed in the token: {committed}, abandoned: {abandoned}")
        if {path.stem for path in births.glob("*.birth")} != committed | abandoned | destroyed:
            raise Broken("a KEK is born and neither committed nor abandoned nor destroyed")
        left = [path.name for path in births.iterdir() if path.suffix == ".new"]
        if left:
            raise Broken(f"half-made files: {left}")
        if self.objects() != len(live) + self.own_objects:
            raise Broken(f"{self.objects()} objects for {len(live)} live KEKs")
        recorded = [(use["op"], use["wrapped_key"]) for use in self.house.uses() if use["res"] == "ok"]
        for answer in set(self.answers):
            if recorded.count(answer) < self.answers.count(answer):
                raise Broken(f"answered and not recorded: {answer}")

    def eventually(self, check, seconds=60):
        end = time.monotonic() + seconds
        while True:
            try:
                return check()
            except (AssertionError, house.Refused):
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def recovers(self, victim, step):
        self.house.start(victim)
        self.eventually(lambda: self.STEPS[step](self))
        self.eventually(self.unwrap)
        self.unwrap(self.newer)
        for key in self.live_keks()[1]:
            if key["state"] == "active":
                self.unwrap(self.datakey(key["id"]))
        self.eventually(self.agree)


def stretches(points):
    """One point for each stretch of the same call on the same file; of those that come again and
    again the first, the middle and the last."""
    starts = [a for a, b in zip(points, [None, *points]) if b is None or a.kind() != b.kind()]
    again = {}
    for point in starts:
        again.setdefault(point.kind(), []).append(point)
    return [point for point in starts
            for same in [again[point.kind()]]
            if point in (same[0], same[len(same) // 2], same[-1])]


def sample(points, count):
    """Which (n, when): all, or so many of them, spread over the step."""
    if LONG:
        return [(point.n, when) for point in points for when in ("before", "after")]
    starts = stretches(points)
    places = [starts[(2 * i + 1) * len(starts) // (2 * count)] for i in range(count)]
    return [(point.n, ("before", "after")[i % 2]) for i, point in enumerate(places)]


@unittest.skipIf(SKIP, SKIP)
class Kill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        empty_house = house.House()
        cls.addClassCleanup(empty_house.close)
        cls.story = Story(empty_house)

    def kill_everywhere(self, step):
        for victim, points in self.story.traced(step).items():
            self.assertGreater(len(points), SAMPLES[victim])
            for n, when in sample(points, SAMPLES[victim])[PART - 1::PARTS]:
                with self.subTest(victim=victim, step=step, n=n, when=when):
                    hit, answered = self.story.killed(victim, step, n, when)
                    place = f"{when} {hit.call} {hit.what}" if hit else "after the last"
                    print(f"{step}: {victim} killed at {n} of {len(points)}, {place};",
                          "answered" if answered else "not answered", flush=True)
                    self.story.recovers(victim, step)

    def test_create(self):
        self.kill_everywhere("create")

    def test_rotate(self):
        self.kill_everywhere("rotate")

    def test_datakey(self):
        self.kill_everywhere("datakey")

    def test_unwrap(self):
        self.kill_everywhere("unwrap")

    def test_erase(self):
        self.kill_everywhere("erase")


if __name__ == "__main__":
    house.main()
