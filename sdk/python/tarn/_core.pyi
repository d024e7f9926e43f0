"""The C++ core of the package tarn."""

from collections.abc import Generator, Sequence
import enum
from typing import Any


class Outcome(enum.Enum):
    """
    What became of a call or of one block. ok, miss, exists, kept_less, conflict: nothing is wrong. unavailable to corrupt: try later. The rest: mend program or credentials.
    """

    ok = 0

    miss = 1

    exists = 2

    kept_less = 3

    conflict = 5

    unavailable = 7

    overloaded = 8

    deadline_exceeded = 9

    cancelled = 10

    corrupt = 11

    invalid_argument = 12

    unauthenticated = 13

    permission_denied = 14

    unsupported = 15

    internal = 16

class Transport(enum.Enum):
    """How bytes may travel to storage servers."""

    automatic = 0

    tcp = 1

    shm = 2

    grpc = 3

    local = 4

class Medium(enum.Enum):
    """What a copy has to be on to count: memory, or flash."""

    memory = 0

    flash = 1

class ClientOptions:
    """
    How to reach a cluster: endpoint (HOST:PORT,...), credentials (a folder), token, transport, timeout_ms, spin_us (microseconds), polling (bool: never sleeps while transfers are under way), in_flight_bytes_max (bytes), hedge_fraction (0 to 1: of the blocks of gets, how many may be asked of a second server when the first is late).
    """

    def __init__(self, **kwargs) -> None: ...

    @property
    def endpoint(self) -> str: ...

    @endpoint.setter
    def endpoint(self, arg: str, /) -> None: ...

    @property
    def credentials(self) -> str: ...

    @credentials.setter
    def credentials(self, arg: str, /) -> None: ...

    @property
    def token(self) -> str: ...

    @token.setter
    def token(self, arg: str, /) -> None: ...

    @property
    def transport(self) -> Transport: ...

    @transport.setter
    def transport(self, arg: Transport, /) -> None: ...

    @property
    def timeout_ms(self) -> int: ...

    @timeout_ms.setter
    def timeout_ms(self, arg: int, /) -> None: ...

    @property
    def spin_us(self) -> int: ...

    @spin_us.setter
    def spin_us(self, arg: int, /) -> None: ...

    @property
    def polling(self) -> bool: ...

    @polling.setter
    def polling(self, arg: bool, /) -> None: ...

    @property
    def in_flight_bytes_max(self) -> int: ...

    @in_flight_bytes_max.setter
    def in_flight_bytes_max(self, arg: int, /) -> None: ...

    @property
    def hedge_fraction(self) -> float: ...

    @hedge_fraction.setter
    def hedge_fraction(self, arg: float, /) -> None: ...

class CallOptions:
    """
    timeout_ms (milliseconds, 0: the client's), copies (1 to 16 failure domains), medium (Medium: of each copy), allow_less (bool), layer_ends (list of int: where each layer ends within a block, in bytes, the last at its size; get_kv alone).
    """

    def __init__(self, **kwargs) -> None: ...

    @property
    def timeout_ms(self) -> int: ...

    @timeout_ms.setter
    def timeout_ms(self, arg: int, /) -> None: ...

    @property
    def copies(self) -> int: ...

    @copies.setter
    def copies(self, arg: int, /) -> None: ...

    @property
    def medium(self) -> Medium: ...

    @medium.setter
    def medium(self, arg: Medium, /) -> None: ...

    @property
    def allow_less(self) -> bool: ...

    @allow_less.setter
    def allow_less(self, arg: bool, /) -> None: ...

    @property
    def layer_ends(self) -> list[int]: ...

    @layer_ends.setter
    def layer_ends(self, arg: Sequence[int], /) -> None: ...

class SpaceSpec:
    """
    One KV geometry; all fields together are its identity. block_tokens in tokens, extent_blocks 1 to 64.
    """

    def __init__(self, **kwargs) -> None: ...

    @property
    def model(self) -> str: ...

    @model.setter
    def model(self, arg: str, /) -> None: ...

    @property
    def revision(self) -> str: ...

    @revision.setter
    def revision(self, arg: str, /) -> None: ...

    @property
    def dtype(self) -> str: ...

    @dtype.setter
    def dtype(self, arg: str, /) -> None: ...

    @property
    def layout(self) -> str: ...

    @layout.setter
    def layout(self, arg: str, /) -> None: ...

    @property
    def block_tokens(self) -> int: ...

    @block_tokens.setter
    def block_tokens(self, arg: int, /) -> None: ...

    @property
    def tensor_parallel(self) -> int: ...

    @tensor_parallel.setter
    def tensor_parallel(self, arg: int, /) -> None: ...

    @property
    def hash_scheme(self) -> str: ...

    @hash_scheme.setter
    def hash_scheme(self, arg: str, /) -> None: ...

    @property
    def hash_seed(self) -> str: ...

    @hash_seed.setter
    def hash_seed(self, arg: str, /) -> None: ...

    @property
    def flat(self) -> bool: ...

    @flat.setter
    def flat(self, arg: bool, /) -> None: ...

    @property
    def extent_blocks(self) -> int: ...

    @extent_blocks.setter
    def extent_blocks(self, arg: int, /) -> None: ...

class Manifest:
    """
    A session as it stands: blocks (list of bytes, in token order), token_ids (list of int), tail (bytes, at most 64 KiB), expires_unix_ms (0: never).
    """

    def __init__(self, **kwargs) -> None: ...

    @property
    def session_id(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def block_count(self) -> int: ...

    @property
    def token_count(self) -> int: ...

    @property
    def token_ids(self) -> list[int]: ...

    @property
    def pinned(self) -> bool: ...

    @property
    def expires_unix_ms(self) -> int: ...

    @property
    def parent(self) -> str: ...

    @property
    def blocks(self) -> list: ...

    @blocks.setter
    def blocks(self, arg: object, /) -> None: ...

    @property
    def tail(self) -> bytes: ...

    @tail.setter
    def tail(self, arg: bytes, /) -> None: ...

class Append:
    """
    What an append adds: blocks (list of bytes), token_count (the new total), token_ids, tail (bytes, at most 64 KiB, replaces the old one).
    """

    def __init__(self, **kwargs) -> None: ...

    @property
    def token_count(self) -> int: ...

    @token_count.setter
    def token_count(self, arg: int, /) -> None: ...

    @property
    def token_ids(self) -> list[int]: ...

    @token_ids.setter
    def token_ids(self, arg: Sequence[int], /) -> None: ...

    @property
    def blocks(self) -> list: ...

    @blocks.setter
    def blocks(self, arg: object, /) -> None: ...

    @property
    def tail(self) -> bytes: ...

    @tail.setter
    def tail(self, arg: bytes, /) -> None: ...

class Truncate:
    """
    What a truncation keeps: block_count, token_count, tail (bytes, at most 64 KiB).
    """

    def __init__(self, **kwargs) -> None: ...

    @property
    def block_count(self) -> int: ...

    @block_count.setter
    def block_count(self, arg: int, /) -> None: ...

    @property
    def token_count(self) -> int: ...

    @token_count.setter
    def token_count(self, arg: int, /) -> None: ...

    @property
    def tail(self) -> bytes: ...

    @tail.setter
    def tail(self, arg: bytes, /) -> None: ...

class WorkerSpec:
    """
    name (1 to 128 bytes), endpoint (opaque to Tarn), capacity (requests at once), prefill_tokens_per_s.
    """

    def __init__(self, **kwargs) -> None: ...

    @property
    def name(self) -> str: ...

    @name.setter
    def name(self, arg: str, /) -> None: ...

    @property
    def endpoint(self) -> str: ...

    @endpoint.setter
    def endpoint(self, arg: str, /) -> None: ...

    @property
    def capacity(self) -> int: ...

    @capacity.setter
    def capacity(self, arg: int, /) -> None: ...

    @property
    def prefill_tokens_per_s(self) -> float: ...

    @prefill_tokens_per_s.setter
    def prefill_tokens_per_s(self, arg: float, /) -> None: ...

class RouteQuery:
    """
    session_id, or hashes (list of bytes) of the prefix; new_tokens; exclude (names of workers that failed).
    """

    def __init__(self, **kwargs) -> None: ...

    @property
    def session_id(self) -> str: ...

    @session_id.setter
    def session_id(self, arg: str, /) -> None: ...

    @property
    def new_tokens(self) -> int: ...

    @new_tokens.setter
    def new_tokens(self, arg: int, /) -> None: ...

    @property
    def exclude(self) -> list[str]: ...

    @exclude.setter
    def exclude(self, arg: Sequence[str], /) -> None: ...

    @property
    def hashes(self) -> list: ...

    @hashes.setter
    def hashes(self, arg: object, /) -> None: ...

class RouteChoice:
    """worker, endpoint, cached_tokens, estimated_fetch_us (microseconds)."""

    def __init__(self, **kwargs) -> None: ...

    @property
    def worker(self) -> str: ...

    @property
    def endpoint(self) -> str: ...

    @property
    def cached_tokens(self) -> int: ...

    @property
    def estimated_fetch_us(self) -> int: ...

class BlockOutcome:
    """
    What became of one item: outcome, bytes (the block's), copies (failure domains), server, message (why, where it is an error).
    """

    def __init__(self, **kwargs) -> None: ...

    @property
    def outcome(self) -> Outcome: ...

    @property
    def bytes(self) -> int: ...

    @property
    def copies(self) -> int: ...

    @property
    def server(self) -> str: ...

    @property
    def message(self) -> str: ...

class MatchRun:
    """
    Blocks first to first + count - 1 of the hashes asked for, at server, in tier; estimated_us (microseconds).
    """

    def __init__(self, **kwargs) -> None: ...

    @property
    def first(self) -> int: ...

    @property
    def count(self) -> int: ...

    @property
    def server(self) -> str: ...

    @property
    def tier(self) -> str: ...

    @property
    def estimated_us(self) -> int: ...

class MatchResult:
    """
    matched (blocks of usable prefix), runs (list of MatchRun), partial (a router is still learning).
    """

    def __init__(self, **kwargs) -> None: ...

    @property
    def matched(self) -> int: ...

    @property
    def runs(self) -> list[MatchRun]: ...

    @property
    def partial(self) -> bool: ...

class ConnectionInfo:
    """
    server, endpoint, transport ("ucx: tcp over lo"), note (why nothing better was taken).
    """

    def __init__(self, **kwargs) -> None: ...

    @property
    def server(self) -> str: ...

    @property
    def endpoint(self) -> str: ...

    @property
    def transport(self) -> str: ...

    @property
    def note(self) -> str: ...

class ClientCounters:
    """
    Since the client was made: blocks_asked_twice (see ClientOptions.hedge_fraction), blocks_from_second (of those, the second server was first).
    """

    def __init__(self, **kwargs) -> None: ...

    @property
    def blocks_asked_twice(self) -> int: ...

    @property
    def blocks_from_second(self) -> int: ...

class Slice:
    """A run of bytes in a Buffer, which it keeps alive."""

    @property
    def size(self) -> int: ...

class Buffer:
    """
    Memory that transfers may use for long, registered once; has the buffer protocol.
    """

    def slice(self, offset: int, size: int) -> Slice:
        """
        Returns a Slice of `size` bytes from `offset`. Raises ValueError past the end.
        """

    def __len__(self) -> int: ...

    @property
    def size(self) -> int: ...

class PutItem:
    """
    One block to keep: hash and parent (bytes of 1 to 32; parent empty for a chain's first), slices (a list of memory, 1 byte to 64 MiB together), shard (int).
    """

    def __init__(self, *, hash: bytes, parent: bytes = ..., slices: object, shard: int = 0) -> None: ...

    @property
    def hash(self) -> bytes: ...

    @property
    def parent(self) -> bytes: ...

    @property
    def slices(self) -> object: ...

    @property
    def shard(self) -> int: ...

class GetItem:
    """
    One block to fetch: hash (bytes of 1 to 32), slices (a list of writable memory, of the block's size together), shard (int).
    """

    def __init__(self, *, hash: bytes, slices: object, shard: int = 0) -> None: ...

    @property
    def hash(self) -> bytes: ...

    @property
    def slices(self) -> object: ...

    @property
    def shard(self) -> int: ...

class ViewItem:
    """
    One block to look at: hash (bytes of 1 to 32), bytes_max (int: the most that the block may have; name its size where you know it), shard (int).
    """

    def __init__(self, *, hash: bytes, bytes_max: int = 67108864, shard: int = 0) -> None: ...

    @property
    def hash(self) -> bytes: ...

    @property
    def bytes_max(self) -> int: ...

    @property
    def shard(self) -> int: ...

class View:
    """
    A block's bytes, to read where they are; has the buffer protocol, so that numpy.frombuffer and memoryview copy nothing. Nobody writes to them until it is released, or its `with` block has ended, and the last memoryview of it is gone.
    """

    def bytes(self) -> object:
        """
        Returns a read-only memoryview of the bytes, empty where there was no such block.
        Raises BufferError once released.
        """

    def is_mapped(self) -> bool:
        """
        Returns True for memory of the server, mapped, which nobody has verified; False for a copy,
        whose checksum was right.
        """

    def verify(self) -> None:
        """
        Reads the bytes, without the GIL, and compares their CRC32C with that of the put.
        Raises Error: corrupt; miss for an empty or released view.
        """

    def release(self) -> None:
        """
        No memoryview can be had from here on; the pin ends with the last that lives.
        Harmless when repeated.
        """

    def __len__(self) -> int: ...

    def __enter__(self) -> object: ...

    def __exit__(self, *args) -> None: ...

class Transfer:
    """
    A running put, get or get_views, which holds the memory that it uses. Its end, or that of its `with` block, cancels what is not done and waits until memory is safe.
    """

    def wait(self, timeout_ms: int = 0) -> None:
        """
        Blocks, without the GIL, until it has ended, or for timeout_ms milliseconds; with 0 until its own deadline ends it, and up to 1.5 s past that where I/O is stuck.
        Raises Error: deadline_exceeded: it has not ended, outcomes are not settled. A miss is no error: look at outcomes().
        """

    def poll(self) -> bool:
        """Returns True when it has ended. Never blocks."""

    def cancel(self) -> None:
        """Asks it to end soon; what is not done becomes cancelled."""

    def fd(self) -> int:
        """
        Returns a file descriptor that is readable once it has ended; valid as long as the Transfer.
        """

    def fileno(self) -> int:
        """fd() under the name that select and event loops call."""

    def wait_layer(self, layer: int, timeout_ms: int = 0) -> None:
        """
        Blocks, without the GIL, until layer `layer` (from 0) has landed, or for timeout_ms milliseconds; with 0 as wait() does.
        Raises Error: deadline_exceeded; invalid_argument: no such layer; the outcome of the block because of which it never lands.
        """

    def outcomes(self) -> list[BlockOutcome]:
        """
        Returns a list of BlockOutcome, one for each item in the order of the call; settled once the transfer has ended.
        """

    def all_ok(self) -> bool:
        """
        Returns True when it has ended and each outcome is ok (puts: or exists).
        """

    def take_view(self, item: int) -> object:
        """
        Of a get_views that has ended: returns the View of the item (int: its place in the call), once.
        It is empty for an item that is not ok, and may outlive the transfer.
        """

    def __enter__(self) -> object: ...

    def __exit__(self, *args) -> None: ...

    def __await__(self) -> Generator[Any, None, Transfer]: ...
    async def layer(self, index: int) -> None: ...

class Session:
    """
    A named, versioned chain of blocks that any worker can resume by its id. May be used by many threads. Through another space than its own, every call raises Error: invalid_argument.
    """

    @property
    def id(self) -> str: ...

    def append(self, expected_version: int, what: Append, options: CallOptions = ...) -> int:
        """
        Appends blocks that were put, by compare-and-swap on the version; never applied twice.
        Returns the new version (int). Raises Error: conflict, miss, invalid_argument, unavailable, deadline_exceeded.
        """

    def resolve(self, options: CallOptions = ...) -> Manifest:
        """
        Returns the Manifest as it stands. Raises Error: miss, invalid_argument (of another space), unavailable, deadline_exceeded.
        """

    def fork(self, new_id: str = '', options: CallOptions = ...) -> Session:
        """
        Returns a new Session with the same blocks; copies no KV. An empty id draws one.
        Raises Error: exists, miss, unavailable, deadline_exceeded.
        """

    def truncate(self, expected_version: int, to: Truncate, options: CallOptions = ...) -> int:
        """
        Keeps the first blocks alone. Returns the new version (int).
        Raises Error: conflict, miss, invalid_argument, unavailable, deadline_exceeded.
        """

    def pin(self, pinned: bool, options: CallOptions = ...) -> None:
        """
        Keeps the session past its TTL, or no longer. Its blocks may still be evicted.
        Raises Error: miss, unavailable, deadline_exceeded.
        """

    def set_ttl(self, ttl_ms: int, options: CallOptions = ...) -> None:
        """
        Ends the session ttl_ms milliseconds from now; 0: never.
        Raises Error: miss, invalid_argument, unavailable, deadline_exceeded.
        """

    def remove(self, options: CallOptions = ...) -> None:
        """
        Forgets the session; its blocks stay. Raises Error: unavailable, deadline_exceeded.
        """

    async def async_append(self, *args: Any, **kwargs: Any) -> int: ...
    async def async_resolve(self, *args: Any, **kwargs: Any) -> Manifest: ...
    async def async_fork(self, *args: Any, **kwargs: Any) -> Session: ...
    async def async_truncate(self, *args: Any, **kwargs: Any) -> int: ...
    async def async_pin(self, *args: Any, **kwargs: Any) -> None: ...
    async def async_set_ttl(self, *args: Any, **kwargs: Any) -> None: ...
    async def async_remove(self, *args: Any, **kwargs: Any) -> None: ...

class Space:
    """One KV geometry of the caller's tenant. May be used by many threads."""

    @property
    def spec(self) -> SpaceSpec: ...

    @property
    def id(self) -> str: ...

    def put_kv(self, items: object, options: CallOptions = ...) -> object:
        """
        Starts keeping a list of PutItem; returns a Transfer that holds the memory until it has ended.
        Outcome of each: ok, exists, kept_less; unavailable, overloaded, deadline_exceeded, cancelled, permission_denied, invalid_argument.
        Raises TypeError, BufferError for memory that cannot be used.
        """

    def get_kv(self, items: object, options: CallOptions = ...) -> object:
        """
        Starts fetching a list of GetItem, in this order; returns a Transfer.
        Outcome of each: ok, miss, corrupt; unavailable, overloaded, deadline_exceeded, cancelled, invalid_argument: then the memory holds anything.
        Raises TypeError, BufferError for memory that is not contiguous or not writable.
        """

    def get_views(self, items: object, options: CallOptions = ...) -> object:
        """
        Starts a get of a list of ViewItem without a copy where there is a way to do so (View.is_mapped); returns a Transfer,
        whose take_view() gives the views. Outcome of each as of get_kv; overloaded where the client holds 4,096 views.
        """

    def exists(self, hashes: object, options: CallOptions = ...) -> list[bool]:
        """
        Asks the owners of up to 8,192 hashes (bytes of 1 to 32): certain when they answer. Returns a list of bool, one for each.
        Raises Error: invalid_argument, unavailable, deadline_exceeded.
        """

    def match(self, hashes: object, options: CallOptions = ...) -> MatchResult:
        """
        Asks a router for the longest usable prefix of a chain of up to 8,192 hashes. Returns a MatchResult;
        it may lag an acknowledged put by 100 ms. Raises Error: invalid_argument, unavailable, deadline_exceeded.
        """

    def create_session(self, id: str = '', ttl_ms: int = 0, options: CallOptions = ...) -> Session:
        """
        Returns a new Session; an empty id draws one. ttl_ms in milliseconds, 0: never ends.
        Raises Error: exists, invalid_argument, unavailable, deadline_exceeded.
        """

    def open_session(self, id: str) -> Session:
        """
        Returns the Session of this id and asks nobody: one that is not there, or is of another space, shows with resolve().
        """

    def list_sessions(self, prefix: str = '', options: CallOptions = ...) -> list[Manifest]:
        """
        Returns a list of Manifest, in order of id, without blocks, tokens and tail.
        Raises Error: unavailable, deadline_exceeded.
        """

    async def async_exists(self, *args: Any, **kwargs: Any) -> list[bool]: ...
    async def async_match(self, *args: Any, **kwargs: Any) -> MatchResult: ...
    async def async_create_session(self, *args: Any, **kwargs: Any) -> Session: ...
    async def async_list_sessions(self, *args: Any, **kwargs: Any) -> list[Manifest]: ...

class Worker:
    """
    A registered GPU worker: beats in the background until it is destroyed, or its `with` block ends; silence is its death.
    """

    def set_load(self, running: int, queued: int) -> None:
        """What the next beat says: requests that run, and that wait."""

    def set_draining(self, draining: bool) -> None:
        """True: routers send it nothing new."""

    def should_drain(self) -> bool:
        """Returns True when an operator has asked it to finish and leave."""

    def connected(self) -> bool:
        """Returns True while its last beat is answered."""

    def __enter__(self) -> object: ...

    def __exit__(self, *args) -> None: ...

class Hasher:
    """Prefix hashes of token blocks, as the engines compute them."""

    @staticmethod
    def open(scheme: str, seed: str, block_tokens: int) -> Hasher:
        """
        scheme: sha256_cbor (vLLM; seed is PYTHONHASHSEED) or sha256_u32le (SGLang; takes no seed).
        Raises Error: invalid_argument.
        """

    def hash(self, tokens: Sequence[int], extra: Sequence[str] = []) -> list:
        """
        Returns a list of bytes, one hash of 32 for each full block of `tokens` (ints below 2**32).
        extra: the adapter's name, then the cache salt; empty where there is none.
        """

class Client:
    """
    The way to one cluster; ends with the last handle that came from it. May be used by many threads, not by a child made by os.fork().
    """

    @staticmethod
    def connect(options: ClientOptions = ...) -> Client:
        """
        Proves who it is to a router; returns a Client.
        Raises Error: unavailable, unauthenticated, invalid_argument, unsupported (in a forked child).
        """

    def open_space(self, spec: SpaceSpec, options: CallOptions = ...) -> Space:
        """
        Registers the space of a SpaceSpec if it is new; returns a Space.
        Raises Error: invalid_argument, unavailable, permission_denied.
        """

    def allocate(self, size: int) -> Buffer:
        """
        Returns a Buffer of `size` zeroed bytes. Raises Error: invalid_argument, overloaded.
        """

    def register_memory(self, memory: object) -> object:
        """
        Returns a Buffer over writable, C-contiguous memory, which it keeps alive and of its size.
        Raises BufferError, TypeError; Error: invalid_argument.
        """

    def register_worker(self, space: Space, spec: WorkerSpec) -> Worker:
        """
        Registers a WorkerSpec and waits for the first answer; returns a Worker.
        Raises Error: invalid_argument, exists, unavailable, deadline_exceeded.
        """

    def route(self, space: Space, query: RouteQuery, options: CallOptions = ...) -> RouteChoice:
        """
        Which worker should serve this RouteQuery; returns a RouteChoice.
        Raises Error: unavailable (no worker is alive).
        """

    def connections(self) -> list[ConnectionInfo]:
        """
        Returns a list of ConnectionInfo, one for each storage server that it has talked to.
        """

    def counters(self) -> ClientCounters:
        """
        Returns ClientCounters: what this client has done since it was made.
        Raises nothing.
        """

    async def async_open_space(self, *args: Any, **kwargs: Any) -> Space: ...
    async def async_register_worker(self, *args: Any, **kwargs: Any) -> Worker: ...
    async def async_route(self, *args: Any, **kwargs: Any) -> RouteChoice: ...

class LmcacheConnector:
    """
    What LMCache asks of a native plugin; see tarn.adapters.lmcache. May be used by many threads.
    """

    def __init__(self, client: ClientOptions, space: SpaceSpec, call: CallOptions) -> None: ...

    def event_fd(self) -> int:
        """
        Returns a descriptor that is readable when drain_completions() has something.
        """

    def submit_batch_set(self, keys: Sequence[str], buffers: object) -> int:
        """
        Starts keeping one buffer for each key (str); returns the batch's id.
        Raises TypeError, BufferError, ValueError for memory that cannot be used.
        """

    def submit_batch_get(self, keys: Sequence[str], buffers: object) -> int:
        """
        Starts filling one buffer for each key, of the size that was kept; returns the id.
        Raises TypeError, BufferError, ValueError for memory that cannot be used.
        """

    def submit_batch_exists(self, keys: Sequence[str]) -> int:
        """Starts asking which keys are there; returns the batch's id."""

    def drain_completions(self) -> list:
        """
        Returns a list of (id, ok, error, list of bool) of what has ended since the last call.
        """

    def close(self) -> None:
        """Ends what waits, awaits what is under way. May be repeated."""

def version() -> str:
    """
    Returns the SDK's version, and the UCX it runs on: "0.1.0 (UCX 1.13.1)".
    """
