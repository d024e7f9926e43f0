"""Sessions on real processes: one history, whoever dies in between."""

import threading
import time

import pytest
import tarn
from processes import wait_until
from tarn_cluster import Cluster, open_space, supervised


SLOTS = 1024


def append_of(number):
    return tarn.Append(
        blocks=[number.to_bytes(4, "little")], token_count=16 * number, tail=b"%d" % number
    )


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as running:
        yield running


def test_two_appends_race_and_one_wins(cluster):
    space = open_space(cluster.client())
    session = space.create_session("race")
    results = []

    def run(number):
        try:
            mine = open_space(cluster.client()).open_session("race")
            results.append(mine.append(1, append_of(number)))
        except tarn.Error as error:
            results.append(error.outcome)

    threads = [threading.Thread(target=run, args=[n]) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(2) == 1
    assert results.count(tarn.Outcome.conflict) == 2
    assert len(session.resolve().blocks) == 1


@pytest.mark.parametrize("point", ["session.after_local_fsync", "session.before_answer"])
def test_the_primary_dies_between_fsync_and_answer(tmp_path, point):
    """The fifth append that a server leads ends its process, as by SIGKILL."""
    faults = f"{point}=crash:4:1"
    with Cluster(tmp_path, server_faults=faults) as cluster, supervised(cluster):
        session = open_space(cluster.client()).create_session("dies")
        version = 1
        for number in range(1, 20):
            version = session.append(version, append_of(number), tarn.CallOptions(timeout_ms=15000))
        manifest = session.resolve()
        assert version == 20
        assert manifest.blocks == [n.to_bytes(4, "little") for n in range(1, 20)]


def test_a_session_outlives_any_one_server_in_turn(cluster):
    space = open_space(cluster.client())
    session = space.create_session("turns")
    version = session.append(1, append_of(1))
    for round_number, name in enumerate(cluster.names):
        cluster.kill(name)
        version = session.append(version, append_of(round_number + 2))
        assert len(session.resolve().blocks) == round_number + 2
        cluster.start_server(name)
        cluster.wait_up(cluster.names)
        # Every slot is back to two synced members before the next one dies.
        wait_until(lambda: synced_members(cluster) == 2 * SLOTS, "learners to be synced", 60)
    assert version == 5


def synced_members(cluster):
    return sum(s["slots_synced"] for s in cluster.status().get("servers", []))


def test_a_stopped_server_does_not_make_sessions_queue_up(cluster):
    """Appends that had queued behind calls to it each waited two seconds more."""
    space = open_space(cluster.client())
    sessions = [space.create_session(f"many{number}") for number in range(100)]
    ended = []

    def run(session):
        begin = time.monotonic()
        options = tarn.CallOptions(timeout_ms=8000)
        try:
            outcome = session.append(1, append_of(1), options)
        except tarn.Error as error:
            outcome = error
        ended.append((time.monotonic() - begin, outcome))

    cluster.stop("server-2")
    threads = [threading.Thread(target=run, args=[session]) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome for _, outcome in ended if outcome != 2] == []
    slowest = max(seconds for seconds, _ in ended)
    assert slowest < 4, f"the failover takes less than a second, an append {slowest} s"


def test_a_server_whose_disk_fails_is_let_go(cluster):
    """It kept its slots, where no append was acknowledged any more."""
    cluster.kill("server-2")
    cluster.wait_up({"server-1", "server-3"})
    cluster.start_server("server-2", faults="session.log_fsync=fail:40:0")
    cluster.wait_up(cluster.names)
    space = open_space(cluster.client())
    slowest, number = 0, 0
    child = cluster.processes.children["server-2"]
    deadline = time.monotonic() + 30
    while child.poll() is None and time.monotonic() < deadline:
        session = space.create_session(f"disk{number}")
        begin = time.monotonic()
        assert session.append(1, append_of(1), tarn.CallOptions(timeout_ms=8000)) == 2
        slowest = max(slowest, time.monotonic() - begin)
        number += 1
    assert child.poll() is not None, "it should have ended itself"
    assert slowest < 2, f"an append took {slowest} s"
    assert [len(m.session_id) > 0 for m in space.list_sessions()] == [True] * number


def test_fork_truncate_pin_ttl_list_and_remove(cluster):
    space = open_space(cluster.client())
    session = space.create_session("root")
    version = session.append(1, append_of(1))
    version = session.append(version, append_of(2))
    child = session.fork("child")
    assert child.resolve().parent == "root"
    child_version = child.append(1, append_of(3))
    assert len(child.resolve().blocks) == 3
    assert len(session.resolve().blocks) == 2
    child.truncate(child_version, tarn.Truncate(block_count=1, token_count=16))
    assert len(child.resolve().blocks) == 1
    child.pin(True)
    assert child.resolve().pinned
    child.set_ttl(60_000)
    assert child.resolve().expires_unix_ms > 0
    assert [m.session_id for m in space.list_sessions()] == ["child", "root"]
    child.remove()
    with pytest.raises(tarn.Error) as error:
        child.resolve()
    assert error.value.outcome == tarn.Outcome.miss
