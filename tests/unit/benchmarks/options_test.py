"""tarn-bench: what it takes, what it refuses, and the form of what it writes."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["TARN_BINARY_DIR"])
SOURCE = pathlib.Path(os.environ["TARN_SOURCE_DIR"])
PROGRAM = BUILD / "benchmarks" / "tarn-bench"
sys.path.insert(0, str(SOURCE / "tests" / "e2e" / "cli"))
from dev_process import Dev  # noqa: E402

NUMBER = (int, float)
FIGURES = dict.fromkeys(("gb_per_s", "p50_us", "p99_us", "cpu_s_per_gb"), NUMBER)
RATIO = dict.fromkeys(("gb_per_s", "p50", "p99", "cpu"), NUMBER)
# What the figures of a release are compared by: these keys, and never fewer.
TRANSFERS = {
    "op": str,
    "block_bytes": int,
    "inflight": int,
    "transport": str,
    "tarn": FIGURES,
    "baseline": FIGURES,
    "ratio": RATIO,
}
LOOKUPS = {"hashes": int, **dict.fromkeys(("p50_us", "p99_us", "hashes_per_s"), NUMBER)}


def lacking(value, schema, at="$"):
    """What of the schema is not in `value`, or is of another type."""
    if not isinstance(schema, dict):
        is_right = isinstance(value, schema) and not isinstance(value, bool)
        return [] if is_right else [f"{at}: {value!r}"]
    wrong = [f"{at}.{key} is missing" for key in schema if key not in value]
    for key in set(schema) & set(value):
        wrong += lacking(value[key], schema[key], f"{at}.{key}")
    return wrong


def bench(*options, **more):
    return subprocess.run(
        [str(word) for word in (PROGRAM, *options)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        **more,
    )


class Options(unittest.TestCase):
    def test_help_names_all_of_them(self):
        done = bench("--help")
        self.assertEqual(done.returncode, 0)
        shown = set(re.findall(r"--[a-z-]+", done.stdout))
        wanted = {
            *("--op", "--block-bytes", "--inflight", "--transport", "--seconds", "--baseline"),
            *("--json", "--endpoint", "--credentials", "--hashes", "--calls", "--rounds"),
            *("--keys", "--python"),
        }
        self.assertEqual(wanted - shown, set())
        self.assertNotIn("--worker", shown, "that is between tarn-bench and itself")

    def test_what_is_wrong_is_named_and_nothing_is_started(self):
        for options, named in [
            (("--op", "push"), "--op"),
            (("--op",), "--op"),
            (("--block-bytes", "0"), "--block-bytes"),
            (("--block-bytes", str((64 << 20) + 1)), "--block-bytes"),
            (("--block-bytes", "2MiB"), "--block-bytes"),
            (("--inflight", "0"), "--inflight"),
            (("--inflight", "257"), "--inflight"),
            (("--transport", "rdma"), "--transport"),
            (("--seconds", "0"), "--seconds"),
            (("--seconds", "-1"), "--seconds"),
            (("--baseline", "nixl"), "--baseline"),
            (("--hashes", "8193"), "--hashes"),
            (("--op", "exists", "--keys", "0"), "--keys"),
            (("--op", "put", "--python"), "--python"),
            (("--calls", "0"), "--calls"),
            (("--rounds", "0"), "--rounds"),
            (("--sekonds", "1"), "--sekonds"),
            (("get",), "get"),
        ]:
            with self.subTest(options=options), tempfile.TemporaryDirectory() as place:
                done = bench(*options, env={**os.environ, "TMPDIR": place})
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(named, done.stderr + done.stdout)
                self.assertEqual(os.listdir(place), [])

    def test_failover_kills_only_its_own(self):
        done = bench("--op", "failover", "--endpoint", "127.0.0.1:1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("tarn-bench: invalid_argument: --endpoint", done.stderr)

    def test_a_cluster_that_does_not_answer_is_one_sentence(self):
        with tempfile.TemporaryDirectory() as place:
            done = bench("--endpoint", "127.0.0.1:1", "--credentials", place, "--seconds", "1")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"\Atarn-bench: \w+: .+\n\Z")


class Attached(unittest.TestCase):
    """With --endpoint it measures a cluster that runs already, and leaves it running."""

    @classmethod
    def setUpClass(cls):
        place = tempfile.TemporaryDirectory(prefix="tarn-e2e-")
        cls.addClassCleanup(place.cleanup)
        cls.place = pathlib.Path(place.name)
        cls.dev = Dev(cls.place / "dev")
        cls.addClassCleanup(cls.dev.end)
        cls.ready = cls.dev.event("ready")
        cls.where = ("--endpoint", cls.ready["endpoint"], "--credentials", cls.place / "dev")

    def report(self, *options):
        out = self.place / "out.json"
        temporary = self.place / "tmp"
        temporary.mkdir(exist_ok=True)
        done = bench(
            *options, *self.where, "--json", out, env={**os.environ, "TMPDIR": str(temporary)}
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(temporary.iterdir()), [])
        self.assertIsNone(self.dev.child.poll())
        self.table = done.stdout
        return json.loads(out.read_text())

    def test_transfers_have_the_keys_that_are_compared(self):
        report = self.report(
            *("--op", "get", "--block-bytes", "65536", "--inflight", "2", "--transport", "tcp"),
            *("--seconds", "0.8", "--baseline", "ucx", "--working-set-mib", "8"),
        )
        self.assertEqual(lacking(report, TRANSFERS), [])
        self.assertEqual(set(report["tarn"]), set(FIGURES))
        self.assertEqual(set(report["ratio"]), set(RATIO))
        self.assertEqual(report["cpu_covers"], "client", "the servers are not its children")
        self.assertEqual(set(report["baseline_nocrc"]), set(FIGURES))
        ratio = report["tarn"]["gb_per_s"] / report["baseline"]["gb_per_s"]
        self.assertAlmostEqual(report["ratio"]["gb_per_s"], ratio, delta=0.02 * ratio)
        self.assertLessEqual(report["tarn"]["p50_us"], report["tarn"]["p99_us"])
        for word in ("GB/s", "p50 us", "ucx-nocrc", "ratio"):
            self.assertIn(word, self.table)

    def test_the_copy_baseline_has_the_same_keys(self):
        report = self.report(
            *("--op", "get", "--block-bytes", "262144", "--inflight", "2", "--transport", "tcp"),
            *("--seconds", "0.6", "--baseline", "copy", "--working-set-mib", "8"),
        )
        self.assertEqual(lacking(report, TRANSFERS), [])
        self.assertLess(report["ratio"]["gb_per_s"], 1, "a copy is less work than TCP")
        self.assertIn("copy-nocrc", self.table)

    def test_views_stand_beside_gets_of_the_same_blocks(self):
        report = self.report(
            *("--op", "views", "--block-bytes", "65536", "--inflight", "4", "--transport", "grpc"),
            *("--seconds", "0.6", "--working-set-mib", "8"),
        )
        kinds = dict.fromkeys(("tarn", "verified", "get"), FIGURES)
        ratios = dict.fromkeys(("ratio", "verified_ratio"), RATIO)
        self.assertEqual(lacking(report, {"op": str, **kinds, **ratios}), [])
        self.assertEqual(report["errors"], 0)
        self.assertIn("verified/get", self.table)

    def test_exists_says_how_many_keys(self):
        report = self.report("--op", "exists", "--keys", "100", "--calls", "20", "--blocks", "1000")
        self.assertEqual(lacking(report, LOOKUPS), [])
        self.assertEqual(report["keys"], 100)
        self.assertEqual(report["indexed_blocks"], 1000)

    @unittest.skipUnless((BUILD / "python" / "tarn").exists(), "built with TARN_PYTHON=OFF")
    def test_python_runs_the_same_loop(self):
        report = self.report(
            *("--op", "get", "--block-bytes", "65536", "--inflight", "2", "--transport", "grpc"),
            *("--seconds", "0.6", "--working-set-mib", "4", "--python"),
        )
        self.assertEqual(lacking(report, {"python": FIGURES, "python_ratio": RATIO}), [])
        self.assertGreater(report["python"]["gb_per_s"], 0)
        self.assertIn("python/tarn", self.table)

    def test_without_a_baseline_there_is_no_ratio(self):
        report = self.report(
            *("--op", "put", "--block-bytes", "4096", "--inflight", "1", "--transport", "grpc"),
            *("--seconds", "0.4", "--baseline", "none"),
        )
        self.assertNotIn("baseline", report)
        self.assertNotIn("ratio", report)
        self.assertEqual(report["transport"], "grpc")
        self.assertIn("grpc", report["connection"].lower())

    def test_a_json_file_that_cannot_be_written_is_an_error(self):
        done = bench(
            *("--op", "put", "--block-bytes", "4096", "--seconds", "0.2", "--baseline", "none"),
            *(*self.where, "--json", "/nowhere/out.json"),
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("tarn-bench: cannot write /nowhere/out.json", done.stderr)

    def test_credentials_of_nobody_are_told(self):
        done = bench("--endpoint", self.ready["endpoint"], "--credentials", self.place / "none")
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.startswith("tarn-bench: "), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)


if __name__ == "__main__":
    unittest.main()
