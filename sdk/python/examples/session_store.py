"""What the inference server needs from a store of sessions: one small seam, implemented over Tarn.

The server keeps nothing between requests. A turn begins with `resume`, which brings a session's
tokens and as many blocks of KV as the store still has, and goes on with a `save` whenever blocks
became full.
"""

import dataclasses
import json


class NoSuchSession(Exception):
    """There is no session of that id, or it has expired."""


class StoreUnavailable(Exception):
    """The store could not do it now; nothing is known to be wrong, so a later try may succeed."""


class StaleSession(Exception):
    """Another worker appended to the session since it was resumed: it has the session now."""


class FetchFailed(Exception):
    """Blocks that were on their way did not all arrive; those that did are the fetch's `usable`."""


@dataclasses.dataclass
class SessionState:
    """A session as one worker sees it.

    `tokens` are the ids of all tokens so far, those of the partial block included. The session's
    manifest has their first `saved_blocks` blocks. `turn` is the last turn that was begun, 0 before
    the first, and `turn_start` the count of tokens before it.
    """

    session_id: str
    version: int = 0
    tokens: list = dataclasses.field(default_factory=list)
    saved_blocks: int = 0
    turn: int = 0
    turn_start: int = 0

    def encode_tail(self, block_tokens):
        """The tail blob: what the manifest's full blocks do not say, as JSON."""
        tail = {
            "tokens": self.tokens[self.saved_blocks * block_tokens :],
            "turn": self.turn,
            "turn_start": self.turn_start,
        }
        return json.dumps(tail, separators=(",", ":")).encode()

    def decode_tail(self, blob):
        """Takes a tail blob in; `tokens` must be those of the full blocks. Empty: a new session."""
        if not blob:
            return
        tail = json.loads(blob)
        self.tokens.extend(tail["tokens"])
        self.turn, self.turn_start = tail["turn"], tail["turn_start"]


@dataclasses.dataclass
class Resumed:
    """What `resume` found: the state and its usable prefix of blocks.

    `blocks` are buffers of one whole block each, from block 0 up to the first one missing;
    `sources` counts them by the server they came from; `fetch_ms` is the time that it all took.
    A store that hands out layers as they land gives a `fetch` instead, and no blocks yet: its
    `count` blocks are on their way, `arrive(layer)` waits for a layer of all of them and returns
    it, [count, 2, kv_heads, block_tokens, head_dim], or raises FetchFailed; `usable()` waits for
    the end and returns blocks and sources as above.
    """

    state: SessionState
    blocks: list
    sources: dict
    fetch_ms: float
    fetch: object = None


class SessionStore:
    """The seam. One-thread: the server calls it under its lock."""

    def create(self):
        """Makes an empty session. Returns: its id."""
        raise NotImplementedError

    def fork(self, session_id):
        """Makes a session that goes on from `session_id`; copies no KV. Returns: its id."""
        raise NotImplementedError

    def resume(self, session_id):
        """Brings a session back from its id alone.

        A block that is gone is no error, the usable prefix ends before it. Returns: Resumed.
        Raises NoSuchSession, StoreUnavailable.
        """
        raise NotImplementedError

    def save(self, state, blocks):
        """Stores `blocks`, then appends them and a new tail if the session's version is unchanged.

        `blocks` are the full blocks that follow `state.saved_blocks`, as float32 arrays; without
        any, only the tail is renewed. Changes `state.version` and `state.saved_blocks`. When it
        returns, any other worker can resume from here. Raises StaleSession, StoreUnavailable.
        """
        raise NotImplementedError

    def put_again(self, state, first, blocks):
        """Stores `blocks`, from block `first` on, that the session names but the store had lost.

        Raises StoreUnavailable.
        """
        raise NotImplementedError
