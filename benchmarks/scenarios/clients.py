"""What the clients of scenarios do: a process that reads jobs as JSON lines and answers each.

Uses the public package alone. One job at a time; memory is made once for each size.
"""

import json
import sys
import time

import llama
import numpy as np
import tarn
from tarn_store import LayerFetch, space_spec


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

    def connect(self, transport="automatic", space="scenario", flat=True, **options):
        self.client = tarn.Client.connect(
            tarn.ClientOptions(transport=getattr(tarn.Transport, transport), **options)
        )
        spec = tarn.SpaceSpec(model=space, dtype="u8", layout="bytes", flat=flat, hash_seed="")
        spec.hash_scheme = "scenario"
        self.space = self.client.open_space(spec)
        return {}

    def transports(self):
        return {"transports": sorted({c.transport for c in self.client.connections()})}

    def counters(self):
        return {"asked_twice": self.client.counters().blocks_asked_twice}

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

    def gets(
        self,
        name,
        count,
        block_bytes,
        seconds,
        window=8,
        blocks_each=1,
        timeout_ms=10_000,
        late_ms=0,
        scattered=False,
    ):
        """Gets blocks in turn, or anyhow, `window` calls in flight, for so long; checks
        every outcome."""
        memory = self._memory(window * blocks_each, block_bytes)
        flying, free, done_ms, failed, moved, at = [], list(range(window)), [], {}, 0, 0
        draw = np.random.default_rng(count)
        begin = time.perf_counter()
        while True:
            now = time.perf_counter()
            while free and now - begin < seconds:
                place = free.pop()
                items = []
                for i in range(blocks_each):
                    row = memory[place * blocks_each + i]
                    number = int(draw.integers(count)) if scattered else at % count
                    items.append(tarn.GetItem(hash=block_hash(name, number), slices=[row]))
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
            "late": sum(ms > late_ms for ms in done_ms),
        }

    def fill(self, name, first, count, block_bytes, gets_each, recent):
        """Puts blocks from `first` on, eight at a time, with `gets_each` gets of the last `recent`
        blocks for each of them."""
        memory = self._memory(9, block_bytes)
        memory[:8] = payload(0, block_bytes)
        draw = np.random.default_rng(first)
        seen = {"refused": 0, "missed": 0, "wrong": 0}
        got_ms, put_s = [], 0.0
        for done in range(0, count, 8):
            batch = range(first + done, first + min(done + 8, count))
            began = time.perf_counter()
            seen["refused"] += self._put_numbered(name, batch, memory)
            put_s += time.perf_counter() - began
            for _ in range(gets_each * len(batch)):
                number = int(draw.integers(max(0, batch.stop - recent), batch.stop))
                began = time.perf_counter()
                item = tarn.GetItem(hash=block_hash(name, number), slices=[memory[8]])
                transfer = self.space.get_kv([item])
                transfer.wait()
                if not transfer.all_ok():
                    seen["missed"] += 1
                    continue
                got_ms.append((time.perf_counter() - began) * 1e3)
                seen["wrong"] += int(memory[8][:8].view(np.uint64)[0]) != number
        mb_per_s = (count - seen["refused"]) * block_bytes / put_s / 1e6
        return percentiles(got_ms) | seen | {"put_mb_per_s": round(mb_per_s, 1)}

    def _put_numbered(self, name, numbers, memory):
        """One block for each number, which its bytes begin with; returns how many were refused."""
        items = []
        for row, number in zip(memory, numbers, strict=False):
            row[:8].view(np.uint64)[0] = number
            items.append(tarn.PutItem(hash=block_hash(name, number), slices=[row]))
        transfer = self.space.put_kv(items, tarn.CallOptions(timeout_ms=10_000))
        transfer.wait()
        return sum(outcome.outcome != tarn.Outcome.ok for outcome in transfer.outcomes())

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

        def layer_get():
            step = block_bytes // 4
            by_layer = tarn.CallOptions(timeout_ms=timeout_ms)
            by_layer.layer_ends = [step, 2 * step, 3 * step, block_bytes]
            items = [tarn.GetItem(hash=k, slices=[m]) for k, m in zip(keys, memory, strict=True)]
            transfer = self.space.get_kv(items, by_layer)
            for layer in range(4):
                transfer.wait_layer(layer)
            return self._outcome(transfer)

        def put():
            nonlocal serial
            serial += 1
            item = tarn.PutItem(hash=f"late-{time.time_ns()}-{serial}".encode(), slices=[fresh])
            return self._outcome(self.space.put_kv([item], options))

        def exists():
            self.space.exists(keys, options)
            return "ok"

        result, begin = {}, time.perf_counter()
        kinds = (get, layer_get, put, exists)
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

    def layers(self, name, count, block_bytes, layers, rounds):
        """A whole get and a layer-wise one of the same blocks, in turn."""
        memory = self._memory(count, block_bytes)
        items = [
            tarn.GetItem(hash=block_hash(name, i), slices=[memory[i]]) for i in range(count)
        ]
        by_layer = tarn.CallOptions(timeout_ms=60_000)
        by_layer.layer_ends = [block_bytes * (i + 1) // layers for i in range(layers)]
        whole = tarn.CallOptions(timeout_ms=60_000)
        whole_ms, first_ms, middle_ms, last_ms = [], [], [], []
        for _ in range(rounds):
            begin = time.perf_counter()
            transfer = self.space.get_kv(items, whole)
            transfer.wait()
            whole_ms.append((time.perf_counter() - begin) * 1e3)
            self._check(transfer, memory)
            begin = time.perf_counter()
            transfer = self.space.get_kv(items, by_layer)
            at = []
            for layer in range(layers):
                transfer.wait_layer(layer)
                at.append((time.perf_counter() - begin) * 1e3)
            transfer.wait()
            self._check(transfer, memory)
            first_ms.append(at[0])
            middle_ms.append(at[layers // 2])
            last_ms.append(at[-1])
        return {
            "whole": percentiles(whole_ms),
            "first_layer": percentiles(first_ms),
            "middle_layer": percentiles(middle_ms),
            "last_layer": percentiles(last_ms),
        }

    def forward(self, tokens, rounds):
        """The example server's model resumes a session of 64 blocks and reads `tokens` new ones.

        Whole: all blocks, then the forward pass. Overlapped: each layer is computed once it landed.
        """
        model = llama.Model(7)
        config, count = model.config, 64
        prefix = [i * 7 % config.vocabulary for i in range(count * config.block_tokens)]
        fresh = [i * 5 % config.vocabulary for i in range(tokens)]
        source = model.empty_cache(len(prefix))
        model.prefill(prefix, source)
        space = self.client.open_space(space_spec(config))
        hashes = tarn.Hasher.open("sha256_cbor", "0", config.block_tokens).hash(prefix)
        items = [
            tarn.PutItem(hash=h, parent=hashes[i - 1] if i else b"", slices=[source.block(i)])
            for i, h in enumerate(hashes)
        ]
        transfer = space.put_kv(items)
        transfer.wait()
        if not transfer.all_ok():
            raise RuntimeError("put failed")
        whole_ms, overlapped_ms, alone_ms, answers = [], [], [], set()
        for _ in range(rounds):
            begin = time.perf_counter()
            fetch = LayerFetch(space, hashes, config)
            blocks, _ = fetch.usable()
            cache = model.empty_cache(len(prefix) + tokens)
            for index, block in enumerate(blocks):
                cache.load_block(index, block)
            landed = time.perf_counter()
            answers.add(model.prefill(fresh, cache))
            whole_ms.append((time.perf_counter() - begin) * 1e3)
            alone_ms.append((time.perf_counter() - landed) * 1e3)
            begin = time.perf_counter()
            fetch = LayerFetch(space, hashes, config)
            cache = model.empty_cache(len(prefix) + tokens)
            cache.expect_blocks(fetch.count, fetch.arrive)
            answers.add(model.prefill(fresh, cache))
            overlapped_ms.append((time.perf_counter() - begin) * 1e3)
        if len(answers) != 1:
            raise RuntimeError("the same tokens gave other answers")
        whole, overlapped = percentiles(whole_ms)["p50_ms"], percentiles(overlapped_ms)["p50_ms"]
        return {
            "forward_ms": percentiles(alone_ms)["p50_ms"],
            "fetch_then_forward_ms": whole,
            "overlapped_ms": overlapped,
            "overlap_gain": round(whole / overlapped, 3),
        }

    def _check(self, transfer, memory):
        if not transfer.all_ok():
            bad = next(o for o in transfer.outcomes() if o.outcome != tarn.Outcome.ok)
            raise RuntimeError(f"get: {bad.outcome.name}: {bad.message}")
        for index in (0, len(memory) - 1):
            if not np.array_equal(memory[index], payload(index, len(memory[index]))):
                raise RuntimeError(f"block {index} has other bytes than were put")
        memory[:, ::4096] = 0

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
