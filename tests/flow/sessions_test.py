#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Many clients of one principal: those that left do not keep a new one out."""
import subprocess
import unittest

import house

LIMIT_PRINCIPAL_SESSIONS = 256


class Sessions(house.Case):
    def test_one_past_the_limit_takes_the_place_of_the_longest_unused(self):
        key = self.new_key()
        result = subprocess.run(
            [house.BUILD / "tests" / "flow" / "opener", self.house.dir / "storage-1.yaml", key,
             str(LIMIT_PRINCIPAL_SESSIONS + 1)],
            env=house.ENVIRONMENT, capture_output=True, text=True,
        )
        self.assertEqual((result.stdout, result.returncode), ("", 0), result.stderr)
        self.house.verify()


if __name__ == "__main__":
    unittest.main()
