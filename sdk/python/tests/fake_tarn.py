"""A `tarn` package in memory, with what the examples use of it, so that they are tested without."""

import dataclasses
import enum
import hashlib
import itertools

Outcome = enum.Enum(
    "Outcome",
    "ok miss exists kept_less conflict unavailable overloaded deadline_exceeded cancelled corrupt "
    "invalid_argument",
)


class Error(Exception):
    def __init__(self, outcome, message=""):
        super().__init__(message)
        self.outcome = outcome


def record(kind, /, **defaults):
    """A dataclass with keyword fields; a default that is a list is copied."""
    fields = []
    for field, value in defaults.items():
        if isinstance(value, list):
            value = dataclasses.field(default_factory=list)
        fields.append((field, object, value))
    return dataclasses.make_dataclass(kind, fields, kw_only=True)


SpaceSpec = record(
    "SpaceSpec",
    model="",
    revision="",
    dtype="",
    layout="",
    block_tokens=16,
    hash_scheme="",
    hash_seed="",
)
CallOptions = record(
    "CallOptions", timeout_ms=0, copies=1, medium="memory", allow_less=False, layer_ends=[]
)
ClientOptions = record("ClientOptions", endpoint="", credentials="")
PutItem = record("PutItem", hash=b"", parent=b"", slices=[])
GetItem = record("GetItem", hash=b"", slices=[])
BlockOutcome = record("BlockOutcome", outcome=None, server="", message="")
Append = record("Append", blocks=[], token_count=0, token_ids=[], tail=b"")
Manifest = record("Manifest", version=1, blocks=[], token_ids=[], token_count=0, tail=b"")
WorkerSpec = record("WorkerSpec", name="", endpoint="", capacity=1, prefill_tokens_per_s=0.0)
RouteQuery = record("RouteQuery", session_id="", exclude=[])
RouteChoice = record("RouteChoice", worker="", endpoint="")


class Hasher:
    @staticmethod
    def open(scheme, seed, block_tokens):
        hasher = Hasher()
        hasher.seed, hasher.block_tokens = f"{scheme}/{seed}".encode(), block_tokens
        return hasher

    def hash(self, tokens):
        hashes, parent = [], self.seed
        for begin in range(0, len(tokens) - self.block_tokens + 1, self.block_tokens):
            block = ",".join(map(str, tokens[begin : begin + self.block_tokens]))
            parent = hashlib.sha256(parent + block.encode()).digest()
            hashes.append(parent)
        return hashes


class Transfer:
    def __init__(self, outcomes):
        self._outcomes, self._waited = outcomes, False

    def wait(self, timeout_ms=0):
        self._waited = True

    def wait_layer(self, layer, timeout_ms=0):
        for outcome in self._outcomes:
            if outcome.outcome is not Outcome.ok:
                raise Error(outcome.outcome, f"layer {layer} never lands")

    def outcomes(self):
        assert self._waited
        return self._outcomes

    def all_ok(self):
        return all(o.outcome in (Outcome.ok, Outcome.exists) for o in self.outcomes())


class Client:
    """Also the whole cluster: `blocks` by hash, `manifests` by id, `fail` is raised when set."""

    def __init__(self):
        self.blocks, self.manifests, self.workers = {}, {}, {}
        self.ids = (f"session-{i}" for i in itertools.count(1))
        self.fail = None
        self.put_outcome = Outcome.ok

    last = None

    @staticmethod
    def connect(options):
        assert options.endpoint
        Client.last = Client()
        return Client.last

    def open_space(self, spec):
        return Space(self, spec)

    def register_worker(self, space, spec):
        return self.workers.setdefault(spec.name, Worker(spec))

    def route(self, space, query):
        for name, worker in self.workers.items():
            if name not in query.exclude:
                return RouteChoice(worker=name, endpoint=worker.spec.endpoint)
        raise Error(Outcome.unavailable, "no worker is alive")


class Worker:
    def __init__(self, spec):
        self.spec, self.loads = spec, []

    def set_load(self, running, queued):
        self.loads.append((running, queued))


class Space:
    def __init__(self, client, spec):
        self.client, self.spec = client, spec

    def put_kv(self, items, options):
        outcomes, parents = [], {b"", *self.client.blocks}
        for item in items:
            assert item.parent in parents, "a block before its parent"
            parents.add(item.hash)
            assert options.copies == 2
            if self.client.put_outcome is Outcome.ok:
                self.client.blocks[item.hash] = b"".join(bytes(s) for s in item.slices)
            outcomes.append(BlockOutcome(outcome=self.client.put_outcome, message="as told"))
        return Transfer(outcomes)

    def get_kv(self, items, options=None):
        outcomes = []
        for item in items:
            block = self.client.blocks.get(item.hash)
            if options is not None:
                assert options.layer_ends[-1] == len(memoryview(item.slices[0]).cast("B"))
            if block is not None:
                memoryview(item.slices[0]).cast("B")[:] = block
            found = Outcome.miss if block is None else Outcome.ok
            outcomes.append(BlockOutcome(outcome=found, server="server-1"))
        return Transfer(outcomes)

    def create_session(self):
        session = Session(self.client, next(self.client.ids))
        self.client.manifests[session.id] = Manifest()
        return session

    def open_session(self, session_id):
        return Session(self.client, session_id)


class Session:
    def __init__(self, client, session_id):
        self.client, self.id = client, session_id

    def resolve(self):
        if self.client.fail:
            raise self.client.fail
        if self.id not in self.client.manifests:
            raise Error(Outcome.miss, f"no session {self.id}")
        return self.client.manifests[self.id]

    def append(self, expected_version, what):
        old = self.resolve()
        if old.version != expected_version:
            raise Error(Outcome.conflict, f"version is {old.version}")
        assert all(h in self.client.blocks for h in what.blocks), "a block that was not put"
        self.client.manifests[self.id] = Manifest(
            version=old.version + 1,
            blocks=old.blocks + what.blocks,
            token_ids=old.token_ids + what.token_ids,
            token_count=what.token_count,
            tail=what.tail,
        )
        return old.version + 1

    def fork(self):
        forked = Session(self.client, next(self.client.ids))
        self.client.manifests[forked.id] = dataclasses.replace(self.resolve(), version=1)
        return forked
