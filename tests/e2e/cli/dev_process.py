"""One `tarn dev` for tests: started, read, ended; and what a test asks of processes."""

import json
import os
import pathlib
import signal
import subprocess
import time

BUILD = pathlib.Path(os.environ.get("TARN_BINARY_DIR", "build/release"))
TARN = BUILD / "bin" / "tarn"
EXAMPLE = BUILD / "sdk" / "cpp" / "example_resume_session"
START_S = 60


def is_alive(pid):
    """Whether a process of this number runs; one that waits to be reaped does not."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def children_of(pid):
    """The numbers of its living children."""
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(word) for word in text.split()]


def wait_until(condition, timeout_s=10):
    """Polls until `condition` holds and returns its value; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s")
        time.sleep(0.01)
    return value


class Dev:
    """One `tarn dev --json` on a folder; its events are read line by line. One-thread."""

    def __init__(self, folder, *flags, **environment):
        self.folder = pathlib.Path(folder)
        listen = () if "--listen" in flags else ("--listen", "127.0.0.1:0")
        self.child = subprocess.Popen(
            [
                *(TARN, "dev", "--json", "--data", self.folder),
                *(*listen, "--dram-bytes", "256MiB", *flags),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def event(self, kind):
        """The next event, which must be of this kind."""
        line = self.child.stdout.readline()
        if not line:
            raise AssertionError(self.child.stderr.read())
        event = json.loads(line)
        if event["event"] != kind:
            raise AssertionError(f"{kind} was expected: {event}\n{self.log()}")
        return event

    def log(self):
        """The child's log."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self, number=signal.SIGTERM):
        """Ends it as an operator does; returns what it left with."""
        self.child.send_signal(number)
        return self.wait()

    def wait(self):
        """What it leaves with, at last."""
        code = self.child.wait(START_S)
        self.child.stdout.close()
        self.words = self.child.stderr.read()
        self.child.stderr.close()
        return code

    def end(self):
        """Nothing of it is left, whatever the test did."""
        if self.child.poll() is None:
            self.stop()
