"""Mooncake's store: a master, a storage process, and a client in a process of its own."""

from processes import Failed, free_port, wait_until

from .base import SAME_HOST, TCP, Peer, tail, version_of

# More than the others have: the store refuses what is fragmented before it is full.
SEGMENT_MIB = 2048
PACKAGE = "mooncake-transfer-engine-non-cuda"
WHEEL = "venv/lib/python3*/site-packages/mooncake"


class Mooncake(Peer):
    """The master, and what both ways of reaching the store have in common."""

    note = "a window is one batch call; no checksums"
    needs = ("mooncake", "numpy", "verbs")
    # The connection pool is off unless told otherwise, and costs a connect for each transfer.
    settings = {"MC_TCP_ENABLE_CONNECTION_POOL": "1", "MC_LOG_LEVEL": "ERROR"}

    def start_master(self):
        package = self.place.scratch_file(WHEEL)
        python = self.place.scratch_python
        self.version = version_of(
            [python, "-c", f"import importlib.metadata as m; print(m.version('{PACKAGE}'))"]
        )
        program = package / "mooncake_master"
        program.chmod(0o755)
        port, metrics = free_port(), free_port()
        self.start_server(
            [
                *(program, "--rpc_address=127.0.0.1", f"--rpc_port={port}"),
                *(f"--metrics_port={metrics}", "--metrics_host=127.0.0.1", "--rpc_thread_num=2"),
                *("--eviction_high_watermark_ratio=0.9", "--default_kv_lease_ttl=100"),
            ],
            **self.place.debian_environment,
        )
        self.wait_port(port)
        return package, f"127.0.0.1:{port}"

    def environment(self):
        return self.settings | self.place.debian_environment


class MooncakeTcp(Mooncake):
    name, group = "Mooncake tcp", TCP

    def launch(self):
        _, master = self.start_master()
        host = f"127.0.0.1:{free_port()}"
        self.start_server(
            [
                *(self.place.scratch_python, "-B", self.place.client("mooncake_segment.py")),
                *("--host", host, "--at", master, "--mib", SEGMENT_MIB),
            ],
            **self.environment(),
        )
        self.wait_words("segment ready")
        self.python_driver(
            "mooncake_client.py",
            *("--mode", "tcp", "--at", master, "--host", f"127.0.0.1:{free_port()}"),
            **self.environment(),
        )

    def wait_words(self, words):
        """Until the storage process has said so. Raises Failed."""
        server, log = self.servers[-1], self.place.log(self.name, len(self.servers) - 1)

        def said():
            if server.poll() is not None:
                raise Failed(f"ended with {server.returncode}: {tail(log)}")
            return words in log.read_text(errors="replace")

        wait_until(said, self.name, 60)


class MooncakeDummy(Mooncake):
    name, group = "Mooncake dummy", SAME_HOST
    note = "shared-memory pool; a window is one batch call; no checksums"

    def launch(self):
        package, master = self.start_master()
        program = package / "mooncake_client"
        program.chmod(0o755)
        port = free_port()
        self.start_server(
            [
                *(program, f"--global_segment_size={SEGMENT_MIB // 1024}GB", "--protocol=tcp"),
                *(f"--host=127.0.0.1:{free_port()}", f"--port={port}"),
                *("--metadata_server=P2PHANDSHAKE", f"--master_server_address={master}"),
            ],
            **self.environment(),
        )
        self.wait_port(port, 60)
        self.python_driver(
            "mooncake_client.py",
            *("--mode", "dummy", "--at", f"127.0.0.1:{port}"),
            **self.environment(),
        )
