"""A session slot whose last log is gone: unavailable until an operator decides, then empty."""

import json
import shutil

import pytest
import tarn
from processes import wait_until
from tarn_cluster import Cluster, get, open_space, put

SLOTS = 1024


@pytest.fixture(scope="module")
def wiped(tmp_path_factory):
    """One server, a session on it, and then its disk is another."""
    with Cluster(tmp_path_factory.mktemp("slots"), servers=1) as cluster:
        space = open_space(cluster.client())
        for name in ("first", "second"):
            space.create_session(name).append(1, tarn.Append(token_count=1))
        cluster.kill("server-1")
        wait_until(lambda: states(cluster) == {"waiting"}, "the slots to wait", 10)
        refused = cluster.tarn("slot", "abandon", "17", "--yes")
        assert refused.returncode == 1
        assert "slot 17 is not lost: it waits for a server that is down" in refused.stderr
        shutil.rmtree(cluster.folder / "server-1")
        cluster.start_server("server-1")
        cluster.wait_up(["server-1"])
        yield cluster


def slots(cluster, *flags):
    return json.loads(cluster.tarn("slot", "ls", "--json", *flags).stdout)["slots"]


def states(cluster):
    return {slot["state"] for slot in slots(cluster, "--all")}


def outcome_of(call):
    with pytest.raises(tarn.Error) as error:
        call()
    return error.value


def resolve(session):
    """The SDK asks again until its deadline: it cannot know that an operator is far away."""
    return session.resolve(tarn.CallOptions(timeout_ms=1000))


def lost_slot(error):
    """The number in "session slot 17: its last copy is lost"."""
    return int(str(error).split("session slot ")[1].split(":")[0])


def test_an_operator_lets_lost_slots_begin_again(wiped):
    cluster = wiped
    space = open_space(cluster.client())
    first, second = (space.open_session(name) for name in ("first", "second"))
    for session in (first, second):
        error = outcome_of(lambda s=session: resolve(s))
        assert error.outcome == tarn.Outcome.unavailable
        assert "tarn slot show" in str(error)
    assert len(slots(cluster)) == SLOTS
    text = cluster.tarn("status", "--skip-connections").stdout
    assert f"{SLOTS} session slots are lost" in text
    number = lost_slot(outcome_of(lambda: resolve(first)))
    shown = cluster.tarn("slot", "show", number).stdout
    assert "state     lost" in shown
    assert f"tarn slot abandon {number} --yes" in shown
    # Not by a slip of the hand, and not by a tenant.
    hasty = cluster.tarn("slot", "abandon", number)
    assert hasty.returncode == 2 and "--yes" in hasty.stderr
    foreign = cluster.tarn("slot", "abandon", number, "--yes", folder=cluster.credentials)
    assert foreign.returncode == 4
    done = cluster.tarn("slot", "abandon", number, "--yes", "--json")
    assert json.loads(done.stdout)["abandoned"] == [number]
    assert len(slots(cluster)) == SLOTS - 1
    assert outcome_of(lambda: resolve(first)).outcome == tarn.Outcome.miss
    assert outcome_of(lambda: resolve(second)).outcome == tarn.Outcome.unavailable
    assert space.create_session("first").append(1, tarn.Append(token_count=5)) == 2
    audit = cluster.processes.log("router").read_text()
    assert f"audit: tarn://admin/admin gave up all sessions of the slots {number} in epoch" in audit


def test_all_lost_slots_at_once_and_then_none(wiped):
    cluster = wiped
    done = cluster.tarn("slot", "abandon", "--all-lost", "--yes")
    assert done.returncode == 0, done.stderr
    assert states(cluster) == {"ok"}
    assert "None of the 1024 session slots" in cluster.tarn("slot", "ls").stdout
    again = cluster.tarn("slot", "abandon", "--all-lost", "--yes")
    assert again.returncode == 1 and "nothing to give up" in again.stderr
    healthy = cluster.tarn("slot", "abandon", "3", "--yes", "--even-waiting")
    assert healthy.returncode == 1 and "slot 3 is not lost" in healthy.stderr
    space = open_space(cluster.client())
    assert space.list_sessions() is not None
    assert put(space, [1])[0].outcome == tarn.Outcome.ok
    assert get(space, [1])[0][0].outcome == tarn.Outcome.ok
    # What is written from now on outlives the next restart.
    session = space.create_session("third")
    assert session.append(1, tarn.Append(token_count=1)) == 2
    cluster.kill("server-1")
    cluster.start_server("server-1")
    cluster.wait_up(["server-1"])
    assert session.resolve().version == 2
