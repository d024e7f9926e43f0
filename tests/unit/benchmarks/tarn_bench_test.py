"""tarn-bench against a cluster of its own: what it writes, and that it leaves nothing behind."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

PROGRAM = pathlib.Path(os.environ["TARN_BINARY_DIR"]) / "benchmarks" / "tarn-bench"
FIGURES = {"gb_per_s", "p50_us", "p99_us", "cpu_s_per_gb"}


class TarnBenchTest(unittest.TestCase):
    def setUp(self):
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self._temporary.name)
        self.environment = {**os.environ, "TMPDIR": str(self.folder)}

    def tearDown(self):
        self._temporary.cleanup()

    def measure(self, *options):
        out = self.folder / "out.json"
        subprocess.run(
            [PROGRAM, *options, "--json", out], env=self.environment, check=True, timeout=300
        )
        report = json.loads(out.read_text())
        out.unlink()
        self.assertEqual(list(self.folder.iterdir()), [])
        return report

    def measure_transfers(self, op):
        return self.measure(
            *("--op", op, "--block-bytes", "262144", "--inflight", "4", "--transport", "tcp"),
            *("--seconds", "1", "--baseline", "ucx", "--working-set-mib", "16"),
            *("--dram-mib", "256"),
        )

    def test_get_and_put_beside_raw_ucx(self):
        for op in ("get", "put"):
            report = self.measure_transfers(op)
            self.assertEqual(report["op"], op)
            self.assertEqual(report["block_bytes"], 262144)
            self.assertEqual(report["inflight"], 4)
            self.assertEqual(report["transport"], "tcp")
            self.assertEqual(report["errors"], 0)
            self.assertEqual(set(report["tarn"]), FIGURES)
            self.assertEqual(set(report["baseline"]), FIGURES)
            self.assertEqual(set(report["ratio"]), {"gb_per_s", "p50", "p99", "cpu"})
            self.assertGreater(report["tarn"]["gb_per_s"], 0)
            self.assertGreater(report["ratio"]["gb_per_s"], 0)

    def test_match(self):
        report = self.measure("--op", "match", "--hashes", "1024", "--calls", "20")
        self.assertEqual(report["hashes"], 1024)
        # Whole chains, 100,000 blocks at least: what was put, not what was asked for.
        self.assertEqual(report["indexed_blocks"], 98 * 1024)
        self.assertGreater(report["p99_us"], 0)
        self.assertGreater(report["hashes_per_s"], 0)

    def test_failover(self):
        report = self.measure("--op", "failover", "--rounds", "2")
        self.assertEqual(report["server_killed"]["rounds"], 2)
        self.assertEqual(report["worker_killed"]["rounds"], 2)

    def test_an_interrupt_leaves_nothing(self):
        running = subprocess.Popen([PROGRAM, "--seconds", "60"], env=self.environment)
        deadline = time.monotonic() + 60
        while not list(self.folder.glob("*/server-1.log")) and time.monotonic() < deadline:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        self.assertEqual(running.wait(timeout=60), 128 + signal.SIGINT)
        self.assertEqual(list(self.folder.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
