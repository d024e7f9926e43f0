"""NIXL between two processes: READ and WRITE of registered memory over its UCX backend.

NIXL has no keys: values of the working set lie at fixed places of the target's memory, puts go
round a part of it. A window is one transfer of that many descriptors.
"""

import pathlib
import sys
import time

import loop
import numpy
from nixl_cu13._api import nixl_agent, nixl_agent_config

WORKING_BYTES = 512 << 20
TARGET_BYTES = WORKING_BYTES + (512 << 20)


class NixlStore:
    def __init__(self, agent, target, address, remote_address):
        self.agent = agent
        self.target = target
        self.address = address
        self.remote_address = remote_address
        self.kept = []

    def remote(self, key, block_bytes):
        """Where a key's bytes are on the target."""
        number = int(key.rpartition("-")[2])
        if key.startswith("w"):
            return self.remote_address + number * block_bytes
        places = (TARGET_BYTES - WORKING_BYTES) // block_bytes
        return self.remote_address + WORKING_BYTES + number % places * block_bytes

    def prepare(self, op, batch):
        """A transfer that can be posted again and again; made before the clock starts."""
        size = batch.block_bytes
        near = [(self.address + at, size, 0) for at in batch.offsets]
        far = [(self.remote(key, size), size, 0) for key in batch.keys]
        batch.ready = self.agent.initialize_xfer(
            "WRITE" if op == "put" else "READ",
            self.agent.get_xfer_descs(near, "DRAM"),
            self.agent.get_xfer_descs(far, "DRAM"),
            self.target,
        )

    def post(self, batch):
        state = self.agent.transfer(batch.ready)
        while state == "PROC":
            state = self.agent.check_xfer_state(batch.ready)
        if state != "DONE":
            raise ValueError(f"transfer: {state}")

    put = get = post

    def remove(self, keys):
        """Nothing is kept by name."""


def read_when_there(path, timeout_s=30):
    """What the target has written, whole: it renames the file into place."""
    deadline = time.monotonic() + timeout_s
    while not path.exists():
        if time.monotonic() > deadline:
            raise RuntimeError("the target did not come up")
        time.sleep(0.01)
    return path.read_bytes()


def open_store(options):
    agent = nixl_agent("initiator", nixl_agent_config(backends=["UCX"]))
    memory = numpy.zeros(options.memory_mib << 20, dtype=numpy.uint8)
    address = memory.ctypes.data
    agent.register_memory([(address, memory.size, 0, "")], "DRAM")
    found = read_when_there(pathlib.Path(options.folder) / "target")
    remote_address = int.from_bytes(found[:8], "little")
    name = agent.add_remote_agent(found[8:])
    name = name.decode() if isinstance(name, bytes) else name
    return NixlStore(agent, name, address, remote_address), memory


if __name__ == "__main__":
    sys.exit(loop.main(open_store, "--folder"))
