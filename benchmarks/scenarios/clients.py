"""What the clients of scenarios do: a process that reads jobs as JSON lines and answers each.

Uses the public package alone. One job at a time; memory is made once for each size.
"""

import json
import sys
import time

import numpy as np
import tarn


def payload(index, size):
    """The bytes of block `index`: random, the same in each process."""
    return np.random.default_rng(index).integers(0, 256, size, np.uint8)


def block_hash(name, index):
    """A key of the flat space."""
    return f"{name}-{index}".encode()


def percentiles(samples_ms):
    """p50, p99, p99.9 and largest of samples in milliseconds."""
    if not samples_ms:
        return {"count": 0}
    ordered = sorted(samples_ms)
    at = lambda share: ordered[min(len(ordered) - 1, int(len(ordered) * share))]  # noqa: E731
    return {
        "count": len(ordered),
        "p50_ms": round(at(0.5), 3),
        "p99_ms": round(at(0.99), 3),
        "p999_ms": round(at(0.999), 3),
        "max_ms": round(ordered[-1], 3),
    }


class Jobs:
    """The jobs by name; each takes keyword arguments and returns what is written as JSON."""

    def connect(self, endpoint, credentials, transport="automatic", space="scenario", flat=True):
        self.client = tarn.Client.connect(
            tarn.ClientOptions(
                endpoint=endpoint,
                credentials=credentials,
                transport=getattr(tarn.Transport, transport),
            )
        )
        spec = tarn.SpaceSpec(model=space, dtype="u8", layout="bytes", flat=flat, hash_seed="")
        spec.hash_scheme = "scenario"
        self.space = self.client.open_space(spec)
        return {}

    def transports(self):
        return {"transports": sorted({c.transport for c in self.client.connections()})}

    def put(self, name, count, block_bytes, copies=1):
        """Puts `count` blocks, a few at a time."""
        options = tarn.CallOptions(copies=copies, timeout_ms=60_000)
        for first in range(0, count, 16):
            data = [payload(i, block_bytes) for i in range(first, min(first + 16, count))]
            items = [
                tarn.PutItem(hash=block_hash(name, first + i), slices=[bytes_])
                for i, bytes_ in enumerate(data)
            ]
            transfer = self.space.put_kv(items, options)
            transfer.wait()
            if not transfer.all_ok():
                bad = next(o for o in transfer.outcomes() if o.outcome != tarn.Outcome.ok)
                raise RuntimeError(f"put: {bad.outcome.name}: {bad.message}")
        return {}

    def gets(self, name, count, block_bytes, seconds, window=8, blocks_each=1, timeout_ms=10_000):
        """Gets blocks in turn, `window` calls in flight, for so long; checks every outcome."""
        memory = self._memory(window * blocks_each, block_bytes)
        flying, free, done_ms, failed, moved, at = [], list(range(window)), [], {}, 0, 0
        begin = time.perf_counter()
        while True:
            now = time.perf_counter()
            while free and now - begin < seconds:
                place = free.pop()
                items = []
                for i in range(blocks_each):
                    row = memory[place * blocks_each + i]
                    items.append(tarn.GetItem(hash=block_hash(name, at % count), slices=[row]))
                    at += 1
                options = tarn.CallOptions(timeout_ms=timeout_ms)
                flying.append((place, time.perf_counter(), self.space.get_kv(items, options)))
            if not flying:
                break
            place, began, transfer = flying.pop(0)
            transfer.wait()
            done_ms.append((time.perf_counter() - began) * 1e3)
            for outcome in transfer.outcomes():
                if outcome.outcome == tarn.Outcome.ok:
                    moved += outcome.bytes
                else:
                    failed[outcome.outcome.name] = failed.get(outcome.outcome.name, 0) + 1
            free.append(place)
        spent = time.perf_counter() - begin
        return percentiles(done_ms) | {
            "bytes": moved,
            "seconds": round(spent, 3),
            "gb_per_s": round(moved / spent / 1e9, 4),
            "failed": failed,
        }

    def ends_in_time(self, name, count, block_bytes, seconds, timeout_ms):
        """Calls of each kind, one after the other: how long past its deadline did any end?"""
        memory = self._memory(count, block_bytes)
        fresh = payload(10_000, block_bytes)
        options = tarn.CallOptions(timeout_ms=timeout_ms)
        keys = [block_hash(name, i) for i in range(count)]
        serial = 0

        def get():
            items = [tarn.GetItem(hash=k, slices=[m]) for k, m in zip(keys, memory, strict=True)]
            return self._outcome(self.space.get_kv(items, options))

        def put():
            nonlocal serial
            serial += 1
            item = tarn.PutItem(hash=f"late-{time.time_ns()}-{serial}".encode(), slices=[fresh])
            return self._outcome(self.space.put_kv([item], options))

        def exists():
            self.space.exists(keys, options)
            return "ok"

        result, begin = {}, time.perf_counter()
        kinds = (get, put, exists)
        spent = {kind.__name__: [] for kind in kinds}
        ended = {kind.__name__: {} for kind in kinds}
        while time.perf_counter() - begin < seconds:
            for kind in kinds:
                start = time.perf_counter()
                try:
                    outcome = kind()
                except tarn.Error as error:
                    outcome = error.outcome.name
                spent[kind.__name__].append((time.perf_counter() - start) * 1e3)
                counts = ended[kind.__name__]
                counts[outcome] = counts.get(outcome, 0) + 1
        for kind in spent:
            result[kind] = percentiles(spent[kind]) | {"ended": ended[kind]}
            result[kind]["past_deadline_ms"] = round(max(0, max(spent[kind]) - timeout_ms), 3)
        return result

    @staticmethod
    def _outcome(transfer):
        transfer.wait()
        first = next((o for o in transfer.outcomes() if o.outcome != tarn.Outcome.ok), None)
        return "ok" if first is None else first.outcome.name

    def _memory(self, count, block_bytes):
        if getattr(self, "_rows", np.empty((0, 0))).shape != (count, block_bytes):
            self._buffer = self.client.allocate(count * block_bytes)
            self._rows = np.frombuffer(self._buffer, np.uint8).reshape(count, block_bytes)
        return self._rows


def main():
    """Serves jobs until the input ends."""
    jobs = Jobs()
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer = getattr(jobs, job.pop("do"))(**job)
        except Exception as error:  # noqa: BLE001: all of it goes to the runner
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
