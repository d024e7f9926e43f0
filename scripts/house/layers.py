"""Who may include whom, and which folders may see which library. docs/ARCHITECTURE.md says why."""

import re

# Folders of our own, from the ground up; a file may include its own level and below. Tests may
# include anything.
LEVELS = [
    ("common/base/", 0),
    ("proto/", 1),
    ("common/fabric/", 2),
    ("common/rpc/", 2),
    ("common/", 1),
    ("server/", 3),
    ("router/", 3),
    ("sdk/", 3),
    ("cli/", 4),
    ("benchmarks/", 4),
]
# Parts of one level that never see each other.
APART = ("server", "router", "sdk")

PUBLIC_HEADER = re.compile(r"(^|/)tarn/tarn\.h$")
PUBLIC_PART = re.compile(r"(^|/)tarn/\w+\.h$")

GRPC_FOLDERS = (
    r"common/rpc/|(server|router|cli|benchmarks)/([\w/]+/)?rpc/|router/member/"
    r"|sdk/cpp/src/rpc_|common/fabric/grpc_"
)
# (library, its headers, where they may be included)
LIBRARIES = [
    ("RocksDB", r"rocksdb/", r"\w+/index/|server/session/"),
    ("gRPC", r"(grpcpp|grpc|google/protobuf)/|.*\.grpc\.pb\.h$", GRPC_FOLDERS),
    # Plain messages, without services, are also what slot logs and the config are kept in.
    (
        "generated protos",
        r".*\.pb\.h$",
        GRPC_FOLDERS + r"|server/session/|router/(cluster|session|pool)/",
    ),
    ("UCX", r"(ucp|ucs|uct|ucm)/", r"common/fabric/ucx_|benchmarks/baseline/"),
    ("OpenSSL", r"openssl/", r"common/auth/"),
    ("liburing", r"liburing", r"server/io/"),
    ("libcurl", r"curl/", r"server/object/s3/"),
    ("CUDA", r"cuda", r"common/memory/cuda_"),
    ("spdlog", r"(spdlog|fmt)/", r"common/base/log"),
    ("prometheus-cpp", r"prometheus/", r"common/metrics/"),
    ("toml++", r"toml\+\+/", r"common/config/"),
    ("nanobind", r"nanobind/", r"sdk/python/"),
]


def level(path):
    return next((rank for prefix, rank in LEVELS if path.startswith(prefix)), None)


def check(source):
    """Yields (line, message) for each #include that breaks a rule."""
    if source.is_test or not source.is_cpp:
        return
    own_level = level(source.path)
    for line, target, angled in source.includes:
        message = library_message(source.path, target)
        if not angled and not message:
            message = direction_message(source.path, own_level, target)
        if message:
            yield line, message


def library_message(path, target):
    for name, headers, allowed in LIBRARIES:
        if re.match(headers, target) and not re.match(allowed, path):
            return f"{name} headers have no place here; they may be included in {allowed}"
    return None


def direction_message(path, own_level, target):
    if PUBLIC_HEADER.search(target):
        return None
    if PUBLIC_PART.search(target) and not path.startswith("sdk/cpp/include/"):
        return "include tarn/tarn.h, which brings its parts"
    if path.startswith("sdk/cpp/include/") and PUBLIC_PART.search(target):
        return None
    if path.startswith("sdk/cpp/include/"):
        return "the public header includes the standard library only"
    if path.startswith("benchmarks/load/") and not target.startswith("benchmarks/"):
        return "benchmarks/load uses the public header only"
    target_level = level(target)
    if target.endswith(".pb.h") or own_level is None or target_level is None:
        return None
    if target_level > own_level:
        return f"{target} is above this folder"
    part, other = path.split("/")[0], target.split("/")[0]
    if part != other and part in APART and other in APART:
        return f"{part} and {other} never include each other"
    return None


def cycles(sources):
    """Yields (path, line, message) where two folders include each other, also around a corner."""
    edges = {}
    for source in sources:
        if source.is_test or not source.is_cpp or level(source.path) is None:
            continue
        folder = folder_of(source.path)
        for line, target, angled in source.includes:
            other = folder_of(target)
            if not angled and level(target) is not None and other not in (folder, ""):
                edges.setdefault(folder, {}).setdefault(other, (source.path, line))
    for folder in sorted(edges):
        for other, (path, line) in sorted(edges[folder].items()):
            if reaches(edges, other, folder):
                yield path, line, f"{folder} and {other} include each other"


def folder_of(path):
    return path.rpartition("/")[0]


def reaches(edges, start, goal):
    seen, todo = set(), [start]
    while todo:
        folder = todo.pop()
        if folder == goal:
            return True
        if folder not in seen:
            seen.add(folder)
            todo.extend(edges.get(folder, ()))
    return False
