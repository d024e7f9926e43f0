"""The guard of scripts/instructions: what it reads out of callgrind's file, and when it trips."""

import contextlib
import importlib.machinery
import importlib.util
import io
import pathlib
import sys
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/instructions"


def load():
    loader = importlib.machinery.SourceFileLoader("instructions", str(SCRIPT))
    spec = importlib.util.spec_from_loader("instructions", loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["instructions"] = module
    loader.exec_module(module)
    return module


guard = load()

# Two functions of ours, the second of which calls malloc of libc three times.
PROFILE = """\
positions: line
events: Ir
ob=/somewhere/benchmarks/tarn-instructions
fn=step
10 400
12 200
fn=make
20 100
cob=/usr/lib/libc.so.6
cfn=malloc
calls=3 0
21 3000
ob=/usr/lib/libc.so.6
fn=malloc
0 3000
summary: 3700
"""


class Reading(unittest.TestCase):
    def test_what_is_ours_is_counted_apart_and_a_callee_once(self):
        self.assertEqual(guard.read(PROFILE, 10), guard.Counts(70, 300, 0.3))


class Judging(unittest.TestCase):
    kept = guard.Counts(1000, 2000, 4)

    def judge(self, ours=1000, libraries=2000, allocations=4.0, same_machine=True):
        return guard.judge(guard.Counts(ours, libraries, allocations), self.kept, same_machine)

    def test_within_the_tolerance_all_is_well(self):
        self.assertEqual(self.judge(1050, 1900, 4.04), "")

    def test_a_path_that_grew_or_shrank_is_told_with_how_much(self):
        self.assertEqual(self.judge(ours=1100), "ours +10.0%")
        self.assertEqual(self.judge(ours=900), "ours -10.0%")
        self.assertEqual(self.judge(libraries=2300), "libraries +15.0%")

    def test_one_allocation_more_is_told(self):
        self.assertEqual(self.judge(allocations=5), "allocations +25.0%")
        none = guard.Counts(1000, 2000, 0)
        self.assertEqual(guard.judge(guard.Counts(1000, 2000, 1), none, True), "allocations +1")

    def test_libraries_of_another_machine_are_not_compared(self):
        self.assertEqual(self.judge(libraries=9000, same_machine=False), "")
        self.assertEqual(self.judge(ours=2000, libraries=9000, same_machine=False), "ours +100.0%")

    def test_a_few_instructions_of_a_short_path_are_no_change(self):
        short = guard.Counts(100, 0, 0)
        self.assertEqual(guard.judge(guard.Counts(115, 0, 0), short, True), "")

    def test_a_new_path_is_to_be_kept(self):
        self.assertIn("--renew", guard.judge(self.kept, None, True))


class Reporting(unittest.TestCase):
    def report(self, wrong, kept_on, machine):
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            status = guard.report(wrong, kept_on, machine)
        return status, told.getvalue()

    def test_a_failure_says_which_path_and_what_to_do(self):
        status, told = self.report(["sdk_get: ours +9.0%"], {}, {})
        self.assertEqual(status, 1)
        for words in ("sdk_get: ours +9.0%", "--where", "--renew", "counts.json"):
            self.assertIn(words, told)

    def test_another_compiler_is_told_and_no_failure_by_itself(self):
        status, told = self.report([], {"compiler": "12.2.0"}, {"compiler": "13.1.0"})
        self.assertEqual(status, 0)
        self.assertIn("13.1.0", told)


if __name__ == "__main__":
    unittest.main()
