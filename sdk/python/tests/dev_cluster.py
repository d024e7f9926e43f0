"""A `tarn dev` in a temporary folder, for tests of the package against real servers."""

import json
import os
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("TARN_BUILD_DIR", ROOT / "build" / "release"))
STOP_S = 60


class DevCluster:
    """Its `folder` holds the credentials that a client needs. One-thread."""

    def __init__(self):
        self._place = tempfile.TemporaryDirectory(prefix="tarn-py-")
        self.folder = str(pathlib.Path(self._place.name) / "dev")
        command = [BUILD / "bin" / "tarn", "dev", "--json", "--data", self.folder]
        command += ["--listen", "127.0.0.1:0", "--dram-bytes", "256MiB"]
        self._child = subprocess.Popen(
            [str(word) for word in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = self._child.stdout.readline()
        ready = json.loads(line) if line else {}
        self._server_pid = ready.get("child_pid")
        if ready.get("event") != "ready":
            self.stop()
            raise AssertionError(f"tarn dev is not ready: {line}")

    def signal(self, number):
        """Sends a signal to the process that is router and server, as SIGSTOP to let it hang."""
        os.kill(self._server_pid, number)

    def close(self):
        self.stop()

    def stop(self):
        self._child.terminate()
        self._child.wait(STOP_S)
        self._child.stdout.close()
        self._place.cleanup()
