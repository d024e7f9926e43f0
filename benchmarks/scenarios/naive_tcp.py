"""Requests over plain TCP, as a yardstick for incast: each of N senders answers at once.

naive_tcp.py serve ADDRESS N BYTES        prints the ports as JSON, serves until it is killed
naive_tcp.py ask ADDRESS PORTS BYTES S    asks all of them together for S seconds, prints JSON
"""

import json
import selectors
import socket
import sys
import threading
import time


def serve(address, count, size):
    """One thread a sender; a byte is a request."""
    answer = bytes(size)

    def one(listener):
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while connection.recv(1):
                connection.sendall(answer)

    listeners = [socket.create_server((address, 0)) for _ in range(count)]
    print(json.dumps([each.getsockname()[1] for each in listeners]), flush=True)
    for listener in listeners:
        threading.Thread(target=one, args=(listener,), daemon=True).start()
    threading.Event().wait()


def ask(address, ports, size, seconds):
    """Rounds: a request to each, all answers awaited, as a synchronised read does."""
    sockets = [socket.create_connection((address, port)) for port in ports]
    selector = selectors.DefaultSelector()
    for each in sockets:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(each, selectors.EVENT_READ)
    buffer, moved, rounds = bytearray(1 << 20), 0, []
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        left = {each: size for each in sockets}
        for each in sockets:
            each.sendall(b"?")
        while left:
            for key, _ in selector.select():
                got = key.fileobj.recv_into(buffer)
                left[key.fileobj] -= got
                moved += got
                if left[key.fileobj] <= 0:
                    del left[key.fileobj]
        rounds.append((time.perf_counter() - start) * 1e3)
    spent = time.perf_counter() - begin
    rounds.sort()
    print(json.dumps({
        "gb_per_s": round(moved / spent / 1e9, 4),
        "p50_ms": round(rounds[len(rounds) // 2], 3),
        "p99_ms": round(rounds[int(len(rounds) * 0.99)], 3),
    }))  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        ask(sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
