"""Who may do what, on real processes: foreign CAs, tokens that end, revoked tenants, neighbours."""

import json
import shutil
import threading
import time

import pytest
import tarn
from processes import wait_until
from tarn_cluster import Cluster, block_of, get, key_of, open_space, put

KEPT = (tarn.Outcome.ok, tarn.Outcome.exists)
TENANTS = 6


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("trust"), servers=2, authority="file") as running:
        running.make_token("brief", running.folder / "short", ttl="1s")
        yield running


def refusal(call):
    with pytest.raises(tarn.Error) as error:
        call()
    return error.value


def test_a_cluster_of_another_ca_is_not_believed(cluster):
    """Neither side talks to the other: no token is shown to a router that cannot prove itself."""
    foreign = cluster.folder / "foreign"
    cluster.run(cluster.program("tarn"), "certs", "--secrets-dir", foreign)
    folder = cluster.folder / "foreign-tenant"
    cluster.run(
        *(cluster.program("tarn"), "token", "create", "--tenant", "acme", "--secrets-dir", foreign),
        *("--out", folder, "--endpoint", cluster.endpoint),
    )
    begin = time.monotonic()
    error = refusal(lambda: open_space(cluster.client(folder, timeout_ms=3000)))
    assert error.outcome in (tarn.Outcome.unavailable, tarn.Outcome.unauthenticated)
    assert time.monotonic() - begin < 6
    done = cluster.tarn("status", "--timeout-ms", "3000", folder=foreign)
    assert done.returncode in (3, 4), done.stderr
    assert "tarn: " in done.stderr and done.stderr.count("\n") == 1
    # A token of the other CA over the right TLS is refused as what it is.
    shutil.copy(cluster.credentials / "ca.pem", folder / "ca.pem")
    error = refusal(lambda: open_space(cluster.client(folder)))
    assert error.outcome == tarn.Outcome.unauthenticated
    done = cluster.tarn("session", "ls", folder=folder)
    assert done.returncode == 4
    assert "token" in done.stderr


def test_a_revoked_tenant_loses_its_tickets_and_gets_new_ones_by_its_token(cluster):
    """A stolen ticket is worth nothing then; the tenant's own client, whose token is still good,
    renews within its call."""
    client = cluster.client()
    space = open_space(client, revision="revoked")
    assert put(space, [1], copies=2)[0].outcome in KEPT
    before = cluster.status()["epoch"]
    assert cluster.tarn("revoke", "acme", "--json").returncode == 0
    wait_until(lambda: cluster.status()["epoch"] > before, "the new epoch")
    for number in range(2, 12):
        assert put(space, [number])[0].outcome in KEPT
        assert get(space, [1])[0][0].outcome == tarn.Outcome.ok
    assert cluster.tarn("revoke", "Not A Tenant").returncode == 2
    assert cluster.tarn("revoke", "acme", folder=cluster.credentials).returncode == 4


def test_a_tenant_sees_no_operators_business(cluster):
    status = cluster.tarn("status", "--json", "--skip-connections", folder=cluster.credentials)
    assert status.returncode == 0, status.stderr
    assert '"dram_bytes": 0' in status.stdout
    for words in (
        ("drain", "server", "server-1"),
        ("revoke", "acme"),
        ("slot", "ls"),
        ("slot", "show", "1"),
    ):
        done = cluster.tarn(*words, folder=cluster.credentials)
        assert done.returncode == 4, words
        assert done.stderr.startswith("tarn: ") and "admin" in done.stderr, done.stderr


class Tenant(threading.Thread):
    """Puts the same keys as its neighbours, with bytes of its own, and looks at what it gets."""

    def __init__(self, cluster, number, start):
        super().__init__(daemon=True)
        self.number = number
        self.start_line = start
        folder = cluster.folder / f"tenant-{number}"
        cluster.make_token(f"tenant-{number}", folder)
        self.client = cluster.client(folder)
        self.problems = []

    def bytes_of(self, key):
        return block_of(self.number * 1000 + key, 32768)

    def run(self):
        try:
            self.work()
        except Exception as error:  # a thread's end is nobody's failure: the test looks here
            self.problems.append(repr(error))

    def work(self):
        space = open_space(self.client, revision="shared-name")
        self.start_line.wait()
        for key in range(30):
            items = [tarn.PutItem(hash=key_of(key), slices=[self.bytes_of(key)])]
            transfer = space.put_kv(items)
            transfer.wait()
            if transfer.outcomes()[0].outcome not in KEPT:
                self.problems.append(transfer.outcomes()[0].message)
            for old in {key, key // 2, 0}:
                outcome, memory = get(space, [old], 32768)[0]
                if outcome.outcome != tarn.Outcome.ok or memory != self.bytes_of(old):
                    self.problems.append(f"key {old}: {outcome.outcome} {outcome.message}")
        session = space.create_session("same-name")
        session.append(1, tarn.Append(token_count=self.number + 1))
        if session.resolve().token_count != self.number + 1:
            self.problems.append("another tenant's session")


def test_many_tenants_in_parallel_never_meet(cluster):
    start = threading.Barrier(TENANTS)
    tenants = [Tenant(cluster, number, start) for number in range(TENANTS)]
    for tenant in tenants:
        tenant.start()
    for tenant in tenants:
        tenant.join(60)
        assert not tenant.is_alive()
    assert [t.problems for t in tenants] == [[]] * TENANTS
    listing = ("session", "ls", "--json", "--timeout-ms", "50000")
    listed = cluster.tarn(*listing, folder=cluster.folder / "tenant-3")
    assert [s["id"] for s in json.loads(listed.stdout)["sessions"]] == ["same-name"]


def test_a_session_expires_by_its_ttl_unless_it_is_pinned(cluster):
    space = open_space(cluster.client())
    short = space.create_session("short", ttl_ms=1500)
    pinned = space.create_session("pinned", ttl_ms=1500)
    pinned.pin(True)
    lasting = space.create_session("lasting")
    lasting.set_ttl(1500)
    lasting.set_ttl(0)
    assert short.resolve().expires_unix_ms > 0
    assert lasting.resolve().expires_unix_ms == 0
    wait_until(lambda: is_gone(short), "the end of its TTL", 10)
    assert [m.session_id for m in space.list_sessions() if m.session_id == "short"] == []
    assert pinned.resolve().pinned
    assert lasting.resolve().version >= 3
    error = refusal(lambda: short.append(1, tarn.Append(token_count=1)))
    assert error.outcome == tarn.Outcome.miss
    # The name is free again, for a session that knows nothing of the old one.
    assert space.create_session("short").resolve().version == 1


def is_gone(session):
    try:
        session.resolve()
    except tarn.Error as error:
        return error.outcome == tarn.Outcome.miss
    return False


def test_a_token_ends_and_a_new_one_helps(cluster):
    """Made when the cluster began; clocks may differ by half a minute, so this test is the last."""
    folder = cluster.folder / "short"
    text = (folder / "token").read_text()
    wait_until(lambda: cluster.tarn("session", "ls", folder=folder).returncode == 4, "its end", 50)
    error = refusal(lambda: open_space(cluster.client(folder)))
    assert error.outcome == tarn.Outcome.unauthenticated
    assert "expired" in str(error) or "ended" in str(error), str(error)
    cluster.make_token("brief", folder)
    assert (folder / "token").read_text() != text
    space = open_space(cluster.client(folder))
    assert put(space, [1])[0].outcome in KEPT
    assert get(space, [1])[0][0].outcome == tarn.Outcome.ok
