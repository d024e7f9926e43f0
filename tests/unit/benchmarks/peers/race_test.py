"""benchmarks/peers/run with real processes: Tarn and memcached at one size."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(os.environ["TARN_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["TARN_BINARY_DIR"])


def processes_of(folder):
    """Command lines of live processes that name the folder."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


class PeersRaceTest(unittest.TestCase):
    def test_tarn_and_memcached_race_to_a_table_and_leave_nothing_behind(self):
        # Kept from run to run: what is installed there is not installed again.
        scratch = BUILD / "peers"
        subprocess.run(
            [
                *(sys.executable, SOURCE / "benchmarks" / "peers" / "run"),
                *("--only", "tarn tcp,memcached,fused,file", "--sizes", "65536"),
                *("--windows", "8", "--rounds", "2", "--budget-s", "20"),
                *("--build", BUILD, "--scratch", scratch),
            ],
            check=True,
            timeout=300,
        )
        report = json.loads((scratch / "result" / "table.json").read_text())
        text = (scratch / "result" / "table.txt").read_text()
        self.assertEqual(processes_of(scratch), [])
        errors = {peer["name"]: peer["error"] for peer in report["peers"] if peer["error"]}
        self.assertEqual(errors, {})
        cells = {(cell["group"], cell["op"]): cell for cell in report["cells"]}
        for op in ("get", "put", "exists"):
            rows = cells["tcp", op]["rows"]
            self.assertEqual(set(rows), {"tarn tcp", "memcached raw"}, op)
            self.assertTrue(all(row["ops"] > 0 for row in rows.values()), op)
        self.assertGreater(cells["tcp", "get"]["rows"]["tarn tcp"]["checked"], 0)
        self.assertIn("tcp: get, 8 in flight: GB/s p50/p99 us", text)


if __name__ == "__main__":
    unittest.main()
