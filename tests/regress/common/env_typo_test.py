"""A misspelt variable of tarn-server was dropped without a word: only the router warned."""

import os
import pathlib
import subprocess
import tempfile
import unittest

PROGRAMS = pathlib.Path(os.environ["TARN_BINARY_DIR"], "bin")


class MisspeltVariable(unittest.TestCase):
    def test_the_server_names_the_one_that_was_meant(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [
                    PROGRAMS / "tarn-server",
                    "--name=s1",
                    f"--data-dir={folder}",
                    f"--secrets-dir={folder}/none",
                ],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
                env={**os.environ, "TARN_SERVER_LANE": "2"},
            )
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("TARN_SERVER_LANE: no such variable", done.stderr)
        self.assertIn("did you mean TARN_SERVER_LANES?", done.stderr)


if __name__ == "__main__":
    unittest.main()
