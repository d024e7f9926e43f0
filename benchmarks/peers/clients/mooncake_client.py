"""Mooncake's store: get_into and put_from of registered memory, batch calls for windows.

--mode tcp: memory of this process, the segment in another one. --mode dummy: memory of the pool
shared with the real client.
"""

import ctypes
import sys

import loop
import numpy
from mooncake.store import MooncakeDistributedStore


class MooncakeStore:
    def __init__(self, store, address):
        self.store = store
        self.address = address

    def prepare(self, op, batch):
        count = len(batch.keys)
        addresses = [self.address + at for at in batch.offsets]
        batch.ready = (batch.keys, addresses, [batch.block_bytes] * count)

    def put(self, batch):
        keys, addresses, sizes = batch.ready
        if len(keys) == 1:
            codes = [self.store.put_from(keys[0], addresses[0], sizes[0])]
        else:
            codes = self.store.batch_put_from(keys, addresses, sizes)
        if any(codes):
            raise ValueError(f"put: {codes}")

    def get(self, batch):
        keys, addresses, sizes = batch.ready
        if len(keys) == 1:
            counts = [self.store.get_into(keys[0], addresses[0], sizes[0])]
        else:
            counts = self.store.batch_get_into(keys, addresses, sizes)
        if list(counts) != sizes:
            raise ValueError(f"get: {list(counts)[:8]}")

    def exists(self, keys):
        return sum(found == 1 for found in self.store.batch_is_exist(keys))

    def remove(self, keys):
        """`force`: what a get has leased goes, too."""
        for first in range(0, len(keys), 512):
            self.store.batch_remove(keys[first : first + 512], True)


def view(address, size):
    return numpy.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def open_store(options):
    store = MooncakeDistributedStore()
    size = options.memory_mib << 20
    if options.mode == "dummy":
        code = store.setup_dummy(size + (64 << 20), 16 << 20, options.at)
        if code:
            raise RuntimeError(f"setup_dummy: {code}")
        address = store.alloc_from_mem_pool(size)
        if not address:
            raise RuntimeError("alloc_from_mem_pool: no memory")
        memory = view(address, size)
        code = store.register_buffer(address, size)
    else:
        arguments = (options.host, "P2PHANDSHAKE", 0, 64 << 20, "tcp", "", options.at)
        code = store.setup(*arguments)
        if code:
            raise RuntimeError(f"setup: {code}")
        memory = numpy.zeros(size, dtype=numpy.uint8)
        address = memory.ctypes.data
        code = store.register_buffer(address, size)
    if code:
        raise RuntimeError(f"register_buffer: {code}")
    return MooncakeStore(store, address), memory


if __name__ == "__main__":
    sys.exit(loop.main(open_store, "--mode", "--at", "--host"))
