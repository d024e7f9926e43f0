"""What the scripts print, where their logs go, and what they do when something is missing."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def bash(script, **variables):
    """Runs a bash script in an empty tree that has only scripts/lib.sh."""
    with tempfile.TemporaryDirectory() as folder:
        scripts = pathlib.Path(folder, "scripts")
        scripts.mkdir()
        (scripts / "lib.sh").write_text((ROOT / "scripts/lib.sh").read_text())
        (scripts / "x").write_text('set -euo pipefail\nsource "$(dirname "$0")/lib.sh"\n' + script)
        done = subprocess.run(
            ["bash", scripts / "x"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **variables},
        )
        logs = {p.name: p.read_text() for p in pathlib.Path(folder, "build/logs").glob("*")}
    return done, logs


class Stages(unittest.TestCase):
    def test_one_line_each_and_a_log(self):
        done, logs = bash("stages 2\nstage first echo hello\nstage 'the second' true\n")
        self.assertEqual(done.returncode, 0)
        first, second = done.stdout.splitlines()
        self.assertRegex(first, r"^\[1/2\] first \.+ \d+ s$")
        self.assertRegex(second, r"^\[2/2\] the second \.+ \d+ s$")
        self.assertEqual(logs["x-first.log"], "hello\n")

    def test_a_failure_shows_the_end_of_the_log_and_stops(self):
        done, logs = bash(
            "bad() { seq 100; return 3; }\nstages 2\nstage bad bad\nstage next true\n"
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("    100\nThe whole log: build/logs/x-bad.log\n", done.stdout)
        self.assertNotIn("    40\n", done.stdout)
        self.assertNotIn("next", done.stdout)
        self.assertTrue(logs["x-bad.log"].startswith("1\n2\n"))

    def test_a_failure_of_ctest_shows_what_the_failed_tests_printed(self):
        log = """
    Start 1: good
1/3 Test #1: good ......................   Passed    0.10 sec
    Start 2: bad
2/3 Test #2: bad .......................***Failed    0.20 sec
[ RUN      ] Ring.turns
[       OK ] Ring.turns (1 ms)
ring_test.cc:7: Failure
    Start 3: also good
3/3 Test #3: also good .................   Passed    0.10 sec
67% tests passed, 1 tests failed out of 3
"""
        done, _ = bash(f"bad() {{ cat <<'END'\n{log}\nEND\nreturn 8; }}\nstages 1\nstage t bad\n")
        shown = [line.strip() for line in done.stdout.splitlines()[1:-1]]
        self.assertEqual(
            shown,
            [
                "2/3 Test #2: bad .......................***Failed    0.20 sec",
                "ring_test.cc:7: Failure",
                "67% tests passed, 1 tests failed out of 3",
            ],
        )

    def test_a_soft_failure_goes_on_and_is_the_verdict(self):
        done, _ = bash("stages 2\nsoft_stage a false\nsoft_stage b true\nfinish\n")
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stdout.endswith("Failed: a\n0 passed, 1 failed\n"), done.stdout)

    def test_a_shown_stage_prints_as_it_goes_and_fails_with_its_command(self):
        done, logs = bash("stages 1\nshown_stage demo bash -c 'echo turn 1; exit 5'\necho no\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("[1/1] demo\nturn 1\n[1/1] demo", done.stdout)
        self.assertNotIn("no\n", done.stdout)
        self.assertEqual(logs["x-demo.log"], "turn 1\n")


class Tally(unittest.TestCase):
    def count(self, text):
        done, logs = bash(f"cat >build/logs/x-t.log <<'END'\n{text}\nEND\ntally t\nfinish\n")
        return done.stdout.splitlines()[-1], logs["x.tally"]

    def test_ctest(self):
        text = "100% tests passed, 0 tests failed out of 12\n\nTotal Test time (real) = 1.00 sec"
        self.assertEqual(self.count(text), ("12 passed, 0 failed", "12 0\n"))
        text = "67% tests passed, 1 tests failed out of 3"
        self.assertEqual(self.count(text)[0], "2 passed, 1 failed")

    def test_pytest(self):
        self.assertEqual(self.count("....\n4 passed in 0.12s")[0], "4 passed, 0 failed")
        text = "FAILED a.py::b - 1 failed, ok\n1 failed, 3 passed, 2 errors in 61.20s (0:01:01)"
        self.assertEqual(self.count(text)[0], "3 passed, 3 failed")


class Deps(unittest.TestCase):
    def test_every_package_has_a_version_and_a_reason(self):
        done = subprocess.run(
            [ROOT / "scripts/deps", "--list"], capture_output=True, text=True, check=True
        )
        rows = [line.split("|") for line in done.stdout.splitlines() if line]
        self.assertGreater(len(rows), 30)
        for row in rows:
            self.assertEqual(len(row), 3, row)
            self.assertRegex(row[0], r"^[a-z0-9+-]+ *$")
            self.assertRegex(row[1].strip(), r"^[0-9]+(\.[0-9]*)*$")
            self.assertGreater(len(row[2].strip()), 5, row)

    def test_python_packages_are_pinned(self):
        lines = (ROOT / "scripts/requirements.txt").read_text().splitlines()
        for line in lines:
            if line and not line.startswith("#"):
                self.assertTrue(re.match(r"^[\w-]+==[0-9.]+(\s+#.*)?$", line), line)

    def test_without_root_and_sudo_it_says_what_to_do(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in [("dpkg-query", "true"), ("id", "echo 1000")]:
                tool = pathlib.Path(folder, name)
                tool.write_text(f"#!/bin/sh\n{text}\n")
                tool.chmod(0o755)
            for name in ("bash", "dirname", "sed"):
                pathlib.Path(folder, name).symlink_to(f"/usr/bin/{name}")
            done = subprocess.run(
                ["/usr/bin/bash", ROOT / "scripts/deps"],
                capture_output=True,
                text=True,
                check=False,
                env={"PATH": folder},
            )
        self.assertEqual(done.returncode, 77, done.stderr)
        self.assertIn("installing them needs root", done.stderr)
        self.assertIn("apt-get install g++ cmake", done.stderr)


if __name__ == "__main__":
    unittest.main()
