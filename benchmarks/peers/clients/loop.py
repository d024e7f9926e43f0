"""The client loop of peers that come as Python packages: the lines of raw/command.h, on stdin.

A window is one batch of that many keys, because that is what these packages offer; the latency of
each operation is its batch's. Batches are made before the clock starts.
"""

import argparse
import ctypes
import os
import sys
import time

import numpy

PAGE_BYTES = 4096
STRIDE_PAGES = 7919
RING_USED_BYTES = 128 << 20
FILL_KEYS = 16


memcmp = ctypes.CDLL(None).memcmp
memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


def working_key(block_bytes, number):
    return f"w{block_bytes}-{number}"


def cpu_ns_of(process):
    """CPU time of another process, all threads; 0 for one that is gone."""
    try:
        return time.clock_gettime_ns((~process << 3) | 2)
    except OSError:
        return 0


class Batch:
    """Keys, and where in the memory their bytes lie. `ready` is what the store made of it."""

    def __init__(self, keys, offsets, block_bytes):
        self.keys = keys
        self.offsets = offsets
        self.block_bytes = block_bytes
        self.ready = None


class Loop:
    """One store, driven by lines. `memory` is a NumPy array of bytes that the store can use."""

    def __init__(self, store, payload_file, memory):
        self.store = store
        self.memory = memory
        self.address = memory.ctypes.data
        payload = numpy.fromfile(payload_file, dtype=numpy.uint8)
        self.source_bytes = payload.size
        memory[: payload.size] = payload
        self.gets = {}

    def value(self, number, block_bytes):
        """Offset of the bytes of value `number`."""
        pages = (self.source_bytes - block_bytes) // PAGE_BYTES + 1
        return number * STRIDE_PAGES % pages * PAGE_BYTES

    def place(self, which, block_bytes):
        return self.source_bytes + which * block_bytes

    def places(self, block_bytes, inflight):
        fitting = (self.memory.size - self.source_bytes) // block_bytes
        if fitting < inflight:
            raise ValueError("so many do not fit into the client's memory")
        return min(fitting, max(inflight, RING_USED_BYTES // block_bytes))

    def differ(self, one, other, size):
        """Compares two runs of the memory byte for byte."""
        return memcmp(self.address + one, self.address + other, size) != 0

    def make(self, op, keys, offsets, block_bytes):
        batch = Batch(keys, offsets, block_bytes)
        self.store.prepare(op, batch)
        return batch

    def fill(self, fields):
        size, count = fields["bytes"], fields["count"]
        self.gets.clear()
        for first in range(0, count, FILL_KEYS):
            numbers = range(first, min(first + FILL_KEYS, count))
            keys = [working_key(size, number) for number in numbers]
            self.store.put(self.make("put", keys, [self.value(n, size) for n in numbers], size))
        return {"ops": count}

    def get_batches(self, size, window, count):
        """Batches that go round the working set; kept, for they are the same each turn."""
        if (size, window) not in self.gets:
            places = self.places(size, window)
            self.gets[size, window] = [
                self.make(
                    "get",
                    [working_key(size, n % count) for n in range(first, first + window)],
                    [self.place(n % places, size) for n in range(first, first + window)],
                    size,
                )
                for first in range(0, max(count, window), window)
            ]
        return self.gets[size, window]

    def put_batches(self, fields):
        size, window, turn = fields["bytes"], fields["inflight"], fields["turn"]
        return [
            self.make(
                "put",
                [f"p{turn}-{n}" for n in range(first, first + window)],
                [self.value(n, size) for n in range(first, first + window)],
                size,
            )
            for first in range(0, fields["ops"] // window * window, window)
        ]

    def transfer(self, op, fields):
        size, window = fields["bytes"], fields["inflight"]
        if op == "get":
            batches = self.get_batches(size, window, fields["count"])
        else:
            batches = self.put_batches(fields)
        call = getattr(self.store, op)
        walls, answer = self.timed(
            fields, lambda turn: call(batches[turn % len(batches)]), fields["ops"] // window
        )
        done = len(walls)
        if op == "get":
            checked = self.check(batches, done, fields["count"])
        else:
            checked = 0
            self.remove_put(batches[:done])
        return answer | {
            "ops": done * window,
            "bytes": done * window * size,
            "checked": checked,
            "latencies": ",".join(str(ns) for ns in walls for _ in range(window)),
        }

    def timed(self, fields, call, calls_max):
        """Calls until the time or the count is up; returns (nanoseconds of each, sums)."""
        servers = [int(word) for word in fields.get("servers", "").split(",") if word]
        server_ns = sum(map(cpu_ns_of, servers))
        own_ns = time.process_time_ns()
        begin = now = time.monotonic_ns()
        end = begin + fields["millis"] * 1_000_000
        walls = []
        while len(walls) < max(1, calls_max):
            call(len(walls))
            before, now = now, time.monotonic_ns()
            walls.append(now - before)
            if now >= end:
                break
        return walls, {
            "wall_ns": now - begin,
            "client_cpu_ns": time.process_time_ns() - own_ns,
            "server_cpu_ns": sum(map(cpu_ns_of, servers)) - server_ns,
        }

    def check(self, batches, done, count):
        """Compares what lies in the ring byte for byte; each place has its last one's bytes."""
        last = {}
        for turn in range(max(0, done - len(batches)), done):
            batch = batches[turn % len(batches)]
            last.update(zip(batch.offsets, batch.keys, strict=True))
        size = batches[0].block_bytes
        for offset, key in last.items():
            number = int(key.rpartition("-")[2]) % count
            if self.differ(offset, self.value(number, size), size):
                raise ValueError(f"get of {key}: other bytes than were put")
            self.memory[offset : offset + 64] = 0
        return len(last)

    def remove_put(self, batches):
        """Reads the last one back, then takes all away."""
        if not batches:
            return
        last = batches[-1]
        size = last.block_bytes
        back = self.make("get", last.keys[-1:], [self.place(0, size)], size)
        self.store.get(back)
        if self.differ(back.offsets[0], last.offsets[-1], size):
            raise ValueError(f"put of {last.keys[-1]}: other bytes came back")
        self.store.remove([key for batch in batches for key in batch.keys])

    def exists(self, fields):
        size, count = fields["bytes"], fields["count"]
        keys = [
            working_key(size, n // 2) if n % 2 == 0 else f"no-{working_key(size, n // 2)}"
            for n in range(count)
        ]
        there = []

        def call(_):
            there.append(self.store.exists(keys))

        walls, answer = self.timed(fields, call, fields["ops"])
        wrong = [found for found in there if found != (count + 1) // 2]
        if wrong:
            raise ValueError(f"exists: {wrong[0]} of {count}")
        done = len(walls)
        return answer | {
            "ops": done,
            "checked": done,
            "latencies": ",".join(map(str, walls)),
        }

    def drop(self, fields):
        size = fields["bytes"]
        self.gets.clear()
        self.store.remove([working_key(size, number) for number in range(fields["count"])])
        return {}

    def answer(self, line):
        """The answer to one line."""
        verb, *words = line.split()
        fields = dict(word.partition("=")[::2] for word in words)
        fields = {k: v if k == "servers" else int(v) for k, v in fields.items()}
        if verb in ("get", "put"):
            found = self.transfer(verb, fields)
        else:
            found = {"fill": self.fill, "exists": self.exists, "drop": self.drop}[verb](fields)
        return "done " + " ".join(f"{name}={value}" for name, value in found.items())


def arguments(*names):
    """--payload, --memory-mib, and options of this client."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--payload", required=True)
    parser.add_argument("--memory-mib", type=int, default=608)
    for name in names:
        parser.add_argument(name)
    return parser.parse_args()


def own_output():
    """stdout for answers alone: what a package prints there goes to the log."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def main(open_store, *names):
    """`open_store(options)` returns (store, memory); serves lines until stdin ends."""
    answers = own_output()
    try:
        options = arguments(*names)
        store, memory = open_store(options)
        loop = Loop(store, options.payload, memory)
    except Exception as error:  # noqa: BLE001 (whatever a peer raises is a row of the table)
        print(f"error {type(error).__name__}: {error}".replace("\n", " "), file=answers)
        return 1
    print(f"ready transport={type(store).__name__}", file=answers)
    for line in sys.stdin:
        try:
            print(loop.answer(line), file=answers)
        except Exception as error:  # noqa: BLE001
            print(f"error {type(error).__name__}: {error}".replace("\n", " "), file=answers)
    return 0
