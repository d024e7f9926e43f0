"""Tarn: a router and a storage server of the build, its client by the public C++ header."""

import pathlib

from processes import Failed, free_port, wait_until

from .base import SAME_HOST, SERVER_STORE_MIB, Peer, version_of


class Tarn(Peer):
    """A cluster of its own for each transport, so that no row shares memory with another."""

    kind = "tarn"
    transport = "tcp"
    expected = "tcp"  # in what the SDK says that it has taken
    server_words = ()

    def launch(self):
        folder = self.place.memory_folder / self.name.replace(" ", "-")
        folder.mkdir()
        tarn = self.place.program("tarn")
        self.version = version_of([tarn, "--version"])
        endpoint = f"127.0.0.1:{free_port()}"
        secrets, client = folder / "secrets", folder / "client"
        self.tool(
            *(tarn, "certs", "--secrets-dir", secrets, "--host", "127.0.0.1"),
            *("--router", "router-1", "--server", "server-1"),
        )
        self.tool(
            *(tarn, "token", "create", "--tenant", "peers", "--secrets-dir", secrets),
            *("--ttl", "24h", "--out", client, "--endpoint", endpoint),
        )
        self.start_router(folder, secrets, endpoint)
        self.start_server(
            [
                *(self.place.program("tarn-server"), "--name", "server-1"),
                *("--listen", "127.0.0.1:0", "--routers", endpoint),
                *("--data-dir", folder / "server-1", "--secrets-dir", secrets),
                *("--dram-bytes", SERVER_STORE_MIB << 20),
                # Like the pools of the others, which have their memory when they come up.
                *("--dram-ready-bytes", SERVER_STORE_MIB << 20, *self.server_words),
            ]
        )
        wait_until(self.has_memory, f"{self.name}: its memory", 60)
        took = self.start_driver(
            [
                *(self.place.program("tarn-peer-own"), "--endpoint", endpoint),
                *("--credentials", client, "--transport", self.transport),
            ]
        )
        if self.expected not in took.lower():
            raise Failed(f"asked for {self.transport}, the client took {took!r}")
        self.note = took

    def has_memory(self):
        """True when the storage server, the last one started, has its memory."""
        status = pathlib.Path(f"/proc/{self.servers[-1].pid}/status").read_text(encoding="ascii")
        shared_kib = int(status.split("RssShmem:")[1].split()[0])
        return shared_kib >= SERVER_STORE_MIB * 1024 * 0.95

    def start_router(self, folder, secrets, endpoint):
        self.start_server(
            [
                *(self.place.program("tarn-router"), "--name", "router-1", "--listen", endpoint),
                *("--secrets-dir", secrets, "--state-dir", folder / "router"),
                *("--authority", f"file:{folder / 'config'}"),
            ],
            counts=False,
        )
        self.wait_port(int(endpoint.rpartition(":")[2]))

    def tool(self, *words):
        """Runs a command of ours to its end."""
        server = self.start_server(words, counts=False)
        if server.wait(30) != 0:
            log = self.place.log(self.name, len(self.servers) - 1)
            raise Failed(f"{words[1]} ended with {server.returncode}: {log.read_text()[-300:]}")
        self.servers.remove(server)


class TarnLocal(Tarn):
    name, group = "tarn local", SAME_HOST
    transport = expected = "local"


class TarnShm(Tarn):
    name, group = "tarn shm", SAME_HOST
    transport = "shm"
    expected = "shared memory"
    server_words = ("--ucx-shm", "trusted")


class TarnTcp(Tarn):
    name = "tarn tcp"


class TarnGrpc(Tarn):
    name = "tarn grpc"
    transport = expected = "grpc"
