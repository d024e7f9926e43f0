"""Blocks through a real cluster, over every transport, and what is refused."""

import pytest
import tarn
from tarn_cluster import Cluster, block_of, get, key_of, open_space, put


def refused(outcomes):
    return [(o.outcome, o.message) for o in outcomes if o.outcome != tarn.Outcome.ok]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("put_get")) as running:
        yield running


@pytest.mark.parametrize("transport", ["automatic", "tcp", "grpc", "local"])
def test_what_was_put_comes_back(cluster, transport):
    client = cluster.client(transport=getattr(tarn.Transport, transport))
    space = open_space(client, revision=transport)
    for size in (8, 4096, 65536, 1 << 20, 16 << 20):
        numbers = range(size, size + 6)
        assert refused(put(space, numbers, size, copies=2)) == []
        for number, (outcome, memory) in zip(numbers, get(space, numbers, size), strict=True):
            assert outcome.outcome == tarn.Outcome.ok, outcome.message
            assert memory == block_of(number, size)
    names = {c.server: c.transport for c in client.connections()}
    kind = {"tcp": "ucx: ", "grpc": "grpc: "}.get(transport, "local: ")
    assert names and all(t.startswith(kind) for t in names.values())


def test_a_second_put_moves_no_bytes_and_a_miss_is_a_value(cluster):
    space = open_space(cluster.client(), revision="again")
    assert put(space, [1])[0].outcome == tarn.Outcome.ok
    assert put(space, [1])[0].outcome == tarn.Outcome.exists
    assert get(space, [2])[0][0].outcome == tarn.Outcome.miss
    assert space.exists([key_of(1), key_of(2)]) == [True, False]


def test_tenants_do_not_see_each_other(cluster):
    cluster.make_token("other", cluster.folder / "other")
    mine = open_space(cluster.client())
    theirs = open_space(cluster.client(cluster.folder / "other"))
    put(mine, [7])
    assert get(theirs, [7])[0][0].outcome == tarn.Outcome.miss
    assert get(mine, [7])[0][0].outcome == tarn.Outcome.ok


def test_bad_input_is_named(cluster):
    space = open_space(cluster.client())
    for bad_hash in (b"", b"x" * 33):
        item = tarn.PutItem(hash=bad_hash, slices=[b"12345678"])
        transfer = space.put_kv([item])
        transfer.wait()
        outcome = transfer.outcomes()[0]
        assert outcome.outcome == tarn.Outcome.invalid_argument
        assert "hash" in outcome.message
    transfer = space.put_kv([tarn.PutItem(hash=b"empty", slices=[b""])])
    transfer.wait()
    assert transfer.outcomes()[0].outcome == tarn.Outcome.invalid_argument
    put(space, [3], 4096)
    outcome, _ = get(space, [3], 8192)[0]
    assert outcome.outcome == tarn.Outcome.invalid_argument
    with pytest.raises((BufferError, TypeError)):
        space.get_kv([tarn.GetItem(hash=b"h", slices=[b"read-only"])])
    with pytest.raises(tarn.Error) as error:
        client_with("no such token", cluster)
    assert error.value.outcome == tarn.Outcome.unauthenticated


def client_with(token, cluster):
    client = cluster.client(token=token)
    return open_space(client)


def test_a_class_that_cannot_be_had_is_refused_never_lowered(cluster):
    space = open_space(cluster.client())
    refused = put(space, [20], copies=5)[0]
    assert refused.outcome not in (tarn.Outcome.ok, tarn.Outcome.exists)
    lowered = put(space, [21], copies=5, allow_less=True)[0]
    assert lowered.outcome == tarn.Outcome.kept_less
    assert lowered.copies == 3


def test_match_finds_the_longest_prefix(cluster):
    space = open_space(cluster.client(), flat=False, revision="match")
    hasher = tarn.Hasher.open("sha256_cbor", "0", 16)
    hashes = hasher.hash(list(range(16 * 40)))
    items = [
        tarn.PutItem(hash=h, parent=hashes[i - 1] if i else b"", slices=[block_of(i, 4096)])
        for i, h in enumerate(hashes[:33])
    ]
    transfer = space.put_kv(items)
    transfer.wait()
    assert transfer.all_ok()
    from processes import wait_until

    wait_until(lambda: space.match(hashes).matched == 33, "the index", 5)
    assert space.match(hashes[1:]).matched == 32
    assert space.match([b"nothing", *hashes]).matched == 0
