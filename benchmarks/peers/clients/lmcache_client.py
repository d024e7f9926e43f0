"""LMCache: its cache server over a socket of ours, or its native RESP client.

The server's messages are fixed structures; a put has no answer there, so that each batch of puts
ends with a question whether the last one is there. It has no removal: put keys are used again.
"""

import select
import socket
import struct
import sys

import loop
import numpy

REQUEST, ANSWER = struct.Struct("9i150s"), struct.Struct("9i")
PUT, GET, EXIST = 1, 2, 3
BINARY, UINT8 = 4, 6
SUCCESS = 200
RESP_WORKERS = 8


class ServerStore:
    def __init__(self, at, memory):
        host, _, port = at.rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.memory = memory
        self.names = {}

    def request(self, command, key, size):
        name = self.names.setdefault(key, len(self.names) + 1)
        text = f"peers@1@0@{name:x}@half".encode().ljust(150)
        return REQUEST.pack(command, size, BINARY, UINT8, 0, size, 0, 0, 0, text)

    def prepare(self, op, batch):
        command = PUT if op == "put" else GET
        size = batch.block_bytes
        batch.ready = [
            (self.request(command, key.partition("-")[2] if key[0] == "p" else key, size), view)
            for key, view in zip(
                batch.keys, (self.memory[at : at + size].data for at in batch.offsets), strict=True
            )
        ]

    def receive(self, view):
        while view:
            count = self.socket.recv_into(view, 0, socket.MSG_WAITALL)
            if not count:
                raise ConnectionError("the server has closed the connection")
            view = view[count:]

    def answer(self):
        head = bytearray(ANSWER.size)
        self.receive(memoryview(head))
        return ANSWER.unpack(head)

    def put(self, batch):
        for request, view in batch.ready:
            self.socket.sendall(request)
            self.socket.sendall(view)
        last = bytearray(batch.ready[-1][0])
        struct.pack_into("i", last, 0, EXIST)
        self.socket.sendall(last)
        if self.answer()[0] != SUCCESS:
            raise ValueError("put: the last one is not there")

    def get(self, batch):
        for request, view in batch.ready:
            self.socket.sendall(request)
            code, size, *_ = self.answer()
            if code != SUCCESS or size != len(view):
                raise ValueError(f"get: {code}, {size} bytes")
            self.receive(view)

    def exists(self, keys):
        there = 0
        for key in keys:
            self.socket.sendall(self.request(EXIST, key, 0))
            there += self.answer()[0] == SUCCESS
        return there

    def remove(self, keys):
        """It has no such call."""


class RespStore:
    def __init__(self, at, memory):
        from lmcache.lmcache_redis import LMCacheRedisClient

        host, _, port = at.rpartition(":")
        self.client = LMCacheRedisClient(host, int(port), RESP_WORKERS, "", "")
        self.poll = select.poll()
        self.poll.register(self.client.event_fd(), select.POLLIN)
        self.memory = memory

    def prepare(self, op, batch):
        size = batch.block_bytes
        batch.ready = [self.memory[at : at + size].data for at in batch.offsets]

    def finish(self, future):
        """Waits for the one batch that runs; returns its bools."""
        while True:
            self.poll.poll()
            for number, ok, error, found in self.client.drain_completions():
                if number == future:
                    if not ok:
                        raise ValueError(str(error))
                    return found

    def put(self, batch):
        self.finish(self.client.submit_batch_set(batch.keys, batch.ready))

    def get(self, batch):
        found = self.finish(self.client.submit_batch_get(batch.keys, batch.ready))
        if found is not None and not all(found):
            raise ValueError("get: not all were there")

    def exists(self, keys):
        return sum(map(bool, self.finish(self.client.submit_batch_exists(keys))))

    def remove(self, keys):
        """It has no such call: Redis evicts."""


def open_store(options):
    memory = numpy.zeros(options.memory_mib << 20, dtype=numpy.uint8)
    kind = RespStore if options.mode == "resp" else ServerStore
    return kind(options.at, memory), memory


if __name__ == "__main__":
    sys.exit(loop.main(open_store, "--mode", "--at"))
