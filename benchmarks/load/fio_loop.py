"""fio beside the flash tier: io_uring past the system's cache, on a file of the same file system.

tarn-bench starts it. It reads lines "run get|put BLOCK_BYTES INFLIGHT crc MILLIS" and answers each
with one line, "slice ..." or "error ...", as tarn-bench-ucx does. The file is written once before
it is read, and overwritten in place by puts.
"""

import argparse
import collections
import json
import os
import shutil
import subprocess
import sys

from slice_line import bucket_of, slice_words


class Fio:
    """One file that fio reads and writes, in order. One-thread."""

    def __init__(self, path, size_mib):
        self._path, self._size_mib = path, size_mib
        self._fio("write", 1 << 20, 8, [])

    def _fio(self, rw, block_bytes, inflight, more):
        command = [
            "fio", "--name=baseline", f"--filename={self._path}", f"--size={self._size_mib}m",
            f"--rw={rw}", f"--bs={block_bytes}", f"--iodepth={inflight}", "--ioengine=io_uring",
            "--direct=1", "--overwrite=1", "--output-format=json+", *more,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode != 0:
            raise ValueError(f"fio: {done.stderr.strip() or done.stdout.strip()}")
        return json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]

    def run(self, op, block_bytes, inflight, millis):
        """Keeps the window full for so long; returns the words of a slice."""
        rw = "write" if op == "put" else "read"
        job = self._fio(rw, block_bytes, inflight, ["--time_based", f"--runtime={millis}ms"])
        seen = job[rw]
        latencies = collections.Counter()
        for ns, count in seen["clat_ns"].get("bins", {}).items():
            latencies[bucket_of(int(ns))] += count
        wall_ns = seen["runtime"] * 1_000_000
        spent = int((job["usr_cpu"] + job["sys_cpu"]) / 100 * wall_ns)
        return slice_words(seen["total_ios"], block_bytes, 0, wall_ns, spent, latencies)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", required=True)
    parser.add_argument("--size-mib", type=int, default=2048)
    options = parser.parse_args()
    fio = None
    for line in sys.stdin:
        try:
            verb, op, block_bytes, inflight, _, millis = line.split()
            if verb != "run" or op not in ("get", "put"):
                raise ValueError("run get|put BLOCK_BYTES INFLIGHT crc MILLIS")
            if shutil.which("fio") is None:
                raise ValueError("fio is not installed (apt-get install fio)")
            fio = fio or Fio(options.file, options.size_mib)
            print("slice", fio.run(op, int(block_bytes), int(inflight), int(millis)), flush=True)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            print(f"error {error}", flush=True)
    if os.path.exists(options.file):
        os.remove(options.file)


if __name__ == "__main__":
    main()
