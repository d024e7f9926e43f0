"""A client process of the race: one line asks, one line answers."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import time

from processes import Failed

from .figures import Sample

START_S = 60
GRACE_S = 60


def parse_answer(line):
    """The Sample of a line "done ops=1 ..."; Raises Failed for any other line."""
    words = line.split()
    if not words or words[0] != "done":
        raise Failed(line.removeprefix("error ") or "the client said nothing")
    fields = dict(word.partition("=")[::2] for word in words[1:])
    latencies = fields.pop("latencies", "")
    try:
        sample = Sample(**{name: int(value) for name, value in fields.items()})
        sample.latencies_ns = [int(word) for word in latencies.split(",") if word]
    except (TypeError, ValueError) as error:
        raise Failed(f"the client's answer cannot be read: {error}") from None
    return sample


def command_line(verb, **fields):
    """ "get bytes=65536 inflight=8 servers=12,13"."""
    words = [verb]
    for name, value in fields.items():
        if isinstance(value, (list, tuple)):
            value = ",".join(str(one) for one in value)
        if value != "":
            words.append(f"{name}={value}")
    return " ".join(words)


def pinned(command, cores):
    """`command` on these cores, dying with the race."""
    words = [str(word) for word in command]
    if shutil.which("setpriv"):
        words = ["setpriv", "--pdeathsig", "KILL", "--", *words]
    if cores and shutil.which("taskset"):
        words = ["taskset", "-c", ",".join(str(core) for core in cores), *words]
    return words


class Driver:
    """A client in a process of its own. One-thread. Life: start, any number of asks, stop.

    Every answer has a deadline; a client that misses it is killed, and is of no more use.
    """

    def __init__(self, command, log, cores=(), environment=None):
        with open(log, "ab") as stderr:
            self.process = subprocess.Popen(
                pinned(command, cores),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=os.environ | (environment or {}),
            )
        self.log = log
        self._heard = b""

    @property
    def pid(self):
        return self.process.pid

    def ready(self, timeout_s=START_S):
        """Waits for "ready transport=..."; returns what comes after the equals sign."""
        line = self.hear(timeout_s)
        if not line.startswith("ready"):
            raise Failed(line.removeprefix("error ") or "the client said nothing")
        return line.partition("transport=")[2]

    def ask(self, verb, timeout_s=GRACE_S, **fields):
        """One command; returns its Sample. Raises Failed."""
        return parse_answer(self.say(command_line(verb, **fields), timeout_s))

    def say(self, line, timeout_s):
        """One line there and one back. Raises Failed."""
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise Failed(f"the client is gone ({error}); {self.last_words()}") from None
        return self.hear(timeout_s)

    def hear(self, timeout_s):
        """The next line. Raises Failed when none comes in time, or the client has ended."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._heard:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                self.kill()
                raise Failed(f"the client hung for {timeout_s:.0f} s")
            more = os.read(self.process.stdout.fileno(), 1 << 20)
            if not more:
                raise Failed(f"the client ended; {self.last_words()}")
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode(errors="replace").strip()

    def last_words(self):
        """The end of its log."""
        with contextlib.suppress(OSError):
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return " | ".join(file.read().splitlines()[-3:])
        return "no log"

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """Ends it: gently first."""
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()
        self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
