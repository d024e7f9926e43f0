"""LMCache: its cache server, and its RESP client to a Redis."""

from processes import Failed, free_port

from .base import Peer, version_of
from .resp import Redis

WHEEL = "venv/lib/python3*/site-packages/lmcache"


def version(place):
    """Raises Failed where it is not installed."""
    try:
        place.scratch_file(WHEEL)
    except Failed:
        raise Failed("not installed: 6 GB, see --install --with-lmcache") from None
    command = "import importlib.metadata as m; print(m.version('lmcache'))"
    return version_of([place.scratch_python, "-c", command])


class LmcacheServer(Peer):
    name = "LMCache server"
    needs = ("numpy", "lmcache")
    note = "a window is so many calls, one after the other: the connection takes one at a time"

    def launch(self):
        self.version = version(self.place)
        port = free_port()
        python = self.place.scratch_python
        self.start_server([python, "-m", "lmcache.v1.server", "127.0.0.1", port])
        self.wait_port(port, 120)
        self.python_driver("lmcache_client.py", "--mode", "server", "--at", f"127.0.0.1:{port}")


class LmcacheResp(Redis):
    name = "LMCache RESP"
    needs = ("redis", "numpy", "lmcache")
    note = "its native client, 8 connections; a window is one batch call"

    def launch(self):
        found = version(self.place)
        at = self.start_store()
        self.version = f"{found} to Redis {self.version}"
        self.python_driver("lmcache_client.py", "--mode", "resp", "--at", at)
