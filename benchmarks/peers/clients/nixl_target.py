"""The other side of NIXL: registers memory, leaves word of it in a file, waits to be ended."""

import argparse
import pathlib
import signal

import numpy
from nixl_client import TARGET_BYTES
from nixl_cu13._api import nixl_agent, nixl_agent_config


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    folder = pathlib.Path(parser.parse_args().folder)
    agent = nixl_agent("target", nixl_agent_config(backends=["UCX"]))
    memory = numpy.ones(TARGET_BYTES, dtype=numpy.uint8)
    agent.register_memory([(memory.ctypes.data, memory.size, 0, "")], "DRAM")
    word = memory.ctypes.data.to_bytes(8, "little") + agent.get_agent_metadata()
    (folder / "target.new").write_bytes(word)
    (folder / "target.new").rename(folder / "target")
    signal.sigwait([signal.SIGTERM, signal.SIGINT])


if __name__ == "__main__":
    main()
