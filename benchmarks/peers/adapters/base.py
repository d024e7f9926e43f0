"""What every peer of the race is: started, asked to put, get and exists, stopped."""

import os
import signal
import subprocess

from processes import Failed, port_answers, wait_until
from race.driver import GRACE_S, Driver, pinned
from race.schedule import EXISTS_KEYS, operations_max, working_set_keys

SAME_HOST, TCP = "same host", "tcp"
SERVER_STORE_MIB = 1280
FILL_S = 120


class Peer:
    """One row of the table. One-thread. Life: start, any calls, stop; start may raise Failed.

    A subclass says its name, group and kind ("tarn", "peer", "limit"), starts servers with
    start_server() and its client with start_driver() in launch(). Everything started is ended by
    stop(), by pid.
    """

    name = ""
    group = TCP
    kind = "peer"
    has_exists = True
    # What idles by spinning is stopped (SIGSTOP) outside of its turn.
    spins = False
    note = ""
    # Of race/install.py.
    needs = ()

    def __init__(self, place):
        self.place = place
        self.servers = []
        self.counted = []  # pids whose CPU time is the server's
        self.driver = None
        self.version = ""
        self.turn = 0

    def launch(self):
        """Starts servers and the client. Raises Failed, OSError."""
        raise NotImplementedError

    def start(self):
        """Ready for calls when it returns. Raises Failed."""
        try:
            self.launch()
        except OSError as error:
            raise Failed(str(error)) from None

    def fill(self, block_bytes):
        """Puts the working set that gets of this size go round."""
        self.ask("fill", FILL_S, bytes=block_bytes, count=working_set_keys(block_bytes))

    def get(self, cell, seconds):
        """Fetches and compares the bytes; returns a Sample."""
        return self.run(cell, seconds, count=working_set_keys(cell.block_bytes))

    def put(self, cell, seconds):
        """Puts fresh keys and takes them away again; returns a Sample."""
        self.turn += 1
        return self.run(cell, seconds, turn=self.turn)

    def exists(self, cell, seconds):
        """Asks for keys of which half are there; returns a Sample."""
        return self.run(cell, seconds, count=EXISTS_KEYS)

    def drop(self, block_bytes):
        """Takes the working set away, where the peer can."""
        self.ask("drop", bytes=block_bytes, count=working_set_keys(block_bytes))

    def run(self, cell, seconds, **fields):
        """One turn of the client."""
        return self.ask(
            cell.op,
            bytes=cell.block_bytes,
            inflight=cell.inflight,
            millis=round(seconds * 1000),
            ops=operations_max(cell),
            servers=self.counted,
            **fields,
        )

    def ask(self, verb, timeout_s=GRACE_S, **fields):
        self.resume()
        try:
            return self.driver.ask(verb, timeout_s, **fields)
        finally:
            self.pause()

    def pause(self):
        if self.spins:
            self.signal(signal.SIGSTOP)

    def resume(self):
        if self.spins:
            self.signal(signal.SIGCONT)

    def signal(self, which):
        for process in [self.driver.process, *self.servers]:
            if process.poll() is None:
                process.send_signal(which)

    def stop(self):
        """Ends the client and the servers, each by its pid."""
        if self.driver:
            if self.spins:
                self.signal(signal.SIGCONT)
            self.driver.stop()
        for server in reversed(self.servers):
            end(server)
        self.servers.clear()
        self.counted.clear()

    def start_server(self, command, counts=True, **environment):
        """A process on the servers' cores, with its log in the race's folder."""
        log = self.place.log(self.name, len(self.servers))
        with open(log, "ab") as file:
            server = subprocess.Popen(
                pinned(command, self.place.server_cores),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
            )
        self.servers.append(server)
        if counts:
            self.counted.append(server.pid)
        return server

    def wait_port(self, port, timeout_s=30):
        """Until the last server answers there. Raises Failed with the end of its log."""
        server, log = self.servers[-1], self.place.log(self.name, len(self.servers) - 1)

        def answers():
            if server.poll() is not None:
                raise Failed(f"ended with {server.returncode}: {tail(log)}")
            return port_answers(port)

        wait_until(answers, self.name, timeout_s)

    def start_driver(self, command, **environment):
        """The client; returns what it says of its transport."""
        self.driver = Driver(
            [*command, "--payload", self.place.payload],
            self.place.log(self.name, "client"),
            self.place.client_cores,
            environment,
        )
        return self.driver.ready()

    def raw_driver(self, kind, at):
        """The client of this repository that needs no library."""
        command = [self.place.program("tarn-peer-raw"), "--kind", kind, "--at", at]
        return self.start_driver([*command, "--store-mib", SERVER_STORE_MIB])

    def python_driver(self, script, *words, **environment):
        """A client in the scratch environment."""
        python = self.place.scratch_python
        return self.start_driver([python, "-B", self.place.client(script), *words], **environment)


def end(process):
    """SIGTERM, then SIGKILL; returns when it is gone."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def tail(log, lines=3):
    """The last lines of a log in one line."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return " | ".join(line.strip() for line in text.splitlines()[-lines:]) or "its log is empty"


def version_of(command, pattern=None):
    """The first line that a program says of its version."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=20, check=False
    )
    lines = (done.stdout or done.stderr).strip().splitlines()
    line = lines[0] if lines else "unknown"
    found = pattern.search(line) if pattern else None
    return found.group(1) if found else line
