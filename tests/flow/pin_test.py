# SPDX-License-Identifier: Apache-2.0
"""The PIN comes from a file whose mode is checked, a systemd credential, or a prompt."""
import os
import pty
import re
import select
import shutil
import subprocess
import threading
import time
import unittest

import house

TOKEND = house.BUILD / "kmsd" / "tokend" / "kms-tokend"


class Pin(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = house.House()
        cls.addClassCleanup(cls.house.close)
        cls.owner = cls.house.dir / "acme" / "owner.yaml"
        cls.pin = cls.house.dir / "acme" / "token" / "pin"
        cls.written = cls.owner.read_text()

    def tearDown(self):
        self.owner.write_text(self.written)
        self.pin.chmod(0o400)

    def configure(self, pin):
        self.owner.write_text(re.sub(r"pin:\n  file: token/pin\n", pin, self.written))

    def serve(self, **keywords):
        """Start kms-tokend; True when it serves, else what it said."""
        process = subprocess.Popen(
            [TOKEND, "--config", self.owner], stderr=subprocess.PIPE, **keywords)
        said = b""
        end = time.monotonic() + 60
        try:
            while time.monotonic() < end:
                if select.select([process.stderr], [], [], 0.2)[0]:
                    data = os.read(process.stderr.fileno(), 4096)
                    said += data
                    if b"serving on" in said:
                        return True
                    if not data:
                        return said.decode()
            return said.decode()
        finally:
            process.kill()
            process.wait()
            process.stderr.close()

    def test_file(self):
        self.assertIs(self.serve(stdin=subprocess.DEVNULL, env=house.ENVIRONMENT), True)

    def test_file_that_others_can_read_is_refused(self):
        self.pin.chmod(0o440)
        self.assertIn("pin", self.serve(stdin=subprocess.DEVNULL, env=house.ENVIRONMENT))

    def test_credential(self):
        folder = self.house.folder / "credentials"
        folder.mkdir()
        subprocess.run(["cp", "-p", self.pin, folder / "acme-pin"], check=True)
        self.configure("pin:\n  credential: acme-pin\n")
        environment = dict(house.ENVIRONMENT, CREDENTIALS_DIRECTORY=str(folder))
        self.assertIs(self.serve(stdin=subprocess.DEVNULL, env=environment), True)
        shutil.rmtree(folder)
        self.assertIsNot(self.serve(stdin=subprocess.DEVNULL, env=environment), True)

    def test_prompt(self):
        self.configure("")
        terminal, other = pty.openpty()
        shown = bytearray()

        def answer():
            while b"PIN: " not in shown:
                shown.extend(os.read(terminal, 100))
            os.write(terminal, self.pin.read_bytes() + b"\n")
            while select.select([terminal], [], [], 1)[0]:
                shown.extend(os.read(terminal, 4096))

        def enter_terminal():
            os.setsid()
            os.close(os.open(os.ttyname(other), os.O_RDWR))  # becomes the controlling one

        person = threading.Thread(target=answer)
        person.start()
        self.assertIs(self.serve(stdin=other, preexec_fn=enter_terminal, env=house.ENVIRONMENT), True)
        person.join()
        os.close(terminal)
        os.close(other)
        self.assertNotIn(self.pin.read_bytes(), bytes(shown), "the PIN must not be shown")

    def test_prompt_without_a_terminal_is_a_clear_error(self):
        self.configure("")
        self.assertIn("terminal", self.serve(
            stdin=subprocess.DEVNULL, start_new_session=True, env=house.ENVIRONMENT))

    def test_wrong_pin_is_tried_once_and_stops_the_start(self):
        self.configure("pin:\n  file: wrong\n")
        wrong = self.house.dir / "acme" / "wrong"
        subprocess.run(["cp", "-p", self.pin, wrong], check=True)
        wrong.chmod(0o600)
        wrong.write_text("not the PIN of this token")
        wrong.chmod(0o400)
        said = self.serve(stdin=subprocess.DEVNULL, env=house.ENVIRONMENT)
        self.assertIsNot(said, True)
        self.assertIn("PIN", said)
        self.assertNotIn("not the PIN of this token", said)


if __name__ == "__main__":
    house.main()
