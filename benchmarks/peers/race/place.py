"""Where a race runs: folders, programs, cores, the bytes that all put."""

import os
import pathlib
import secrets
import shutil
import sys

from processes import Failed

from . import PEERS, ROOT
from .schedule import MIB

PAYLOAD_BYTES = 96 * MIB
CORES_DEFAULT = 2


class Place:
    """Immutable but for its folders. `with Place(...) as place:` takes the temporary one away."""

    def __init__(self, build, scratch, client_cores=None, server_cores=None):
        self.build = pathlib.Path(build)
        self.scratch = pathlib.Path(scratch)
        both = sorted(os.sched_getaffinity(0))[:CORES_DEFAULT]
        self.client_cores = client_cores or both
        self.server_cores = server_cores or both
        self.logs = self.scratch / "logs"
        memory = pathlib.Path("/dev/shm")
        parent = memory if memory.is_dir() else self.scratch
        self.memory_folder = parent / f"tarn-peers-{os.getpid()}"
        self.folder = self.scratch / f"run-{os.getpid()}"
        self.payload = self.memory_folder / "payload"

    def __enter__(self):
        for folder in (self.logs, self.memory_folder, self.folder):
            folder.mkdir(parents=True, exist_ok=True)
        for log in self.logs.glob("*.log"):
            log.unlink()
        with open(self.payload, "wb") as file:
            for _ in range(PAYLOAD_BYTES // MIB):
                file.write(secrets.token_bytes(MIB))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.memory_folder, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, peer, which):
        return self.logs / f"{peer.replace(' ', '-').replace('/', '-')}.{which}.log"

    def program(self, name):
        """Path of a program of ours. Raises Failed."""
        for place in ("bin", "benchmarks"):
            path = self.build / place / name
            if path.is_file():
                return path
        raise Failed(f"{name} is not in {self.build}: build it first (scripts/build release)")

    def client(self, script):
        return PEERS / "clients" / script

    @property
    def scratch_python(self):
        """Python of the scratch environment, else the one that runs this."""
        path = self.scratch / "venv" / "bin" / "python"
        return path if path.exists() else pathlib.Path(sys.executable)

    def scratch_file(self, pattern):
        """The one file of the scratch folder that matches. Raises Failed."""
        found = sorted(self.scratch.glob(pattern))
        if not found:
            raise Failed(f"not installed: no {pattern} in {self.scratch} (see --install)")
        return found[0]

    @property
    def debian_environment(self):
        """For programs of Debian packages that were unpacked and not installed."""
        library = self.scratch / "debian" / "usr" / "lib" / "x86_64-linux-gnu"
        return {"LD_LIBRARY_PATH": str(library)} if library.is_dir() else {}

    def debian_program(self, name):
        """An installed program, else the unpacked one. Raises Failed."""
        unpacked = self.scratch / "debian" / "usr" / "bin" / name
        if unpacked.exists():
            return unpacked
        found = shutil.which(name)
        if not found:
            raise Failed(f"not installed: {name} (see --install)")
        return pathlib.Path(found)


def default_build():
    return pathlib.Path(os.environ.get("TARN_BUILD_DIR", ROOT / "build" / "release"))
