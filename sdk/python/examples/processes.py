"""Processes of a demonstration: each started with a log, killed by pid, never left over."""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time

POLL_S = 0.02


class Failed(Exception):
    """Something did not come up, or not in time; the text says what and where its log is."""


def free_port():
    """A TCP port on loopback that is free now, for programs that cannot bind port 0.

    It lies outside the range of outgoing connections, so none takes it before the program does.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first, last = (int(word) for word in file.read().split())
    ports = [port for port in range(10_000, 65_536) if not first <= port <= last]
    for port in random.sample(ports, min(100, len(ports))):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise Failed("no free TCP port outside of net.ipv4.ip_local_port_range")


def wait_until(condition, what, timeout_s=30):
    """Polls `condition` until it is true and returns its value. Raises Failed after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {timeout_s} s")
        time.sleep(POLL_S)


class Processes:
    """Named child processes. One-thread. Ends them all, and only them, when its context ends.

    A child also ends when this process dies in any way (its parent-death signal).
    """

    def __init__(self, log_folder):
        self.log_folder = pathlib.Path(log_folder)
        self.log_folder.mkdir(parents=True, exist_ok=True)
        self.children = {}
        self.setpriv = shutil.which("setpriv")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in reversed(list(self.children)):
            with contextlib.suppress(ProcessLookupError):
                self.children[name].terminate()
        for child in self.children.values():
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def start(self, name, command, **environment):
        """Starts `command` under `name`, which may be that of one that has ended."""
        if name in self.children and self.children[name].poll() is None:
            raise Failed(f"{name} already runs")
        if self.setpriv:
            command = [self.setpriv, "--pdeathsig", "KILL", "--", *command]
        with open(self.log(name), "ab") as log:
            self.children[name] = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
            )

    def kill(self, name):
        """SIGKILL, as a machine that loses its power; returns when the process is gone."""
        self.children[name].send_signal(signal.SIGKILL)
        self.children[name].wait()

    def log(self, name):
        """Path of the log of `name`."""
        return self.log_folder / f"{name}.log"

    def is_live(self, name):
        """True while `name` runs. Raises Failed with the end of its log when it has ended."""
        status = self.children[name].poll()
        if status is not None:
            raise Failed(f"{name} ended with {status}\n{self.log_tail(name)}")
        return True

    def wait_ready(self, name, condition, timeout_s=30):
        """Waits until `condition` is true. Raises Failed at once when the process has ended."""

        try:
            return wait_until(
                lambda: self.is_live(name) and condition(), f"start of {name}", timeout_s
            )
        except Failed as error:
            raise Failed(f"{error}; see {self.log(name)}") from None

    def log_tail(self, name, lines=8):
        """The last lines of the log of `name`."""
        text = self.log(name).read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])


def port_answers(port):
    """True once something listens on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
