"""A cluster of real processes for the end-to-end tests: broken on purpose, ended by pid."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TARN_BUILD_DIR", ROOT / "build" / "release"))
sys.path.insert(0, str(ROOT / "sdk" / "python" / "examples"))
sys.path.insert(0, str(BUILD / "python"))

import tarn  # noqa: E402
from processes import Processes, free_port, port_answers, wait_until  # noqa: E402

TENANT = "acme"
DEAD_AFTER_S = 0.6  # the routers' patience with a silent server


class Cluster:
    """etcd (or a folder), routers and storage servers, each server in a failure domain of its own.

    One-thread. Life: `with Cluster(folder) as cluster`. Everything it writes lies in `folder`.
    """

    def __init__(self, folder, servers=3, authority="etcd", dram="512MiB", **more):
        self.folder = pathlib.Path(folder)
        self.names = [f"server-{i + 1}" for i in range(servers)]
        self.authority = authority
        self.dram = dram
        self.server_faults = more.pop("server_faults", "")
        more_routers = range(2, more.pop("routers", 1) + 1)
        self.router_names = ["router", *(f"router-{i}" for i in more_routers)]
        assert not more, more
        self.secrets = self.folder / "secrets"
        self.credentials = self.folder / "tenant"
        self.router_ports = {name: free_port() for name in self.router_names}
        self.server_ports = {name: free_port() for name in self.names}
        self.endpoint = ",".join(f"127.0.0.1:{port}" for port in self.router_ports.values())
        self.etcd_ports = (free_port(), free_port())
        self.processes = Processes(self.folder / "logs")

    def __enter__(self):
        self.processes.__enter__()
        try:
            self.make_secrets()
            if self.authority == "etcd":
                self.start_etcd()
            for name in self.router_names:
                self.start_router(name)
            for name in self.names:
                self.start_server(name)
            self.wait_up(self.names)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *error):
        for name in self.processes.children:
            with contextlib.suppress(ProcessLookupError):
                self.signal(name, signal.SIGCONT)
        self.processes.__exit__(*error)

    def program(self, name):
        return BUILD / "bin" / name

    def make_secrets(self):
        certs = [self.program("tarn"), "certs", "--secrets-dir", self.secrets]
        for name in self.names:
            certs += ["--server", name]
        for name in self.router_names:
            certs += ["--router", name]
        self.run(*certs)
        self.make_token(TENANT, self.credentials)

    def make_token(self, tenant, folder, ttl="1h"):
        self.run(
            self.program("tarn"), "token", "create", "--tenant", tenant, "--ttl", ttl,
            "--secrets-dir", self.secrets, "--out", folder, "--endpoint", self.endpoint,
        )  # fmt: skip

    def run(self, *command):
        words = [str(word) for word in command]
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout

    def start_etcd(self):
        client, peer = (f"http://127.0.0.1:{port}" for port in self.etcd_ports)
        command = [
            shutil.which("etcd") or "/usr/bin/etcd",
            *("--name", "e2e", "--data-dir", self.folder / "etcd", "--log-level", "error"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"e2e={peer}"),
        ]
        self.processes.start("etcd", command)
        self.processes.wait_ready("etcd", lambda: port_answers(self.etcd_ports[0]))

    def authority_url(self):
        if self.authority == "etcd":
            return f"etcd:http://127.0.0.1:{self.etcd_ports[0]}"
        return f"file:{self.folder / 'authority'}"

    def start_router(self, name="router"):
        port = self.router_ports[name]
        command = [
            *(self.program("tarn-router"), "--name", name, "--listen", f"127.0.0.1:{port}"),
            *("--authority", self.authority_url()),
            *("--state-dir", self.folder / name, "--secrets-dir", self.secrets),
        ]
        self.processes.start(name, command)
        self.processes.wait_ready(name, lambda: port_answers(port))

    def add_server(self, name):
        """One more storage server than the cluster began with."""
        self.run(self.program("tarn"), "certs", "--secrets-dir", self.secrets, "--server", name)
        self.names.append(name)
        self.server_ports[name] = free_port()
        self.start_server(name)

    def start_server(self, name, faults=None):
        command = [
            self.program("tarn-server"),
            *("--name", name, "--domain", f"rack-{name}"),
            *("--listen", f"127.0.0.1:{self.server_ports[name]}", "--routers", self.endpoint),
            *("--data-dir", self.folder / name, "--secrets-dir", self.secrets),
            *("--dram-bytes", self.dram),
        ]
        faults = self.server_faults if faults is None else faults
        self.processes.start(name, command, TARN_FAULTS=faults)

    def kill(self, name):
        self.processes.kill(name)

    def signal(self, name, number):
        child = self.processes.children[name]
        if child.poll() is None:
            os.kill(child.pid, number)

    def stop(self, name):
        self.signal(name, signal.SIGSTOP)

    def resume(self, name):
        self.signal(name, signal.SIGCONT)

    def tarn(self, *words, folder=None):
        """Runs `tarn` as an operator, or with the credentials of `folder`."""
        where = ("--endpoint", self.endpoint, "--credentials", folder or self.secrets)
        return self.run_any("tarn", *words, *where)

    def run_any(self, program, *words):
        """Runs one of our programs, whatever it leaves with."""
        command = [self.program(program), *words]
        return subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def status(self):
        done = self.tarn("status", "--json", "--timeout-ms", "2000")
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def server_status(self, name):
        return next((s for s in self.status().get("servers", []) if s["name"] == name), {})

    def synced_members(self):
        """Of all session slots together: two for each where there are two servers."""
        return sum(s["slots_synced"] for s in self.status().get("servers", []))

    def up(self):
        return {s["name"] for s in self.status().get("servers", []) if s.get("state") == "up"}

    def wait_back(self, name):
        """Waits until `name`, started again, serves: it beats and the index has its blocks.

        A server that was away for less than DEAD_AFTER_S is back under the same epoch.
        """
        self.processes.wait_ready(name, lambda: port_answers(self.server_ports[name]))
        begin = time.monotonic()

        def serves():
            server = self.server_status(name)
            has_beaten = server.get("silent_ms", 1e9) < (time.monotonic() - begin) * 1000
            return has_beaten and server["index_synced"] and self.up() == set(self.names)

        wait_until(serves, f"{name} back", 30)

    def wait_up(self, names):
        wait_until(
            lambda: self.all_live(names) and self.up() == set(names), f"servers {sorted(names)} up"
        )

    def all_live(self, names):
        """True; raises at once where one has ended, as one that could not start has."""
        return all(self.processes.is_live(name) for name in names)

    def client(self, folder=None, **options):
        options.setdefault("endpoint", self.endpoint)
        return tarn.Client.connect(
            tarn.ClientOptions(credentials=str(folder or self.credentials), **options)
        )


@contextlib.contextmanager
def supervised(cluster):
    """Starts dead servers again at once, as systemd would; yields the list of (name, when)."""
    ended, started = threading.Event(), []

    def run():
        while not ended.wait(0.05):
            for name in cluster.names:
                if cluster.processes.children[name].poll() is not None:
                    started.append((name, time.monotonic()))
                    cluster.start_server(name, faults="")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield started
    finally:
        ended.set()
        thread.join()


def open_space(client, flat=True, **fields):
    spec = {"model": "e2e", "dtype": "u8", "layout": "bytes", "block_tokens": 16}
    return client.open_space(tarn.SpaceSpec(**{**spec, "flat": flat, **fields}))


def block_of(number, size=65536):
    """Bytes that tell which block they are, at every place."""
    word = number.to_bytes(8, "little")
    return word * (size // 8)


def key_of(number):
    return b"key" + number.to_bytes(8, "little")


def put(space, numbers, size=65536, **options):
    """Puts the blocks; the outcomes in order."""
    items = [tarn.PutItem(hash=key_of(n), slices=[block_of(n, size)]) for n in numbers]
    transfer = space.put_kv(items, tarn.CallOptions(**options))
    transfer.wait()
    return transfer.outcomes()


def get(space, numbers, size=65536, **options):
    """Fetches the blocks; pairs of (outcome, bytes)."""
    memory = [bytearray(size) for _ in numbers]
    items = [
        tarn.GetItem(hash=key_of(n), slices=[m]) for n, m in zip(numbers, memory, strict=True)
    ]
    transfer = space.get_kv(items, tarn.CallOptions(**options))
    transfer.wait()
    return list(zip(transfer.outcomes(), memory, strict=True))
