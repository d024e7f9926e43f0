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
from tarn._errors import Error
from tarn._layers import layer as _layer

Transfer.layer = _layer

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
