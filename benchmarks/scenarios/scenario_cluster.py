"""A router and storage servers for one scenario, at one side of its link, ended with it."""

import json
import os
import pathlib
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TARN_BUILD_DIR", ROOT / "build" / "release"))
EXAMPLES = ROOT / "sdk" / "python" / "examples"
sys.path.insert(0, str(EXAMPLES))

from processes import Failed, Processes, free_port, wait_until  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
VENV_PYTHON = ROOT / "build" / "venv" / "bin" / "python"
PYTHON = VENV_PYTHON if VENV_PYTHON.exists() else pathlib.Path(sys.executable)  # with NumPy
TENANT = "scenario"


class Cluster:
    """Real processes in the servers' namespace. One-thread. Life: `with Cluster(...)`."""

    def __init__(self, folder, link, servers=1, dram="1GiB", lanes=1, flash_mib=0):
        self.folder, self.link, self.dram, self.lanes = pathlib.Path(folder), link, dram, lanes
        self.flash_mib = flash_mib  # of each server's drive; 0: none
        self.names = [f"server-{i + 1}" for i in range(servers)]
        self.endpoint = f"{link.servers_address}:{free_port()}"
        self.secrets, self.credentials = self.folder / "secrets", self.folder / "tenant"
        self.processes = Processes(self.folder / "logs")

    def __enter__(self):
        self.processes.__enter__()
        try:
            self._make_secrets()
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *error):
        for child in self.processes.children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)
        self.processes.__exit__(*error)

    def pid(self, name):
        """The process of one server."""
        return self.processes.children[name].pid

    def _program(self, name):
        return BUILD / "bin" / name

    def _run(self, *command):
        words = [str(word) for word in (*self.link.servers_prefix, *command)]
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout

    def _make_secrets(self):
        named = [word for name in self.names for word in ("--server", name)]
        self._run(self._program("tarn"), "certs", "--secrets-dir", self.secrets,
                  "--host", self.link.servers_address, "--router", "router", *named)  # fmt: skip
        self._run(self._program("tarn"), "token", "create", "--tenant", TENANT, "--ttl", "2h",
                  "--secrets-dir", self.secrets, "--out", self.credentials,
                  "--endpoint", self.endpoint)  # fmt: skip

    def _start(self):
        self.processes.start("router", [
            *self.link.servers_prefix, self._program("tarn-router"), "--name", "router",
            "--listen", self.endpoint, "--authority", f"file:{self.folder / 'authority'}",
            "--state-dir", self.folder / "router", "--secrets-dir", self.secrets,
            "--dead-after", "1min", "--log-level", "warning",
        ])  # fmt: skip
        for name in self.names:
            self.processes.start(name, [
                *self.link.servers_prefix, self._program("tarn-server"), "--name", name,
                "--domain", f"rack-{name}", "--listen", f"{self.link.servers_address}:0",
                "--routers", self.endpoint, "--data-dir", self.folder / name,
                "--secrets-dir", self.secrets, "--dram-bytes", self.dram,
                "--lanes", self.lanes, "--fabric-device", self.link.device,
                "--log-level", "warning", *self._flash_of(name),
            ])  # fmt: skip
        wait_until(self._all_up, "start of the servers", 60)

    def _flash_of(self, name):
        if not self.flash_mib:
            return []
        return ["--flash-paths", self.folder / f"{name}.flash", "--flash-bytes",
                f"{self.flash_mib}MiB"]  # fmt: skip

    def _all_up(self):
        for name in self.names:
            self.processes.is_live(name)
        try:
            status = json.loads(self._run(
                self._program("tarn"), "status", "--json",
                "--endpoint", self.endpoint, "--credentials", self.secrets,
            ))  # fmt: skip
        except (subprocess.CalledProcessError, json.JSONDecodeError):
            return False
        return sum(s.get("state") == "up" for s in status.get("servers", [])) == len(self.names)


class Client:
    """A process of clients.py in the clients' namespace: told what to do, answers in JSON.

    One-thread. Life: `with Client(...)`: `ask` one thing after another, or `begin` and `answer`.
    """

    def __init__(self, cluster, **connect):
        environment = os.environ | {"PYTHONPATH": f"{BUILD / 'python'}:{EXAMPLES}:{HERE}"}
        self.child = subprocess.Popen(
            [*cluster.link.clients_prefix, PYTHON, HERE / "clients.py"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        connect |= {"endpoint": cluster.endpoint, "credentials": str(cluster.credentials)}
        self.ask("connect", **connect)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
        self.child.stdin.close()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def begin(self, what, **arguments):
        """Has it begin something."""
        self.child.stdin.write(json.dumps({"do": what} | arguments) + "\n")
        self.child.stdin.flush()

    def answer(self):
        """What came of it."""
        line = self.child.stdout.readline()
        if not line:
            raise Failed(f"a client ended with {self.child.wait()}")
        result = json.loads(line)
        if "error" in result:
            raise Failed(f"a client: {result['error']}")
        return result

    def ask(self, what, **arguments):
        """begin and answer."""
        self.begin(what, **arguments)
        return self.answer()
