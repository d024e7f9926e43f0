"""The limits that the SDK's header names, at their edge, on real processes."""

import pytest
import tarn
from processes import wait_until
from tarn_cluster import Cluster, get, key_of, open_space, put

BLOCK_BYTES_MAX = 64 << 20
MATCH_HASHES_MAX = 8192
ITEMS = 8192


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("limits")
    with Cluster(folder, servers=2, authority="file", dram="1GiB") as running:
        yield running


def put_one(space, key, data, **options):
    transfer = space.put_kv(
        [tarn.PutItem(hash=key, slices=[data])], tarn.CallOptions(timeout_ms=30000, **options)
    )
    transfer.wait()
    return transfer.outcomes()[0]


def get_one(space, key, slices, attempts=4):
    """A get gives up on owners that it cannot reach, long before its deadline: a busy machine may
    have a server look dead for a moment."""
    items = [tarn.GetItem(hash=key, slices=slices)]
    for _ in range(attempts):
        transfer = space.get_kv(items, tarn.CallOptions(timeout_ms=30000))
        transfer.wait()
        outcome = transfer.outcomes()[0]
        if outcome.outcome != tarn.Outcome.unavailable:
            break
    return outcome


@pytest.mark.parametrize("transport", ["automatic", "grpc"])
def test_a_block_of_64_mib_goes_and_comes_and_one_byte_more_is_refused(cluster, transport):
    client = cluster.client(transport=getattr(tarn.Transport, transport))
    space = open_space(client, revision=f"large-{transport}")
    pattern = bytes(range(251)) * (BLOCK_BYTES_MAX // 251 + 1)
    for size in (BLOCK_BYTES_MAX - 1, BLOCK_BYTES_MAX):
        data = pattern[:size]
        outcome = put_one(space, b"large-%d" % size, data, copies=2)
        assert outcome.outcome == tarn.Outcome.ok, outcome.message
        memory = bytearray(size)
        outcome = get_one(space, b"large-%d" % size, [memory])
        assert outcome.outcome == tarn.Outcome.ok, outcome.message
        assert memory == data
    outcome = put_one(space, b"too-large", pattern[: BLOCK_BYTES_MAX + 1])
    assert outcome.outcome == tarn.Outcome.invalid_argument
    assert "64 MiB" in outcome.message or "67108864" in outcome.message, outcome.message
    assert space.exists([b"too-large"]) == [False]


def test_a_block_of_one_byte_scattered_over_nothing_else(cluster):
    space = open_space(cluster.client(), revision="small")
    assert put_one(space, b"one", b"x").outcome == tarn.Outcome.ok
    memory = bytearray(1)
    assert get_one(space, b"one", [memory]).outcome == tarn.Outcome.ok
    assert memory == b"x"


def test_a_scatter_list_must_add_up_to_the_block(cluster):
    space = open_space(cluster.client(), revision="scatter")
    data = bytes(range(250)) * 40
    assert put_one(space, b"s", data).outcome == tarn.Outcome.ok
    parts = [bytearray(n) for n in (1, 4095, 4097, 1807)]
    assert get_one(space, b"s", parts).outcome == tarn.Outcome.ok
    assert b"".join(parts) == data
    for wrong in (len(data) - 1, len(data) + 1):
        outcome = get_one(space, b"s", [bytearray(wrong)])
        assert outcome.outcome == tarn.Outcome.invalid_argument, wrong
        assert "slices" in outcome.message
        if wrong > len(data):
            assert outcome.bytes == len(data), "how much room it needs"


def test_a_batch_of_8192_items_has_one_outcome_each(cluster):
    space = open_space(cluster.client(), revision="batch")
    outcomes = put(space, range(ITEMS), 4096, timeout_ms=60000)
    bad = [(o.outcome, o.message) for o in outcomes if o.outcome != tarn.Outcome.ok]
    assert len(outcomes) == ITEMS and bad == []
    asked = [*range(0, ITEMS, 2), *range(ITEMS, ITEMS + ITEMS // 2)]
    fetched = get(space, asked, 4096, timeout_ms=60000)
    for number, (outcome, memory) in zip(asked, fetched, strict=True):
        wanted = tarn.Outcome.ok if number < ITEMS else tarn.Outcome.miss
        assert outcome.outcome == wanted, (number, outcome.message)
        if number < ITEMS:
            assert memory == number.to_bytes(8, "little") * 512, number
    assert space.exists([key_of(n) for n in range(ITEMS)]) == [True] * ITEMS


def test_match_takes_8192_hashes_in_one_call_and_refuses_one_more(cluster):
    space = open_space(cluster.client(), flat=False, revision="chain", hash_scheme="mine")
    hashes = [b"chain" + n.to_bytes(4, "big") for n in range(MATCH_HASHES_MAX + 1)]
    items = [
        tarn.PutItem(hash=h, parent=hashes[i - 1] if i else b"", slices=[b"v" * 64])
        for i, h in enumerate(hashes[:-1])
    ]
    transfer = space.put_kv(items, tarn.CallOptions(timeout_ms=60000))
    transfer.wait()
    assert transfer.all_ok(), next(o.message for o in transfer.outcomes() if o.message)
    wait_until(lambda: space.match(hashes[:-1]).matched == MATCH_HASHES_MAX, "the index", 20)
    runs = space.match(hashes[:-1]).runs
    assert sum(run.count for run in runs) == MATCH_HASHES_MAX
    assert [run.first for run in runs] == sorted(run.first for run in runs)
    with pytest.raises(tarn.Error) as error:
        space.match(hashes)
    assert error.value.outcome == tarn.Outcome.invalid_argument
    assert "8192" in str(error.value) or "8,192" in str(error.value)


def test_manifests_have_limits_that_are_named(cluster):
    session = open_space(cluster.client()).create_session("limits")
    assert session.append(1, tarn.Append(token_count=1, tail=b"t" * 65536)) == 2
    with pytest.raises(tarn.Error) as error:
        session.append(2, tarn.Append(token_count=1, tail=b"t" * 65537))
    assert error.value.outcome == tarn.Outcome.invalid_argument
    assert "tail" in str(error.value)
    assert session.resolve().version == 2
    space = open_space(cluster.client())
    for name in ("x" * 129, "new\nline"):
        with pytest.raises(tarn.Error) as error:
            space.create_session(name)
        assert error.value.outcome == tarn.Outcome.invalid_argument
        assert "session_id" in str(error.value) or "id" in str(error.value)
