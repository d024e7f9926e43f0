"""Servers that die or stop in the middle: never a wrong byte, never a call past its deadline."""

import contextlib
import random
import shutil
import signal
import socket
import threading
import time
import warnings

import tarn
from listening import tcp_ports
from processes import port_answers, wait_until
from tarn_cluster import Cluster, block_of, get, open_space, put, supervised

SLACK_S = 1.5  # a call may end this much after its deadline: it waits until the memory is safe


def check(number, size, outcome, memory):
    if outcome.outcome == tarn.Outcome.ok:
        assert memory == block_of(number, size), f"wrong bytes in block {number}"


ROUNDS = 100
ROUND_BLOCKS = 8


ACKNOWLEDGED = (tarn.Outcome.ok, tarn.Outcome.exists)  # a put tried again may find its own work


def assert_acknowledged(outcomes):
    assert [(o.outcome, o.message) for o in outcomes if o.outcome not in ACKNOWLEDGED] == []


def run_aside(function):
    """Runs the function in a thread; returns (thread, list that gets its result)."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    return thread, results


def all_there(space, numbers, size):
    """Asserts that each block can be had, and has its bytes, within the deadline."""
    begin = time.monotonic()
    for n, (outcome, memory) in zip(
        numbers, get(space, numbers, size, timeout_ms=8000), strict=True
    ):
        assert outcome.outcome == tarn.Outcome.ok, f"{n}: {outcome.message}"
        check(n, size, outcome, memory)
    assert time.monotonic() - begin < 8 + SLACK_S


def test_a_server_is_killed_in_mid_put_and_mid_get(tmp_path):
    """Two copies: what was acknowledged before the kill, and during it, is there after it."""
    size = 256 * 1024
    seed = random.randrange(1 << 30)
    print("seed", seed)
    dice = random.Random(seed)
    with Cluster(tmp_path) as cluster:
        space = open_space(cluster.client())
        for first in range(0, ROUNDS * 2 * ROUND_BLOCKS, 2 * ROUND_BLOCKS):
            kept = list(range(first, first + ROUND_BLOCKS))
            fresh = list(range(kept[-1] + 1, kept[-1] + 1 + ROUND_BLOCKS))
            outcomes = put(space, kept, size, copies=2, timeout_ms=8000)
            assert_acknowledged(outcomes)
            victim = dice.choice(cluster.names)
            killer = threading.Timer(dice.random() * 0.015, cluster.kill, [victim])
            putter, results = run_aside(
                lambda fresh=fresh: put(space, fresh, size, copies=2, timeout_ms=8000)
            )
            begin = time.monotonic()
            killer.start()
            while killer.is_alive():
                all_there(space, kept, size)
            all_there(space, kept, size)
            putter.join(8 + SLACK_S)
            assert results, "the put did not end by its deadline"
            assert time.monotonic() - begin < 16 + SLACK_S
            done = zip(fresh, results[0], strict=True)
            all_there(space, [n for n, o in done if o.outcome in ACKNOWLEDGED], size)
            cluster.start_server(victim)
            # Else the next death might be a second one at the same time.
            cluster.wait_back(victim)


def test_acknowledged_blocks_survive_the_death_of_one_server(tmp_path):
    with Cluster(tmp_path) as cluster:
        space = open_space(cluster.client())
        numbers = list(range(60))
        assert all(o.outcome == tarn.Outcome.ok for o in put(space, numbers, copies=2))
        cluster.kill("server-2")
        for n, (outcome, memory) in zip(numbers, get(space, numbers), strict=True):
            assert outcome.outcome == tarn.Outcome.ok, f"{n}: {outcome.message}"
            assert memory == block_of(n)


def test_a_stopped_server_costs_no_call_its_deadline(tmp_path):
    size = 1 << 20
    with Cluster(tmp_path) as cluster:
        space = open_space(cluster.client())
        numbers = list(range(30))
        assert all(o.outcome == tarn.Outcome.ok for o in put(space, numbers, size, copies=2))
        stopper = threading.Timer(0.005, cluster.stop, ["server-1"])
        stopper.start()
        for _ in range(5):
            begin = time.monotonic()
            for n, (outcome, memory) in zip(
                numbers, get(space, numbers, size, timeout_ms=3000), strict=True
            ):
                check(n, size, outcome, memory)
            assert time.monotonic() - begin < 3 + SLACK_S
        stopper.join()
        # The death is acted on: now every block comes from its other copy.
        assert all(o.outcome == tarn.Outcome.ok for o, _ in get(space, numbers, size))
        cluster.resume("server-1")
        for n, (outcome, memory) in zip(numbers, get(space, numbers, size), strict=True):
            check(n, size, outcome, memory)


def test_puts_while_a_server_is_stopped_end_and_what_they_acknowledge_is_there(tmp_path):
    size = 1 << 20
    with Cluster(tmp_path) as cluster:
        space = open_space(cluster.client())
        stopper = threading.Timer(0.005, cluster.stop, ["server-2"])
        stopper.start()
        acknowledged = []
        for first in range(0, 60, 12):
            begin = time.monotonic()
            numbers = list(range(first, first + 12))
            outcomes = put(space, numbers, size, copies=2, timeout_ms=3000)
            assert time.monotonic() - begin < 3 + SLACK_S
            acknowledged += [
                n for n, o in zip(numbers, outcomes, strict=True) if o.outcome in ACKNOWLEDGED
            ]
        stopper.join()
        # Long dead for the routers by now: the last puts went to the two that are left.
        assert set(range(48, 60)) <= set(acknowledged)
        all_there(space, acknowledged, size)


def test_the_router_is_replaced_and_its_state_is_gone(tmp_path):
    with Cluster(tmp_path) as cluster:
        space = open_space(cluster.client(), flat=False)
        hashes = tarn.Hasher.open("sha256_cbor", "0", 16).hash(list(range(320)))
        items = [
            tarn.PutItem(hash=h, parent=hashes[i - 1] if i else b"", slices=[block_of(i)])
            for i, h in enumerate(hashes)
        ]
        transfer = space.put_kv(items, tarn.CallOptions(copies=2))
        transfer.wait()
        assert transfer.all_ok()
        session = space.create_session("s-1")
        version = session.append(1, tarn.Append(blocks=hashes, token_count=320))
        cluster.kill("router")
        shutil.rmtree(cluster.folder / "router", ignore_errors=True)
        cluster.start_router()
        manifest = space.open_session("s-1").resolve()
        assert manifest.version == version
        assert manifest.blocks == hashes
        wait_until(lambda: space.match(hashes).matched == len(hashes), "the rebuilt index", 10)
        other = open_space(cluster.client(), flat=False)
        memory = [bytearray(65536) for _ in hashes]
        other.open_session("s-1").resolve()
        transfer = other.get_kv(
            [tarn.GetItem(hash=h, slices=[m]) for h, m in zip(hashes, memory, strict=True)]
        )
        transfer.wait()
        assert transfer.all_ok()
        assert all(m == block_of(i) for i, m in enumerate(memory))


def test_garbage_on_a_bulk_port_loses_nothing_acknowledged(tmp_path):
    """The bytes that abort a UCX worker: its magic, then a bad length."""
    with Cluster(tmp_path) as cluster:
        space = open_space(cluster.client())
        numbers = list(range(40))
        assert all(o.outcome == tarn.Outcome.ok for o in put(space, numbers, copies=2))
        session = space.create_session("g-1")
        victim = "server-3"
        with supervised(cluster) as started:
            for port in bulk_ports_of(cluster, victim):
                send_garbage(port)
            wait_until(lambda: port_answers(cluster.server_ports[victim]), victim, 5)
            if started:
                assert {name for name, _ in started} == {victim}
                assert time.monotonic() - started[-1][1] < 1, f"{victim} stayed away"
            else:
                warnings.warn(f"this UCX lets {victim} live", stacklevel=1)
            all_there(space, numbers, 65536)
            assert session.resolve().version == 1
            # Not wait_up(): the victim may die once more, and is started again.
            wait_until(lambda: cluster.up() == set(cluster.names), "all servers up")
            assert put(space, [99], copies=2)[0].outcome == tarn.Outcome.ok


def bulk_ports_of(cluster, name):
    """The TCP ports of a server on which UCX listens."""
    ports = tcp_ports(cluster.processes.children[name].pid) - {cluster.server_ports[name]}
    assert ports, "the server has no UCX port"
    return ports


def send_garbage(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as peer:
        peer.sendall((0xCAFEBABE12345678).to_bytes(8, "little") + b"\xff" * 64)
        peer.settimeout(0.5)
        peer.recv(64)


def router_of(cluster):
    return next(iter(cluster.status().get("routers", [])), {})


def test_etcd_is_down(tmp_path):
    with Cluster(tmp_path) as cluster:
        space = open_space(cluster.client())
        session = space.create_session("e-1")
        cluster.kill("etcd")
        time.sleep(2.5)  # longer than the controller's lease
        assert put(space, [1], copies=2)[0].outcome == tarn.Outcome.ok
        assert get(space, [1])[0][0].outcome == tarn.Outcome.ok
        version = session.append(1, tarn.Append(token_count=3, tail=b"abc"))
        assert version == 2
        cluster.kill("server-1")
        wait_until(lambda: router_of(cluster).get("pending_change"), "the waiting change", 10)
        assert router_of(cluster)["authority_reachable"] is False
        cluster.start_etcd()
        wait_until(lambda: "server-1" not in cluster.up(), "the change", 15)
        assert session.resolve().version == 2


def test_sigterm_ends_every_program_cleanly(tmp_path):
    with Cluster(tmp_path, servers=1, authority="file") as cluster:
        for name in ("server-1", "router"):
            cluster.signal(name, signal.SIGTERM)
            assert cluster.processes.children[name].wait(10) == 0
