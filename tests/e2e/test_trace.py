"""2,000 requests of a real conversation trace: the prefix hit rate is the ideal one."""

import json
import pathlib

import tarn
from tarn_cluster import Cluster, block_of

TRACE = pathlib.Path(__file__).resolve().parents[1] / "data" / "conversation_2000.jsonl"
BLOCK_BYTES = 16 * 1024


def requests():
    return [json.loads(line)["hash_ids"] for line in TRACE.read_text().splitlines()]


def ideal_hit_rate(trace):
    seen, hits, total = set(), 0, 0
    for ids in trace:
        for number in ids:
            if number not in seen:
                break
            hits += 1
        total += len(ids)
        seen.update(ids)
    return hits / total


def hash_of(number):
    return number.to_bytes(16, "little")


def test_the_prefix_hit_rate_equals_the_ideal(tmp_path):
    trace = requests()
    assert len(trace) == 2000
    hits, total = 0, 0
    with Cluster(tmp_path, servers=1, authority="file", dram="2GiB") as cluster:
        space = cluster.client().open_space(
            tarn.SpaceSpec(model="trace", layout="bytes", block_tokens=512, hash_scheme="ids")
        )
        for ids in trace:
            hits += fetch_prefix(space, ids)
            total += len(ids)
            put_rest(space, ids)
    ideal = ideal_hit_rate(trace)
    print(f"hit rate {hits / total:.4f}, ideal {ideal:.4f}")
    assert abs(hits / total - ideal) <= 0.005


def fetch_prefix(space, ids):
    """Fetches what is there from the front; the length of the prefix, each of its bytes checked."""
    present = space.exists([hash_of(n) for n in ids])
    count = present.index(False) if False in present else len(ids)
    if count == 0:
        return 0
    memory = [bytearray(BLOCK_BYTES) for _ in range(count)]
    items = [
        tarn.GetItem(hash=hash_of(n), slices=[m]) for n, m in zip(ids[:count], memory, strict=True)
    ]
    transfer = space.get_kv(items)
    transfer.wait()
    for index, outcome in enumerate(transfer.outcomes()):
        if outcome.outcome != tarn.Outcome.ok:
            return index
        assert memory[index] == block_of(ids[index], BLOCK_BYTES)
    return count


def put_rest(space, ids):
    items = [
        tarn.PutItem(
            hash=hash_of(n),
            parent=hash_of(ids[i - 1]) if i else b"",
            slices=[block_of(n, BLOCK_BYTES)],
        )
        for i, n in enumerate(ids)
    ]
    transfer = space.put_kv(items)
    transfer.wait()
    assert transfer.all_ok(), next(o.message for o in transfer.outcomes() if o.message)
