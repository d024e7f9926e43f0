"""NIXL: two agents, one-sided transfers over its UCX backend, in memory that both registered."""

from .base import SAME_HOST, TCP, Peer, version_of


class Nixl(Peer):
    """No keys, no store: the transport alone. Its idle threads spin, so it is stopped meanwhile."""

    has_exists = False
    needs = ("nixl", "numpy")
    spins = True
    tls = ""

    def launch(self):
        folder = self.place.memory_folder / self.name.replace(" ", "-")
        folder.mkdir()
        environment = {"UCX_TLS": self.tls} if self.tls else {}
        python = self.place.scratch_python
        self.version = version_of(
            [python, "-c", "import importlib.metadata as m; print(m.version('nixl-cu13'))"]
        )
        self.start_server(
            [python, "-B", self.place.client("nixl_target.py"), "--folder", folder], **environment
        )
        self.python_driver("nixl_client.py", "--folder", folder, **environment)


class NixlShm(Nixl):
    name, group = "NIXL default", SAME_HOST
    note = "no keys, no checksums; a window is one transfer of so many descriptors"


class NixlTcp(Nixl):
    name, group = "NIXL tcp", TCP
    tls = "tcp"
    note = NixlShm.note
