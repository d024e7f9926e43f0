"""A Tarn cluster of real processes on this machine, with inference workers, to be killed at will.

Every command line stands in one function of its own.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import time
import types

import llama
from processes import Failed, Processes, free_port, port_answers, wait_until
from tarn_store import TarnStore
from worker_client import WorkerGone, ask

EXAMPLES = pathlib.Path(__file__).resolve().parent
SERVERS = ("server-1", "server-2", "server-3")
ROUTER = "router"
WORKERS = ("worker-a", "worker-b")
TENANT = "demo"
COPIES = 2


def etcd_command(folder, client_port, peer_port):
    """A real etcd of one member, on loopback, with its data in `folder`."""
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    return [
        shutil.which("etcd") or "etcd",
        *("--name", "demo", "--data-dir", folder / "etcd", "--log-level", "warn"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"demo={peer}"),
    ]


def router_command(cluster):
    """The router; its state folder may vanish, its secrets may not."""
    return [
        cluster.program("tarn-router"),
        *("--name", ROUTER, "--listen", cluster.endpoint),
        *("--authority", f"etcd:http://{cluster.etcd_endpoint}"),
        *("--state-dir", cluster.router_state, "--secrets-dir", cluster.secrets),
    ]


def server_command(cluster, name):
    """One storage server, alone in its failure domain."""
    return [
        cluster.program("tarn-server"),
        *("--name", name, "--domain", f"rack-{name[-1]}", "--listen", "127.0.0.1:0"),
        *("--routers", cluster.endpoint, "--data-dir", cluster.folder / name),
        *("--secrets-dir", cluster.secrets, "--dram-bytes", "1GiB"),
    ]


def worker_command(cluster, name):
    """One inference worker on its unix socket."""
    return [
        *(sys.executable, EXAMPLES / "inference_server.py"),
        *("--name", name, "--socket", cluster.folder / f"{name}.sock"),
        *("--endpoint", cluster.endpoint, "--secrets-dir", cluster.tenant_secrets),
        *("--copies", COPIES, "--seed", cluster.seed, "--keep-fetched", cluster.fetched),
    ]


def credentials_commands(cluster):
    """Makes the cluster's keys and certificates, and the tenant's token."""
    tarn = cluster.program("tarn")
    return [
        [
            *(tarn, "certs", "--secrets-dir", cluster.secrets, "--router", ROUTER),
            *(word for name in SERVERS for word in ("--server", name)),
        ],
        [
            *(tarn, "token", "create", "--tenant", TENANT, "--ttl", "1h"),
            *("--secrets-dir", cluster.secrets, "--out", cluster.tenant_secrets),
        ],
    ]


def status_command(cluster):
    """What the cluster says of itself, as JSON."""
    return [
        *(cluster.program("tarn"), "status", "--json"),
        *("--endpoint", cluster.endpoint, "--credentials", cluster.secrets),
    ]


def alive_servers(status):
    """Names of the storage servers that `status` shows as up."""
    return {s["name"] for s in status.get("servers", []) if s.get("state") == "up"}


def payload_bytes(status):
    """Payload bytes on all live storage servers of `status`."""
    alive = alive_servers(status)
    return sum(int(s["stored_payload_bytes"]) for s in status["servers"] if s["name"] in alive)


def settled(read, pause_s=0.5, most_s=10):
    """What `read` says when it says the same twice: a router knows only the servers' last beats."""
    until = time.monotonic() + most_s
    said = read()
    while time.monotonic() < until:
        time.sleep(pause_s)
        before, said = said, read()
        if said == before:
            break
    return said


class Cluster:
    """etcd, a router, three storage servers in three failure domains and two workers.

    One-thread. Life: `with Cluster(...) as cluster: cluster.start()`; the context's end ends all
    processes. Everything it writes lies in `folder`.
    """

    def __init__(self, build, folder, seed):
        self.build = pathlib.Path(build)
        self.folder = pathlib.Path(folder)
        self.seed = seed
        self.copies = COPIES
        self.config = llama.ModelConfig()
        self.secrets = self.folder / "secrets"
        self.tenant_secrets = self.folder / "tenant"
        self.router_state = self.folder / "router"
        self.fetched = self.folder / "fetched"
        self.endpoint = f"127.0.0.1:{free_port()}"
        self.processes = Processes(self.folder / "logs")
        self.store = None

    def __enter__(self):
        self.processes.__enter__()
        return self

    def __exit__(self, *error):
        self.processes.__exit__(*error)

    def start(self):
        """Starts everything and waits until it serves. Raises Failed."""
        self.fetched.mkdir()
        self._start_etcd()
        for command in credentials_commands(self):
            self._run(command)
        self._start_router()
        for name in SERVERS:
            self.processes.start(name, server_command(self, name))
        wait_until(lambda: alive_servers(self.status()) == set(SERVERS), "storage servers")
        for name in WORKERS:
            self.processes.start(name, worker_command(self, name))
        for name in WORKERS:
            self.processes.wait_ready(name, lambda path=self.socket(name): answers(path))
        options = types.SimpleNamespace(
            endpoint=self.endpoint, secrets_dir=str(self.tenant_secrets), copies=COPIES
        )
        self.store = TarnStore(options, self.config)

    def socket(self, worker):
        """The unix socket of a worker."""
        return self.folder / f"{worker}.sock"

    def route(self, session_id, exclude=()):
        """Asks the router which worker should serve: (its name, its endpoint)."""
        return self.store.route(session_id, exclude)

    def kill(self, name):
        """SIGKILL for one process, a worker or a storage server."""
        self.processes.kill(name)

    def replace_router(self):
        """Kills the router, removes its state folder and starts another in its place."""
        self.processes.kill("router")
        shutil.rmtree(self.router_state)
        self._start_router()

    def stored_bytes(self):
        """Payload bytes on all live storage servers, copies counted."""
        return settled(lambda: payload_bytes(self.status()))

    def status(self):
        """`tarn status --json`, or {} while nobody answers."""
        command = [str(word) for word in status_command(self)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def program(self, name):
        """Path of a built program. Raises Failed."""
        for place in ("bin", "", name.removeprefix("tarn-"), "cli"):
            path = self.build / place / name
            if path.is_file():
                return path
        raise Failed(f"{name} is not in {self.build}: build it first (scripts/build release)")

    def _start_etcd(self):
        client_port, peer_port = free_port(), free_port()
        self.etcd_endpoint = f"127.0.0.1:{client_port}"
        self.processes.start("etcd", etcd_command(self.folder, client_port, peer_port))
        self.processes.wait_ready("etcd", lambda: port_answers(client_port))

    def _start_router(self):
        port = int(self.endpoint.rpartition(":")[2])
        self.processes.start("router", router_command(self))
        self.processes.wait_ready("router", lambda: port_answers(port))

    def _run(self, command):
        command = [str(word) for word in command]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


def answers(path):
    """True once a worker answers on its socket."""
    try:
        return list(ask(path, {"ping": True}, timeout_s=5)) == [{"pong": True}]
    except WorkerGone:
        return False
