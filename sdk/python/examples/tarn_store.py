"""Sessions in Tarn: the seam of the inference server over the `tarn` package."""

import contextlib
import threading
import time

import numpy as np
import tarn
from session_store import (
    FetchFailed,
    NoSuchSession,
    Resumed,
    SessionState,
    SessionStore,
    StaleSession,
    StoreUnavailable,
)

LOAD_INTERVAL_S = 0.2  # how often the pool is told a worker's load


def space_spec(config):
    """The space of a model's KV: whatever changes the bytes of a block is part of its identity."""
    return tarn.SpaceSpec(
        model=config.geometry(),
        revision="1",
        dtype="float32",
        layout="layers,2,kv_heads,tokens,head_dim",
        block_tokens=config.block_tokens,
        hash_scheme="sha256_cbor",
        hash_seed="0",
    )


class TarnStore(SessionStore):
    """A SessionStore over one client of Tarn. Thread-safe where `tarn.Client` is."""

    def __init__(self, options, config):
        """`options` has `endpoint`, `secrets_dir` (None: the SDK's defaults), `copies` and, where
        blocks are to be used layer by layer as they land, a true `layer_wise`."""
        self.config = config
        self.layer_wise = getattr(options, "layer_wise", False)
        self.put_options = tarn.CallOptions(copies=options.copies)
        self.client = tarn.Client.connect(
            tarn.ClientOptions(endpoint=options.endpoint, credentials=options.secrets_dir or "")
        )
        self.space = self.client.open_space(space_spec(config))
        self.hasher = tarn.Hasher.open("sha256_cbor", "0", config.block_tokens)

    def create(self):
        with _translated():
            return self.space.create_session().id

    def fork(self, session_id):
        with _translated():
            return self.space.open_session(session_id).fork().id

    def resume(self, session_id):
        begin = time.perf_counter()
        with _translated():
            manifest = self.space.open_session(session_id).resolve()
        state = SessionState(session_id, manifest.version, list(manifest.token_ids))
        state.saved_blocks = len(manifest.blocks)
        state.decode_tail(manifest.tail)
        if self.layer_wise and manifest.blocks:
            fetch = LayerFetch(self.space, manifest.blocks, self.config)
            return Resumed(state, [], {}, (time.perf_counter() - begin) * 1e3, fetch)
        blocks, sources = self._fetch(manifest.blocks)
        return Resumed(state, blocks, sources, (time.perf_counter() - begin) * 1e3)

    def save(self, state, blocks):
        total = state.saved_blocks + len(blocks)
        full = state.tokens[: total * self.config.block_tokens]
        hashes = self.hasher.hash(full)
        self._put(hashes, state.saved_blocks, blocks)
        before = state.saved_blocks
        state.saved_blocks = total
        what = tarn.Append(
            blocks=hashes[before:],
            token_count=len(state.tokens),
            token_ids=full[before * self.config.block_tokens :],
            tail=state.encode_tail(self.config.block_tokens),
        )
        try:
            with _translated():
                session = self.space.open_session(state.session_id)
                state.version = session.append(state.version, what)
        except Exception:
            state.saved_blocks = before
            raise

    def put_again(self, state, first, blocks):
        full = state.tokens[: (first + len(blocks)) * self.config.block_tokens]
        self._put(self.hasher.hash(full), first, blocks)

    def route(self, session_id, exclude=()):
        """Which worker should serve the session now: (its name, its endpoint)."""
        with _translated():
            query = tarn.RouteQuery(session_id=session_id, exclude=list(exclude))
            choice = self.client.route(self.space, query)
        return choice.worker, choice.endpoint

    @contextlib.contextmanager
    def registered(self, spec, load):
        """Is the worker `spec` of the pool while the context lasts; `load` counts its requests."""
        worker = self.client.register_worker(self.space, spec)
        ended = threading.Event()

        def tell():
            while not ended.wait(LOAD_INTERVAL_S):
                count = load()
                worker.set_load(min(count, 1), max(count - 1, 0))

        thread = threading.Thread(target=tell, name="tell-load", daemon=True)
        thread.start()
        try:
            yield worker
        finally:
            ended.set()
            thread.join()

    def _fetch(self, hashes):
        """The usable prefix of the blocks, as one array's rows, and their count by server."""
        if not hashes:
            return [], {}
        memory = np.empty((len(hashes), self.config.block_bytes), np.uint8)
        items = [tarn.GetItem(hash=h, slices=[row]) for h, row in zip(hashes, memory, strict=True)]
        transfer = self.space.get_kv(items)
        transfer.wait()
        sources = sources_of(transfer)
        return list(memory[: sum(sources.values())]), sources

    def _put(self, hashes, first, blocks):
        """Puts `blocks`, block `first` and after, and waits until they are kept as asked."""
        if not blocks:
            return
        items = []
        for index, block in enumerate(blocks, first):
            parent = hashes[index - 1] if index else b""
            items.append(tarn.PutItem(hash=hashes[index], parent=parent, slices=[block]))
        with _translated():
            transfer = self.space.put_kv(items, self.put_options)
            transfer.wait()
        if not transfer.all_ok():
            bad = next(o for o in transfer.outcomes() if o.outcome not in _KEPT)
            raise StoreUnavailable(f"put: {bad.outcome.name}: {bad.message}")


def sources_of(transfer):
    """The usable prefix of a get that has ended, counted by the server that sent it."""
    sources = {}
    for outcome in transfer.outcomes():
        if outcome.outcome != tarn.Outcome.ok:
            break
        sources[outcome.server] = sources.get(outcome.server, 0) + 1
    return sources


class LayerFetch:
    """Blocks on their way, used layer by layer: see Resumed. Ends the get when it is dropped."""

    def __init__(self, space, hashes, config):
        """Begins to fetch the blocks of these hashes; layers lie outermost in a block."""
        self.count = len(hashes)
        self.memory = np.empty((self.count, *config.block_shape), np.float32)
        rows = self.memory.reshape(self.count, -1)
        items = [tarn.GetItem(hash=h, slices=[row]) for h, row in zip(hashes, rows, strict=True)]
        layer_bytes = config.block_bytes // config.layers
        options = tarn.CallOptions()
        options.layer_ends = [layer_bytes * (layer + 1) for layer in range(config.layers)]
        self.transfer = space.get_kv(items, options)

    def arrive(self, layer):
        """Waits for a layer of all blocks and returns it."""
        try:
            self.transfer.wait_layer(layer)
        except tarn.Error as error:
            raise FetchFailed(str(error)) from error
        return self.memory[:, layer]

    def usable(self):
        """Waits for the end; returns the usable prefix of the blocks, and their count by server."""
        self.transfer.wait()
        sources = sources_of(self.transfer)
        return list(self.memory[: sum(sources.values())]), sources


_KEPT = (tarn.Outcome.ok, tarn.Outcome.exists)
_LATER = (
    tarn.Outcome.unavailable,
    tarn.Outcome.overloaded,
    tarn.Outcome.deadline_exceeded,
    tarn.Outcome.cancelled,
)


@contextlib.contextmanager
def _translated():
    """Turns the SDK's errors into those of the seam; the ones that tell of a mistake stay."""
    try:
        yield
    except tarn.Error as error:
        if error.outcome == tarn.Outcome.miss:
            raise NoSuchSession(str(error)) from error
        if error.outcome == tarn.Outcome.conflict:
            raise StaleSession(str(error)) from error
        if error.outcome in _LATER:
            raise StoreUnavailable(str(error)) from error
        raise
