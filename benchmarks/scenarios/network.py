"""Two network namespaces and a link between them that is as slow as a scenario says.

Needs root, `ip` and `tc` (tbf). Names carry this process's id: what a runner that was killed has
left behind is removed by the next one.
"""

import os
import pathlib
import shutil
import subprocess
import time

PREFIX = "tarn-scn"
SERVERS_ADDRESS = "10.211.7.1"
CLIENTS_ADDRESS = "10.211.7.2"


def run(*command):
    """Runs a command; its error text is that of the exception."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def can_make_links():
    """Why there can be no namespaces here, or None."""
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if os.geteuid() != 0:
        return "network namespaces need root"
    return None


class Loopback:
    """No namespaces: everything on loopback, as fast as it is."""

    servers_address = clients_address = "127.0.0.1"
    device = "lo"
    servers_prefix = clients_prefix = ()
    rate_mbit = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Link:
    """A veth pair between the servers' namespace and the clients'. One-thread.

    What servers send passes a token bucket of `rate_mbit` with a queue of `queue_kib`, as the
    port of a switch in front of one client.
    """

    servers_address, clients_address = SERVERS_ADDRESS, CLIENTS_ADDRESS
    device = "servers0"

    def __init__(self, rate_mbit, queue_kib=256):
        self.rate_mbit = rate_mbit
        self.queue_kib = queue_kib
        self.servers = f"{PREFIX}-{os.getpid()}-s"
        self.clients = f"{PREFIX}-{os.getpid()}-c"
        self.servers_prefix = ("ip", "netns", "exec", self.servers)
        self.clients_prefix = ("ip", "netns", "exec", self.clients)

    def __enter__(self):
        remove_leftovers()
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self):
        for name in (self.servers, self.clients):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", self.servers, "link", "add", "servers0", "type", "veth",
            "peer", "name", "clients0", "netns", self.clients)  # fmt: skip
        for name, device, address in (
            (self.servers, "servers0", self.servers_address),
            (self.clients, "clients0", self.clients_address),
        ):
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", device)
            run("ip", "-n", name, "link", "set", device, "up")
        run("tc", "-n", self.servers, "qdisc", "add", "dev", "servers0", "root", "tbf",
            "rate", f"{self.rate_mbit}mbit", "burst", f"{max(32, self.rate_mbit // 8)}k",
            "limit", f"{self.queue_kib}k")  # fmt: skip
        # The kernel may say so a second late, and until then UCX knows no such device.
        end = time.monotonic() + 5
        while not self._is_running():
            if time.monotonic() > end:
                raise RuntimeError("the link does not come up")
            time.sleep(0.02)

    def _is_running(self):
        sides = (self.servers, "servers0"), (self.clients, "clients0")
        states = (run("ip", "-n", name, "-br", "link", "show", device) for name, device in sides)
        return all(state.split()[1] == "UP" for state in states)

    def __exit__(self, *_):
        for name in (self.servers, self.clients):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def remove_leftovers():
    """Deletes namespaces of runners that live no more."""
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0] if line.split() else ""
        owner = name.removeprefix(PREFIX + "-").partition("-")[0]
        if not name.startswith(PREFIX + "-") or pathlib.Path(f"/proc/{owner}").exists():
            continue
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
