"""tarn-bench-index at its smallest: what it writes, and that it leaves nothing behind."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

PROGRAM = pathlib.Path(os.environ["TARN_BINARY_DIR"]) / "benchmarks" / "tarn-bench-index"
FIGURES = {
    *("blocks", "bytes_per_block", "load_events_per_s", "update_events_per_s", "lookup_ns"),
    *("match_ns_per_hash", "match_p50_us", "call_p50_us", "call_p99_us"),
}


class TarnBenchIndexTest(unittest.TestCase):
    def measure(self, *options):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "out.json"
            shown = subprocess.run(
                [PROGRAM, "--rounds", "5", *options, "--json", out],
                env={**os.environ, "TMPDIR": folder},
                check=True,
                timeout=120,
                capture_output=True,
                text=True,
            ).stdout
            report = json.loads(out.read_text())
            out.unlink()
            self.assertEqual(list(pathlib.Path(folder).iterdir()), [])
        return report, shown

    def test_each_size_has_its_figures_and_the_largest_is_restarted(self):
        report, shown = self.measure("--blocks", "100000")
        for size in (10_000, 100_000):
            figures = report[f"blocks_{size}"]
            self.assertEqual(set(figures), FIGURES)
            self.assertEqual(figures["blocks"], size)
            self.assertTrue(all(value > 0 for value in figures.values()), figures)
        self.assertNotIn("blocks_1000000", report)
        self.assertGreater(report["snapshot_bytes"], 100_000 * 8)
        self.assertGreater(report["restart_s"], 0)
        self.assertEqual(len(shown.splitlines()), 4, shown)

    def test_blocks_without_a_chain_are_said_to_be_so(self):
        report, _ = self.measure("--blocks", "10000", "--extent-blocks", "1")
        self.assertEqual(report["extent_blocks"], 1)
        self.assertEqual(report["blocks_10000"]["blocks"], 10_000)


if __name__ == "__main__":
    unittest.main()
