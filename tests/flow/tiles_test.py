# SPDX-License-Identifier: Apache-2.0
"""The ledger as static files (C2SP tlog-tiles), read as a stranger would: a checkpoint, tiles and
SHA-256, nothing else."""
import base64
import hashlib
import stat
import subprocess

import house


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def root(hashes):
    """RFC 9162 section 2.1.1, over hashes that are leaves already."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node(root(hashes[:split]), root(hashes[split:]))


def name(level, index, width):
    """tlog-tiles, "Merkle Tree"."""
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03}")
    return f"tile/{level}/" + "/".join(groups) + (f".p/{width}" if width < 256 else "")


class Mirror:
    """The files at one moment."""

    def __init__(self, folder):
        self.folder = folder
        text = (folder / "checkpoint").read_text()
        self.origin, size, root_text = text.split("\n")[:3]
        self.size, self.root = int(size), base64.b64decode(root_text)

    def tile(self, level, index, width):
        """A partial tile may be gone when the full one is there."""
        for wanted in (width, 256):
            path = self.folder / name(level, index, wanted)
            if path.exists():
                data = path.read_bytes()
                if len(data) != wanted * 32:
                    raise AssertionError(f"{path} has {len(data)} bytes")
                return [data[i:i + 32] for i in range(0, width * 32, 32)]
        raise AssertionError(f"{path} is not there")

    def level(self, level):
        count = self.size >> 8 * level
        hashes = []
        for index in range((count + 255) // 256):
            hashes += self.tile(level, index, min(256, count - 256 * index))
        return hashes

    def check(self):
        """The checkpoint's root, from the leaves and again from the top."""
        leaves = self.level(0)
        above, full = self.level(1), self.size // 256
        wanted = [root(leaves[256 * i:256 * (i + 1)]) for i in range(full)]
        if above != wanted or root(leaves) != self.root:
            raise AssertionError(f"the files do not hold the tree of {self.size}")
        return leaves


class Tiles(house.Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = cls.house.dir / "tiles"
        cls.key = cls.house.json("custodian-1", "key", "create", "--label", "archives")["id"]

    def published(self):
        """The files, when they are as new as the ledger; they may be replaced meanwhile."""
        size = len(self.house.lines("auditor-1", "ledger", "show", "--from", "0", "--limit", "100000"))

        def newest():
            try:
                mirror = Mirror(self.folder)
                mirror.check()
            except FileNotFoundError as error:
                self.fail(error)
            self.assertGreaterEqual(mirror.size, size)
            return mirror

        return self.eventually(newest)

    def grow(self, count):
        """That many entries more."""
        for i in range(count):
            change = "resume" if i % 2 else "suspend"
            self.assertEqual(self.house.get("custodian-1", f"/v1/keys/{self.key}/{change}", b"")[0], 200)

    def test_1_the_root_follows_from_the_files(self):
        for _ in range(4):
            self.grow(2)
            mirror = self.published()
        self.assertEqual(mirror.origin, "platform.example/kmsd/demo")

    def test_2_leaves_are_the_entries_that_readers_get(self):
        leaves = self.published().check()
        lines = self.house.run("auditor-1", "ledger", "show", "--from", "0", "--limit", "100000",
                               "--json").stdout.splitlines()
        seen = 0
        for line, leaf in zip(lines, leaves):
            if '"v":"kmsd-entry/1"' in line:
                self.assertEqual(hashlib.sha256(b"\0" + line.encode()).digest(), leaf)
                seen += 1
        self.assertGreater(seen, 8)

    def test_3_hashes_are_for_everybody_and_nothing_else_is_there(self):
        self.published()
        for path in self.folder.rglob("*"):
            mode = stat.S_IMODE(path.stat().st_mode)
            self.assertEqual(mode, 0o755 if path.is_dir() else 0o644, path)
            self.assertRegex(str(path.relative_to(self.folder)),
                             r"\A(checkpoint|tile(/[01](/[0-9]{3}(\.p(/[0-9]{1,3})?)?)?)?)(\.new)?\Z")

    def test_4_what_is_missing_or_wrong_is_there_again_after_a_start(self):
        mirror = self.published()
        self.house.stop("kmsd")
        old = name(0, 0, mirror.size)
        (self.folder / old).write_bytes(bytes(32 * mirror.size))
        (self.folder / "checkpoint").write_text("platform.example/kmsd/demo\n1\n\n")
        self.house.start("kmsd")
        self.published()
        self.house.stop("kmsd")
        for path in sorted(self.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        self.house.start("kmsd")
        self.published()

    def test_5_a_full_tile_takes_the_place_of_its_partial_ones(self):
        size = self.published().size
        self.assertLess(size, 256)
        self.grow(256 + 3 - size)
        mirror = self.published()
        self.assertGreater(mirror.size, 256)
        self.assertFalse((self.folder / "tile/0/000.p").exists())
        self.assertTrue((self.folder / "tile/1/000.p/1").exists())
        self.house.stop("kmsd")
        (self.folder / "tile/0/000").write_bytes(bytes(8192))
        self.house.start("kmsd")
        self.published()

    def test_6_commits_do_not_wait_for_files(self):
        self.published()
        before = (self.folder / "checkpoint").read_bytes()
        folder = self.folder / "tile/0/001.p"
        folder.chmod(0o555)
        said = self.house.log("kmsd").count("tiles are not published")
        self.grow(2)
        self.eventually(lambda: self.assertGreater(
            self.house.log("kmsd").count("tiles are not published"), said))
        self.grow(2)
        self.eventually(lambda: self.house.verify())  # heads are signed all the same
        self.assertEqual((self.folder / "checkpoint").read_bytes(), before)
        folder.chmod(0o755)
        self.house.stop("kmsd")
        self.house.start("kmsd")
        self.published()

    def test_7_a_folder_that_is_not_there_is_said_at_the_start(self):
        self.published()
        self.house.stop("kmsd")
        away = self.folder.rename(self.house.dir / "away")
        with self.assertRaises(subprocess.CalledProcessError):
            self.house.start("kmsd")
        self.assertIn("make it", self.house.log("kmsd"))
        away.rename(self.folder)
        self.house.start("kmsd")
        self.published()


if __name__ == "__main__":
    house.main()
