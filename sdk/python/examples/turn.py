"""One turn of a conversation: resume the session, prefill, decode, and save as it goes."""

import contextlib
import os
import pathlib
import time

from session_store import FetchFailed, StoreUnavailable

PIECE_TOKENS = 256  # tokens of a prompt between two saves


class BadRequest(Exception):
    """The request makes no sense; the text says which field and why."""


class Turn:
    """One turn of one session, computed once. One-thread.

    Life: made from a request, `run` to its end. A turn that another worker left half done is simply
    run again: the session says how far it came.
    """

    def __init__(self, model, store, request):
        self.model = model
        self.store = store
        self.session_id, self.number, self.prompt, self.max_tokens = parse_request(request, model)
        self.summary = {"session": self.session_id, "turn": self.number}
        self.summary |= {"blocks_saved": 0, "saves_failed": 0}
        self.spent_ms = {"prefill_ms": 0.0, "decode_ms": 0.0, "save_ms": 0.0}

    def run(self, keep_fetched=None):
        """Yields the turn's events. `keep_fetched` is a folder for the bytes that were fetched."""
        self._resume(keep_fetched)
        yield {"resumed": dict(self.summary)}
        known = self.state.tokens[self.state.turn_start + len(self.prompt) :][: self.max_tokens]
        for token in known:
            yield {"token": token}
        generated = len(known)
        if generated < self.max_tokens:
            token = self._prefill()
            while True:
                yield {"token": token}
                generated += 1
                if generated == self.max_tokens:
                    break
                token = self._decode(token)
        self._save()
        self.summary |= {name: round(ms, 3) for name, ms in self.spent_ms.items()}
        yield {"summary": self.summary | {"tokens_generated": generated}}

    def _resume(self, keep_fetched):
        """Brings the session back, loads its blocks and enters the turn."""
        resumed = self.store.resume(self.session_id)
        self.state = resumed.state
        tokens = self.state.tokens
        self.saved_tokens = list(tokens)
        self.cache = self.model.empty_cache(len(tokens) + len(self.prompt) + self.max_tokens + 1)
        self.fetch = resumed.fetch
        if self.fetch is not None:
            self.cache.expect_blocks(self.fetch.count, self.fetch.arrive)
        for index, block in enumerate(resumed.blocks):
            self.cache.load_block(index, block)
        if keep_fetched is not None:
            path = pathlib.Path(keep_fetched) / f"{self.session_id}-{self.number}-{os.getpid()}.kv"
            path.write_bytes(b"".join(bytes(block) for block in resumed.blocks))
        self.summary |= {
            "tokens_fetched": self.cache.length,
            "tokens_recomputed": len(tokens) - self.cache.length,
            "fetch_ms": round(resumed.fetch_ms, 3),
            "sources": resumed.sources,
        }
        self.lost = range(self.cache.full_blocks, self.state.saved_blocks)
        self._enter()

    def _enter(self):
        """Begins the turn, or goes on with it where another worker left it."""
        state = self.state
        if self.number == state.turn + 1:
            state.turn, state.turn_start = self.number, len(state.tokens)
        elif self.number != state.turn:
            raise BadRequest(f"turn is {self.number}; the session is in turn {state.turn}")
        begun = state.tokens[state.turn_start :][: len(self.prompt)]
        if begun != self.prompt[: len(begun)]:
            raise BadRequest(f"prompt is not the one that turn {self.number} was begun with")
        self.unread = self.prompt[len(begun) :]

    def _prefill(self):
        """Computes the KV of all known tokens; appends the next token and returns it.

        The first pass runs while blocks are on their way, if they are: a layer is computed when it
        has landed. Nothing is let out before all of them have.
        """
        known = len(self.state.tokens)
        self.state.tokens.extend(self.unread)
        try:
            following = self._prefill_pending(known)
        except FetchFailed:
            self._load_usable()
            following = self._prefill_pending(known)
        if self.fetch is not None:
            self.summary["sources"] = self.fetch.usable()[1]
        return following

    def _load_usable(self):
        """Some blocks did not arrive: goes on with the prefix that did."""
        blocks, _ = self.fetch.usable()
        capacity = min(self.cache.capacity, self.model.config.max_tokens)
        self.cache = self.model.empty_cache(capacity)
        for index, block in enumerate(blocks):
            self.cache.load_block(index, block)
        fetched, known = self.cache.length, len(self.state.tokens) - len(self.unread)
        self.summary |= {"tokens_fetched": fetched, "tokens_recomputed": known - fetched}
        self.lost = range(self.cache.full_blocks, self.state.saved_blocks)

    def _prefill_pending(self, known):
        pending = self.state.tokens[self.cache.length :]
        self.summary["tokens_prefilled"] = len(pending)
        if not pending:
            raise BadRequest("nothing to compute: the session ends without a token to go on from")
        following = None
        for begin in range(0, len(pending), PIECE_TOKENS):
            with self._timed("prefill_ms"):
                following = self.model.prefill(pending[begin : begin + PIECE_TOKENS], self.cache)
            self._put_again()
            more = begin + PIECE_TOKENS < len(pending)
            if more and self.cache.full_blocks > self.state.saved_blocks:
                self._save(max(known, self.cache.length))
        self.state.tokens.append(following)
        self._save()
        return following

    def _decode(self, token):
        """One more token; saves whenever a block became full, which is also when a save that
        failed is tried again: a store in trouble must not hold up each token."""
        with self._timed("decode_ms"):
            following = self.model.step(token, self.cache)
        self.state.tokens.append(following)
        if self.cache.length % self.model.config.block_tokens == 0:
            self._save()
        return following

    def _save(self, count=None):
        """Saves what is not saved yet: full blocks, and the first `count` tokens (None: all)."""
        state = self.state
        if state.tokens[:count] == self.saved_tokens:
            return
        fresh = range(state.saved_blocks, self.cache.full_blocks)
        blocks = [self.cache.block(index) for index in fresh]
        everything = state.tokens
        state.tokens = everything[:count]
        try:
            with self._timed("save_ms"):
                self.store.save(state, blocks)
            self.saved_tokens = state.tokens
            self.summary["blocks_saved"] += len(blocks)
        except StoreUnavailable:
            self.summary["saves_failed"] += 1
        finally:
            state.tokens = everything

    def _put_again(self):
        """Gives the store back the blocks that it had lost, once they are recomputed."""
        ready = range(self.lost.start, min(self.lost.stop, self.cache.full_blocks))
        if ready:
            blocks = [self.cache.block(index) for index in ready]
            with self._timed("save_ms"), contextlib.suppress(StoreUnavailable):
                self.store.put_again(self.state, ready.start, blocks)
            self.lost = range(ready.stop, self.lost.stop)

    @contextlib.contextmanager
    def _timed(self, name):
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.spent_ms[name] += (time.perf_counter() - begin) * 1e3


def parse_request(request, model):
    """The checked fields of a request: (session id, turn, prompt as token ids, max_tokens)."""
    if not isinstance(request, dict):
        raise BadRequest("a request is a JSON object")
    session_id, prompt = request.get("session"), request.get("prompt")
    if not isinstance(session_id, str) or not session_id or "/" in session_id:
        raise BadRequest("session must be a session's id")
    limit = model.config.max_tokens
    for name in ("turn", "max_tokens"):
        value = request.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
            raise BadRequest(f"{name} must be an integer in 1..{limit}")
    if isinstance(prompt, str):
        prompt = list(prompt.encode())
    size = model.config.vocabulary
    if not isinstance(prompt, list) or not prompt:
        raise BadRequest("prompt must be a text or a list of tokens, and not empty")
    if not all(type(token) is int and 0 <= token < size for token in prompt):
        raise BadRequest(f"prompt must hold tokens in 0..{size - 1}")
    return session_id, request["turn"], prompt, request["max_tokens"]
