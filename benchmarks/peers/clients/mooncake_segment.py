"""The storage process of Mooncake over TCP: contributes a segment, and sleeps until it is ended."""

import argparse
import signal
import sys

from mooncake.store import MooncakeDistributedStore


def main():
    parser = argparse.ArgumentParser()
    for name in ("--host", "--at", "--mib"):
        parser.add_argument(name, required=True)
    options = parser.parse_args()
    store = MooncakeDistributedStore()
    size = int(options.mib) << 20
    code = store.setup(options.host, "P2PHANDSHAKE", size, 16 << 20, "tcp", "", options.at)
    if code:
        sys.exit(f"setup: {code}")
    print("segment ready", flush=True)
    signal.sigwait([signal.SIGTERM, signal.SIGINT])


if __name__ == "__main__":
    main()
