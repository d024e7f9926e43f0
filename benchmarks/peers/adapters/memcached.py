"""memcached of Debian, by a client that receives values into their place."""

import re

from processes import free_port

from .base import SERVER_STORE_MIB, Peer, version_of


class Memcached(Peer):
    name = "memcached raw"
    needs = ("memcached",)

    def fill(self, block_bytes):
        """Starts anew: pages of a size that was are not given to another size in time."""
        self.stop()
        self.launch()
        super().fill(block_bytes)

    def launch(self):
        program = self.place.debian_program("memcached")
        port = free_port()
        self.start_server(
            [
                *(program, "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "2", "-u", "root"),
                *("-m", SERVER_STORE_MIB, "-I", "32m"),
            ],
            **self.place.debian_environment,
        )
        self.wait_port(port)
        self.version = memcached_version(program, self.place)
        self.raw_driver("memcached", f"127.0.0.1:{port}")


def memcached_version(program, place):
    words = [f"{name}={value}" for name, value in place.debian_environment.items()]
    return version_of(["env", *words, program, "-V"], re.compile(r"memcached (\S+)"))
