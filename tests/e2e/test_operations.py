"""What operators do to a running cluster, while a client puts and gets: deploys, growth, drains."""

import contextlib
import json
import shutil
import signal
import threading

import pytest
import tarn
from load import Load
from processes import wait_until
from tarn_cluster import Cluster, get, key_of, open_space, put

SLOTS = 1024


@contextlib.contextmanager
def redeployed(cluster, name):
    """As a deploy does: SIGTERM drains, the server is away, then its next version starts."""
    cluster.signal(name, signal.SIGTERM)
    assert cluster.processes.children[name].wait(10) == 0
    cluster.wait_up(set(cluster.names) - {name})
    yield
    cluster.start_server(name)
    cluster.wait_up(cluster.names)
    wait_until(lambda: cluster.synced_members() == 2 * SLOTS, "two copies of each slot", 60)


def test_a_rolling_restart_loses_nothing_that_was_acknowledged_since_the_last_one(tmp_path):
    with Cluster(tmp_path) as cluster:
        session = open_space(cluster.client()).create_session("rolling")
        version = 1
        with Load(cluster.client()) as load:
            for name in list(cluster.names):
                load.progress(5)
                begin = len(load.acknowledged)
                load.progress(5)
                since = load.acknowledged[begin:]
                with redeployed(cluster, name):
                    # Blocks live in dram: the server that is down has taken its copies with it.
                    assert load.missing(since) == [], name
                    version = session.append(version, tarn.Append(token_count=version))
                assert load.missing(since) == [], name
                assert session.resolve().version == version
        load.verdict()
        assert version == 4
        assert load.failed == [], load.failed[:3]


def test_a_server_joins_and_another_is_drained_under_load(tmp_path):
    with Cluster(tmp_path) as cluster:
        with Load(cluster.client()) as load:
            load.progress(10)
            before = list(load.acknowledged)
            cluster.add_server("server-4")
            cluster.wait_up(cluster.names)
            load.progress(10)
            # A server that joins takes nothing away: who had a block still answers for it.
            assert load.missing(before) == []
            wait_until(lambda: cluster.server_status("server-4")["blocks"] > 0, "its first blocks")
            wait_until(
                lambda: cluster.server_status("server-4")["slots_synced"] > 0, "its first slots"
            )
            begin = len(load.acknowledged)
            load.progress(10)
            settled = load.acknowledged[begin:]
            done = cluster.tarn("drain", "server", "server-1", "--json")
            assert json.loads(done.stdout) == {"server": "server-1", "draining": True}
            wait_until(lambda: slots_of(cluster, "server-1") == 0, "its slots to move", 20)
            # While it drains it still serves what it has.
            assert load.missing(settled) == []
            cluster.signal("server-1", signal.SIGTERM)
            assert cluster.processes.children["server-1"].wait(10) == 0
            load.progress(10)
            assert load.missing(settled) == []
        load.verdict()
        assert load.failed == [], load.failed[:3]


def slots_of(cluster, name):
    return cluster.server_status(name).get("slots_primary")


def test_one_of_two_routers_dies_and_the_other_goes_on(tmp_path):
    with Cluster(tmp_path, routers=2) as cluster:
        client = cluster.client()
        space = open_space(client)
        session = space.create_session("two-routers")
        version = 1
        with Load(client) as load:
            for victim in ("router", "router-2"):
                load.progress(3)
                cluster.kill(victim)
                shutil.rmtree(cluster.folder / victim, ignore_errors=True)
                version = session.append(version, tarn.Append(token_count=version))
                load.progress(5)
                # Also for someone who has never talked to the cluster before.
                newcomer = open_space(cluster.client())
                assert put(newcomer, [7], copies=2)[0].outcome in (
                    tarn.Outcome.ok,
                    tarn.Outcome.exists,
                )
                assert newcomer.open_session("two-routers").resolve().version == version
                status = cluster.status()
                assert len(status["routers"]) == 1
                assert len(status["silent_routers"]) == 1
                cluster.start_router(victim)
                wait_until(lambda: controllers(cluster) == 1, "one controller")
                wait_until(lambda: indexes_synced(cluster), "both routers' indexes")
            # The one that took over decides about servers too.
            cluster.kill("server-3")
            wait_until(lambda: cluster.up() == {"server-1", "server-2"}, "server-3 down", 5)
            load.progress(3)
        load.verdict()
        assert load.missing(load.acknowledged[-40:]) == []


def controllers(cluster):
    routers = cluster.status().get("routers", [])
    return sum(r["controller"] for r in routers) if len(routers) == 2 else 0


def indexes_synced(cluster):
    routers = cluster.status().get("routers", [])
    return len(routers) == 2 and all(r["index_synced"] for r in routers)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("operations")) as running:
        yield running


def test_a_router_is_wiped_under_load_and_no_call_notices_for_long(cluster):
    with Load(cluster.client(), seed=2) as load:
        load.progress(5)
        cluster.kill("router")
        shutil.rmtree(cluster.folder / "router", ignore_errors=True)
        load.progress(5)  # the data path does not need it
        cluster.start_router()
        load.progress(5)
    load.verdict()
    assert load.failed == [], load.failed[:3]
    assert load.missing(load.acknowledged) == []
    space = load.space
    hashes = [key_of(n) for n in load.acknowledged[:64]]
    assert all(space.exists(hashes))


def test_a_change_of_membership_waits_for_etcd_and_says_so(cluster):
    space = open_space(cluster.client())
    session = space.create_session("waits")
    cluster.signal("etcd", signal.SIGSTOP)
    cluster.add_server("server-9")
    wait_until(lambda: waiting(cluster), "the words for what waits", 20)
    assert "server-9 joins" in waiting(cluster)
    text = cluster.tarn("status", "--skip-connections").stdout
    assert "Waiting at router: server-9 joins" in text
    assert "(unreachable)" in text
    # An operator's change needs etcd: it is refused in time, not forgotten and done later.
    done = cluster.tarn("drain", "server", "server-1", "--timeout-ms", "3000")
    assert done.returncode == 3, done.stderr
    # Data goes on under the last config.
    assert put(space, [1], copies=2)[0].outcome in (tarn.Outcome.ok, tarn.Outcome.exists)
    assert get(space, [1])[0][0].outcome == tarn.Outcome.ok
    assert session.append(1, tarn.Append(token_count=1)) == 2
    cluster.signal("etcd", signal.SIGCONT)
    cluster.wait_up(cluster.names)
    assert waiting(cluster) == ""
    assert cluster.server_status("server-1")["state"] == "up"


def waiting(cluster):
    routers = cluster.status().get("routers", [])
    return routers[0]["pending_change"] if routers else None


def test_a_worker_is_drained_and_its_sessions_move(cluster):
    client = cluster.client()
    space = open_space(client, revision="workers")
    first = client.register_worker(
        space, tarn.WorkerSpec(name="gpu-1", endpoint="here:1", capacity=8)
    )
    wait_until(first.connected, "the first worker")
    session = space.create_session("moves")
    session.append(1, tarn.Append(token_count=1, tail=b"x"))
    query = tarn.RouteQuery(session_id="moves", new_tokens=1)
    assert client.route(space, query).worker == "gpu-1"
    second = client.register_worker(
        space, tarn.WorkerSpec(name="gpu-2", endpoint="there:2", capacity=8)
    )
    wait_until(second.connected, "the second worker")
    assert cluster.tarn("drain", "worker", "gpu-9").returncode == 1
    assert cluster.tarn("drain", "worker", "gpu-1").returncode == 0
    wait_until(first.should_drain, "the word to leave")
    first.set_draining(True)
    wait_until(lambda: client.route(space, query).worker == "gpu-2", "the route to the other", 5)
    assert client.route(space, query).endpoint == "there:2"
    states = {w["name"]: w for w in cluster.status()["workers"]}
    assert states["gpu-1"]["draining"] and states["gpu-1"]["alive"]
    assert not states["gpu-2"]["draining"]
    # Whoever gets the session resumes it by its id.
    assert space.open_session("moves").resolve().tail == b"x"
    del first
    # Nobody else is there: the balancer is told so, at once.
    query = tarn.RouteQuery(session_id="moves", new_tokens=1, exclude=["gpu-2"])
    with pytest.raises(tarn.Error) as error:
        client.route(space, query)
    assert error.value.outcome == tarn.Outcome.unavailable


def test_a_slow_server_costs_the_deadline_of_one_attempt(cluster):
    """Two seconds of SIGSTOP: shorter than nothing, longer than `dead_after`."""
    with Load(cluster.client(), seed=3, timeout_ms=5000) as load:
        load.progress(5)
        before = list(load.acknowledged)
        cluster.stop("server-2")
        waker = threading.Timer(2, cluster.resume, ["server-2"])
        waker.start()
        assert load.missing(before) == []
        waker.join()
        cluster.wait_up(cluster.names)
        load.progress(5)
    load.verdict()
    assert load.slowest_s < 5, load.slowest_s
