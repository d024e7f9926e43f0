"""InfiniStore: its server opens an RDMA device before anything else, also for TCP."""

import subprocess

from processes import Failed, free_port

from .base import Peer, tail

START_S = 20


class InfiniStore(Peer):
    """Its row is the server's own error: no machine of ours has had an RDMA device to race it."""

    name = "InfiniStore"
    needs = ("infinistore", "infinistore's server", "numpy", "verbs")

    def launch(self):
        self.place.scratch_file("venv/lib/python3*/site-packages/infinistore")
        server = self.start_server(
            [
                *(self.place.scratch_python, "-m", "infinistore.server"),
                *("--host", "127.0.0.1", "--service-port", free_port()),
                *("--manage-port", free_port(), "--link-type", "Ethernet", "--prealloc-size", "1"),
            ],
            **self.place.debian_environment,
        )
        try:
            server.wait(START_S)
        except subprocess.TimeoutExpired:
            raise Failed("its server runs here, but this race has no client for it yet") from None
        log = self.place.log(self.name, 0)
        lines = log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if "[error]" in line]
        raise Failed(errors[0].rpartition("] ")[2] if errors else tail(log))
