#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The command line of kms: what it refuses, its help (a golden), its completion.

KMS_GOLDEN_UPDATE=1 writes tests/golden/kms-help.txt anew.
"""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

KMS = Path(os.environ["KMS_BUILD"]) / "cli/kms"
GOLDEN = Path(__file__).resolve().parents[1] / "golden/kms-help.txt"
NOBODY = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


def kms(*words, env=None):
    return subprocess.run(
        [KMS, *words], capture_output=True, text=True, env=env or NOBODY, stdin=subprocess.DEVNULL
    )


def commands():
    """The words of each command, from the help."""
    for line in kms("--help").stdout.splitlines():
        match = re.match(r"  ([a-z]+(?: [a-z]+)?)(?: [A-Z\[.a-z\]]+)*  ", line + "  ")
        if match and not line.startswith("  --"):
            yield match.group(1)


class Arguments(unittest.TestCase):
    def refused(self, code, what, *words, env=None):
        run = kms(*words, env=env)
        self.assertEqual(run.returncode, code, run.stderr)
        self.assertEqual(run.stdout, "")
        self.assertIn(what, run.stderr)
        self.assertEqual(run.stderr.count("\n"), 1, run.stderr)

    def test_what_is_not_understood_is_refused_and_points_to_the_help(self):
        for what, *words in [
            ["a command is missing; see kms --help"],
            ["unknown command keys; see kms --help", "keys"],
            ["say which of them: key; see kms key --help", "key"],
            ["unknown command make; see kms key --help", "key", "make"],
            ["unknown option --labels; see kms key create --help", "key", "create", "--labels", "x"],
            ["unknown option --lab;", "key", "create", "--lab", "x"],
            ["unknown option -l;", "key", "create", "-l", "x"],
            ["a value is missing after --label;", "key", "create", "--label"],
            ["given twice: --label;", "key", "create", "--label", "a", "--label=b"],
            ["this option takes no value: --json;", "key", "list", "--json=yes"],
            ["this must be given: --label;", "key", "create"],
            ["an operand is missing: KEY;", "key", "show"],
            ["an operand is missing: OUT;", "encrypt", "a"],
            ["not understood: b;", "key", "show", "a", "b"],
            ["not understood: --json;", "key", "list", "--", "--json"],
            ["this command takes no --profile;", "--profile", "x", "init", "purpose"],
            ["too many operands, from 5;", "encrypt", "1", "2", "3", "4", "5"],
        ]:
            with self.subTest(words=words):
                self.refused(2, what, *words)

    def test_the_number_of_options_has_a_limit(self):
        pairs = ["--context", "a=b"] * 1100
        self.refused(9, "/nonexistent/p: ", "datakey", "--profile", "/nonexistent/p", *pairs[:-2])
        self.refused(2, "too many options", "datakey", "--profile", "/nonexistent/p", *pairs)

    def test_the_profile_is_the_option_then_the_environment_then_the_home_folder(self):
        with tempfile.TemporaryDirectory() as home:
            self.refused(9, f"{home}/.config/kms/profile.yaml: ", "status", env={"HOME": home})
            env = {"HOME": home, "KMS_PROFILE": f"{home}/env.yaml"}
            self.refused(9, f"{home}/env.yaml: ", "status", env=env)
            self.refused(9, f"{home}/a.yaml: ", "--profile", f"{home}/a.yaml", "status", env=env)
            self.refused(9, f"{home}/b.yaml: ", "status", f"--profile={home}/b.yaml", env=env)

    def test_a_profile_that_is_wrong_is_named_with_its_line(self):
        with tempfile.TemporaryDirectory() as home:
            profile = Path(home) / "profile.yaml"
            profile.write_text("data_url: https://localhost:1\nserver_cas: ca.pem\n")
            run = kms("status", "--profile", str(profile))
            self.assertEqual(run.returncode, 9)
            self.assertIn(f"{profile}:", run.stderr)

    def test_replay_needs_a_configuration(self):
        self.refused(2, "$KMS_CONFIG", "ledger", "replay")


class Help(unittest.TestCase):
    def test_every_help_is_as_reviewed(self):
        made = kms("--help").stdout
        groups = []
        for words in commands():
            group = words.split()[0]
            if " " in words and group not in groups:
                groups.append(group)
        for words in groups + list(commands()):
            run = kms(*words.split(), "--help")
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertTrue(run.stdout.startswith(("usage: ", "kms ")))
            made += f"\n---- {words}\n{run.stdout}"
        if os.environ.get("KMS_GOLDEN_UPDATE") == "1":
            GOLDEN.write_text(made)
        self.assertEqual(made, GOLDEN.read_text())

    def test_help_asks_for_nothing_else(self):
        self.assertEqual(kms("key", "show", "--help").returncode, 0)
        self.assertEqual(kms("--help", "key", "create").stdout, kms("key", "create", "-h").stdout)

    def test_the_version_is_one_line(self):
        self.assertRegex(kms("--version").stdout, r"^kms \d+\.\d+\.\d+\n$")

    def test_a_full_standard_output_is_an_error(self):
        with open("/dev/full", "w") as full:
            run = subprocess.run([KMS, "init", "purpose"], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(run.returncode, 10)


class Completion(unittest.TestCase):
    def complete(self, *words):
        script = (
            'source <("$KMS" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
            '_kms; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        run = subprocess.run(
            ["bash", "-c", script, "bash", "kms", *words],
            capture_output=True, text=True, env={**NOBODY, "KMS": str(KMS)}, cwd="/proc/self/fdinfo",
        )
        self.assertEqual(run.stderr, "")
        return run.stdout.split()

    def test_it_knows_every_command(self):
        first = self.complete("")
        for words in commands():
            group, *rest = words.split()
            self.assertIn(group, first)
            self.assertEqual(first.count(group), 1)
            if rest:
                self.assertIn(rest[0], self.complete(group, ""))

    def test_it_knows_each_commands_options(self):
        self.assertEqual(self.complete("key", "create", "--la"), ["--label"])
        self.assertEqual(self.complete("--profile", "x", "key", "sh"), ["show"])
        self.assertEqual(self.complete("encrypt", "in", "out", "--fo"), ["--force"])
        self.assertIn("--json", self.complete("key", "list", "--"))
        self.assertNotIn("--json", self.complete("init", "tenant", "--"))


if __name__ == "__main__":
    unittest.main()
