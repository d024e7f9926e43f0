"""redis-py: a window is one pipeline without a transaction."""

import sys

import loop
import numpy
import redis


class RedisPyStore:
    def __init__(self, at, memory):
        host, _, port = at.rpartition(":")
        self.client = redis.Redis(host=host, port=int(port))
        self.memory = memory

    def prepare(self, op, batch):
        """Puts are given views: what redis-py sends."""
        batch.ready = [self.memory[at : at + batch.block_bytes].data for at in batch.offsets]

    def put(self, batch):
        pipeline = self.client.pipeline(transaction=False)
        for key, value in zip(batch.keys, batch.ready, strict=True):
            pipeline.set(key, value)
        pipeline.execute()

    def get(self, batch):
        """redis-py returns bytes of its own: the copy into place is part of using it."""
        values = self.client.mget(batch.keys)
        for view, value in zip(batch.ready, values, strict=True):
            view[:] = value

    def exists(self, keys):
        return self.client.exists(*keys)

    def remove(self, keys):
        for first in range(0, len(keys), 1000):
            self.client.unlink(*keys[first : first + 1000])


def open_store(options):
    memory = numpy.zeros(options.memory_mib << 20, dtype=numpy.uint8)
    return RedisPyStore(options.at, memory), memory


if __name__ == "__main__":
    sys.exit(loop.main(open_store, "--at"))
