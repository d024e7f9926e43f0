"""A small custom inference server: a process that computes and streams tokens, and keeps no state.

It listens on a unix socket. A connection carries one request, a line of JSON:

    {"session": "ID", "turn": 2, "prompt": "text" or [token, ...], "max_tokens": 64}

and gets lines of JSON back: {"resumed": {...}}, then a {"token": 17} for each token of the turn
from its first on, and at the end {"summary": {...}}; or {"error": "..."} at any point. The same
turn may be asked for again, of any worker: what was generated is repeated, the rest is computed.
{"ping": true} is answered by {"pong": true}.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import socketserver
import threading
import time

import llama
from session_store import NoSuchSession, StaleSession, StoreUnavailable
from turn import BadRequest, Turn

MAX_LINE_BYTES = 1 << 20
MAX_WAITING = 8  # requests that may wait for the model; more are refused
SOCKET_TIMEOUT_S = 30


class InferenceServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves turns on a unix socket that only its user can open.

    One thread per connection; the model and the store are used under `lock`, one turn at a time.
    """

    daemon_threads = True
    request_queue_size = 2 * MAX_WAITING

    def __init__(self, socket_path, model, store, keep_fetched=None):
        self.model = model
        self.store = store
        self.keep_fetched = keep_fetched
        self.lock = threading.Lock()
        self.load = 0  # requests that run or wait; the balancer is told
        self.load_lock = threading.Lock()
        pathlib.Path(socket_path).unlink(missing_ok=True)
        old_mask = os.umask(0o177)
        try:
            super().__init__(str(socket_path), Connection)
        finally:
            os.umask(old_mask)

    @contextlib.contextmanager
    def place(self):
        """A place among the waiting requests, or None where all are taken."""
        with self.load_lock:
            got = self.load < MAX_WAITING
            self.load += got
        try:
            yield got or None
        finally:
            with self.load_lock:
                self.load -= got


class Connection(socketserver.StreamRequestHandler):
    """One request and its stream of answers."""

    timeout = SOCKET_TIMEOUT_S

    def handle(self):
        with contextlib.suppress(OSError):  # the client has gone: what was saved is saved
            try:
                self._serve()
            except StaleSession as error:
                self._answer({"error": f"session moved on: {error}", "retry": True})
            except StoreUnavailable as error:
                self._answer({"error": f"store unavailable: {error}", "retry": True})
            except (BadRequest, NoSuchSession, ValueError) as error:
                self._answer({"error": str(error)})

    def _serve(self):
        line = self.rfile.readline(MAX_LINE_BYTES + 1)
        if len(line) > MAX_LINE_BYTES:
            raise BadRequest(f"a request is a line of at most {MAX_LINE_BYTES} bytes")
        request = json.loads(line)
        if request == {"ping": True}:
            self._answer({"pong": True})
            return
        with self.server.place() as place:
            if place is None:
                self._answer({"error": "overloaded", "retry": True})
            else:
                self._turn(request)

    def _turn(self, request):
        with self.server.lock:
            turn = Turn(self.server.model, self.server.store, request)
            for event in turn.run(self.server.keep_fetched):
                self._answer(event)

    def _answer(self, event):
        self.wfile.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")


def serve(server):
    """Serves until SIGTERM or SIGINT; prints one line when ready."""

    def stop(_signal, _frame):
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"ready {server.server_address}", flush=True)
    with server:
        server.serve_forever(poll_interval=0.1)


def prefill_tokens_per_s(model, count=256):
    """How fast the model prefills here, measured: the router weighs a fetch against it."""
    cache = model.empty_cache(count)
    begin = time.perf_counter()
    model.prefill([0] * count, cache)
    return count / (time.perf_counter() - begin)


def main():
    """Serves with sessions in Tarn."""
    parser = argparse.ArgumentParser(description="A stateless inference server over Tarn.")
    parser.add_argument("--socket", required=True, help="unix socket to listen on")
    parser.add_argument("--name", required=True, help="this worker's name in the pool")
    parser.add_argument("--endpoint", required=True, help="a Tarn router")
    parser.add_argument("--secrets-dir", help="folder with this worker's credentials")
    parser.add_argument("--copies", type=int, default=2, help="copies of each block")
    parser.add_argument("--seed", type=int, default=7, help="seed of the model's weights")
    parser.add_argument("--keep-fetched", help="folder to write the fetched bytes to, for checks")
    parser.add_argument(
        "--layer-wise", action="store_true", help="compute each layer as soon as its KV has landed"
    )
    options = parser.parse_args()
    if options.layer_wise and options.keep_fetched:
        parser.error("--keep-fetched needs whole blocks, so not with --layer-wise")
    import tarn  # here, so that tests need no Tarn
    from tarn_store import TarnStore

    model = llama.Model(options.seed)
    store = TarnStore(options, model.config)
    server = InferenceServer(options.socket, model, store, options.keep_fetched)
    spec = tarn.WorkerSpec(
        name=options.name,
        endpoint=options.socket,
        prefill_tokens_per_s=prefill_tokens_per_s(model),
    )
    with store.registered(spec, lambda: server.load):
        serve(server)


if __name__ == "__main__":
    main()
