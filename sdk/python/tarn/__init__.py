"""Tarn: put the KV cache of a conversation away, get it back on any GPU.

Mirrors the C++ header `tarn/tarn.h` name for name. Sizes are bytes, times are milliseconds
unless a name says otherwise.
"""

from tarn._core import (
    Append,
    BlockOutcome,
    Buffer,
    CallOptions,
    Client,
    ClientCounters,
    ClientOptions,
    ConnectionInfo,
    GetItem,
    Hasher,
    Manifest,
    MatchResult,
    MatchRun,
    Medium,
    Outcome,
    PutItem,
    RouteChoice,
    RouteQuery,
    Session,
    Slice,
    Space,
    SpaceSpec,
    Transfer,
    Transport,
    Truncate,
    View,
    ViewItem,
    Worker,
    WorkerSpec,
    version,
)
from tarn._await import awaiting as _awaiting
from tarn._await import in_thread as _in_thread
from tarn._errors import Error
from tarn._layers import layer as _layer

Transfer.layer = _layer
Transfer.__await__ = _awaiting
for _type, _names in (
    (Client, ("open_space", "register_worker", "route")),
    (Space, ("exists", "match", "create_session", "list_sessions")),
    (Session, ("append", "resolve", "fork", "truncate", "pin", "set_ttl", "remove")),
):
    for _name in _names:
        setattr(_type, f"async_{_name}", _in_thread(getattr(_type, _name)))

__all__ = [
    "Append",
    "BlockOutcome",
    "Buffer",
    "CallOptions",
    "Client",
    "ClientCounters",
    "ClientOptions",
    "ConnectionInfo",
    "Error",
    "GetItem",
    "Hasher",
    "Manifest",
    "MatchResult",
    "MatchRun",
    "Medium",
    "Outcome",
    "PutItem",
    "RouteChoice",
    "RouteQuery",
    "Session",
    "Slice",
    "Space",
    "SpaceSpec",
    "Transfer",
    "Transport",
    "Truncate",
    "View",
    "ViewItem",
    "Worker",
    "WorkerSpec",
    "version",
]
