"""The loop of tarn-bench from Python: gets into memory allocated beforehand, so many in flight.

tarn-bench starts it. It reads lines "run get BLOCK_BYTES INFLIGHT crc MILLIS" and answers each with
one line, "slice ..." or "error ...", as tarn-bench-ucx does.
"""

import argparse
import collections
import os
import random
import sys
import time

from slice_line import bucket_of, slice_words

try:
    import tarn
except ImportError as missing:
    print(f"error {missing}: build with TARN_PYTHON=ON", flush=True)
    sys.exit(1)

BUFFER_BYTES_MIN = 128 << 20
BATCH_BYTES = 16 << 20
SAMPLE_BLOCKS = 16


def cpu_ns(processes):
    """CPU time of this process and of others; 0 for one that has ended."""
    total = time.process_time_ns()
    for process in processes:
        try:
            total += time.clock_gettime_ns((~process << 3) | 2)
        except OSError:
            pass
    return total


class Loop:
    """A working set of its own, and memory that rotates through more than any cache holds."""

    def __init__(self, options, block_bytes, inflight):
        transport = tarn.Transport.__members__[options.transport]
        self._client = tarn.Client.connect(tarn.ClientOptions(transport=transport))
        spec = tarn.SpaceSpec(
            model="tarn-bench", revision=f"python-{block_bytes}", hash_scheme="tarn-bench"
        )
        self._space = self._client.open_space(spec)
        self._servers = [int(word) for word in options.servers.split(",") if word]
        self._block_bytes = block_bytes
        self._flights = collections.deque()
        self._inflight = inflight
        size = max(BUFFER_BYTES_MIN, 2 * inflight * block_bytes, BATCH_BYTES)
        self._memory = self._client.allocate(size)
        places = size // block_bytes
        self._slices = [self._memory.slice(i * block_bytes, block_bytes) for i in range(places)]
        self._run_name = os.urandom(24)
        self._blocks = max(inflight, (options.working_set_mib << 20) // block_bytes)
        self._names = [self._run_name + i.to_bytes(8, "little") for i in range(self._blocks)]
        self._next = 0
        self._put_working_set()
        for number in range(0, self._blocks, max(1, self._blocks // SAMPLE_BLOCKS)):
            self._check(number)

    def _content(self, number):
        return random.Random(number).randbytes(self._block_bytes)

    def _put_working_set(self):
        batch = max(1, min(64, BATCH_BYTES // self._block_bytes))
        for first in range(0, self._blocks, batch):
            items = [
                tarn.PutItem(
                    hash=self._names[i],
                    parent=self._names[i - 1] if i else b"",
                    slices=[self._content(i)],
                )
                for i in range(first, min(first + batch, self._blocks))
            ]
            transfer = self._space.put_kv(items)
            transfer.wait()
            for outcome in transfer.outcomes():
                if outcome.outcome not in (tarn.Outcome.ok, tarn.Outcome.exists):
                    raise tarn.Error(outcome.outcome, outcome.message)

    def _check(self, number):
        transfer = self._space.get_kv(
            [tarn.GetItem(hash=self._names[number], slices=[self._slices[0]])]
        )
        transfer.wait()
        if not transfer.all_ok():
            raise tarn.Error(transfer.outcomes()[0].outcome, "sample")
        if memoryview(self._memory)[: self._block_bytes] != self._content(number):
            raise tarn.Error(tarn.Outcome.corrupt, "sample: wrong bytes")

    def _start(self):
        number = self._next
        self._next += 1
        name = self._names[number % self._blocks]
        memory = self._slices[number % len(self._slices)]
        started = time.monotonic_ns()
        transfer = self._space.get_kv([tarn.GetItem(hash=name, slices=[memory])])
        self._flights.append((started, transfer))

    def run(self, millis):
        """Keeps the window full for so long; returns the words of a slice."""
        blocks = errors = 0
        latencies = collections.Counter()
        cpu_before = cpu_ns(self._servers)
        begin = now = time.monotonic_ns()
        end = begin + millis * 1_000_000
        for _ in range(self._inflight):
            self._start()
        while self._flights:
            started, transfer = self._flights.popleft()
            transfer.wait()
            now = time.monotonic_ns()
            if transfer.all_ok():
                blocks += 1
                latencies[bucket_of(now - started)] += 1
            else:
                errors += 1
            if now < end:
                self._start()
        spent = cpu_ns(self._servers) - cpu_before
        return slice_words(blocks, self._block_bytes, errors, now - begin, spent, latencies)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transport", default="tcp")
    parser.add_argument("--working-set-mib", type=int, default=256)
    parser.add_argument("--servers", default="", help="processes whose CPU time counts too")
    options = parser.parse_args()
    loops = {}
    for line in sys.stdin:
        try:
            verb, op, block_bytes, inflight, check, millis = line.split()
            if (verb, op, check) != ("run", "get", "crc"):
                raise ValueError("run get BLOCK_BYTES INFLIGHT crc MILLIS")
            shape = int(block_bytes), int(inflight)
            if shape not in loops:
                loops[shape] = Loop(options, *shape)
            print("slice", loops[shape].run(int(millis)), flush=True)
        except (tarn.Error, ValueError) as error:
            print(f"error {error}", flush=True)


if __name__ == "__main__":
    main()
