"""The rules of CONTRIBUTING.md that a machine can judge; each is a generator of findings."""

import dataclasses
import pathlib
import re

from . import layers

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = {".h": 400, ".cc": 700, ".py": 700}
PARAMETERS_MAX = 4
PUBLIC_METHODS_MAX = 15
COLUMNS_MAX = 100
README_LINES_MAX = 120
README_FIRST_COMMAND_LINE_MAX = 18
# Ratios of the whole tree.
TEST_LINES_PER_CODE_LINE_MIN = 0.8
ASSERTS_PER_KLOC_MIN = 8.0


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message}"


def includes(tree):
    for source in tree:
        for line, message in layers.check(source):
            yield Finding(source.path, line, message)
    for path, line, message in layers.cycles(tree):
        yield Finding(path, line, message)


def sizes(tree):
    for source in tree:
        limit = FILE_LINES_MAX.get(source.suffix)
        if limit is None:
            continue
        if len(source.lines) > limit:
            yield Finding(source.path, limit + 1, f"{len(source.lines)} lines; {limit} at most")
        for function in source.functions:
            if function.lines > FUNCTION_LINES_MAX:
                yield Finding(
                    source.path,
                    function.first_line,
                    f"{function.lines} lines of {function.name}; {FUNCTION_LINES_MAX} at most",
                )


# What a C library calls back takes the parameters of the library's own callback type, however many
# they are: no struct of ours can stand for them. Such a function is handed to the library by name
# in the same file, and the comment above it names the function of the library that takes it.
C_LIBRARY_CALL = r"\b(?:ucp|ucs|uct|ucm)_\w+"


def is_c_callback(source, declared):
    handed = rf"({C_LIBRARY_CALL})\s*\((?:[^;{{}}]*[,&\s])?{re.escape(declared.name)}\s*[,)]"
    takers = re.findall(handed, source.code)
    comment = source.comment_above(declared.line)
    return any(re.search(rf"\b{taker}\b", comment) for taker in takers)


def parameters(tree):
    for source in tree:
        if not source.is_cpp or source.is_test:
            continue
        for declared in source.declarations:
            if declared.parameters > PARAMETERS_MAX and not is_c_callback(source, declared):
                yield Finding(
                    source.path,
                    declared.line,
                    f"{declared.name} has {declared.parameters} parameters; "
                    f"from {PARAMETERS_MAX + 1} on they are an options struct",
                )


def public_methods(tree):
    for source in tree:
        if source.suffix != ".h" or source.is_test:
            continue
        methods = {}
        for declared in source.declarations:
            if is_method(declared):
                methods.setdefault(declared.owner, []).append(declared)
        for owner, public in methods.items():
            if len({method.name for method in public}) > PUBLIC_METHODS_MAX:
                yield Finding(
                    source.path,
                    public[0].line,
                    f"{owner} has {len(public)} public methods; {PUBLIC_METHODS_MAX} at most",
                )


def is_method(declared):
    special = declared.name.startswith(("~", "operator")) or declared.name == declared.owner
    return declared.owner and declared.public and not special


# Where gRPC is called: its reactors end their own life, and its deadlines are points of real time.
GRPC_CODE = r"(\w+/)*rpc/|router/member/|common/fabric/grpc_|sdk/cpp/src/rpc_"

# (pattern in code without comments and literals, what to do instead, paths where it is allowed)
BANNED = [
    (r"\b(?:s?rand|random_shuffle)\s*\(", "seed a std::mt19937_64", None),
    (r"\b(?:strcpy|strcat|sprintf|vsprintf|strtok)\s*\(", "use std::string or snprintf", None),
    (r"(?<![.>\w])(?:std::)?(?:system|popen)\s*\(", "no shell", None),
    (r"\.\s*detach\s*\(\s*\)", "a thread is joined by its owner", None),
    (
        r"\b(?:sleep_for|sleep_until|usleep|nanosleep)\s*\(|(?<!\w)::sleep\s*\(|\bsleep\s*\(\s*\d",
        "wait on a condition, or take a Clock",
        r"common/base/|benchmarks/|sdk/cpp/examples/|.*tests/",
    ),
    (
        r"\b(?:steady_clock|system_clock|high_resolution_clock)\s*::\s*now\b",
        "take a Clock",
        GRPC_CODE + r"|common/base/|benchmarks/|sdk/cpp/examples/|.*tests/",
    ),
    (r"\busing\s+namespace\s+std\b", "name what you use", None),
    (r"\bstd::endl\b", "write '\\n'", None),
    (r"\bvolatile\b", "use std::atomic", None),
    (
        r"\bstd::(?:\w+_)?mutex\b|\bstd::condition_variable(?:_any)?\b",
        "use Mutex and CondVar, and name what it guards with TARN_GUARDED_BY",
        r"common/base/mutex\.h$|router/index/fair_lock\.h$|benchmarks/load/|.*tests/",
    ),
    (
        r"\b(?:malloc|calloc|realloc)\s*\(|(?<![\w>])(?:std)?::free\s*\(",
        "own memory by a container or unique_ptr",
        None,
    ),
    (
        r"(?<![.>\w])(?:std::)?_?(?:quick_)?exit\s*\(",
        "only main ends the process",
        r".*main\.cc$|common/base/fault_point\.cc$|.*tests/",
    ),
    (r"\bthrow\b(?!\s*\()", "return a Status", r"sdk/python/|.*tests/"),
    (
        r"\bcatch\s*\(\s*\.\.\.\s*\)",
        "name the exception of the library that throws it",
        r"sdk/python/|.*tests/",
    ),
    (r"\b(?:class|struct)\s+\w*(?:Manager|Helper|Utils?|Handler)\b", "name what it is", None),
    (r"\basm\b|\b__asm__\b", "use an intrinsic", r".*tests/"),
]
NEW = re.compile(r"(?<!operator )\bnew\b(?!\s*\()")
DELETE = re.compile(r"(?<!operator )(?<!=)\s\bdelete\b(?:\s*\[\s*\])?\s+[^;\s]")


def banned(tree):
    for source in tree:
        if not source.is_cpp:
            continue
        for pattern, instead, allowed in BANNED:
            if allowed and re.match(allowed, source.path):
                continue
            for match in re.finditer(pattern, source.code, re.M):
                yield Finding(
                    source.path,
                    source.line_at(match.start()),
                    f"`{match.group().strip()}`: {instead}",
                )
        yield from raw_new(source)


def raw_new(source):
    if re.match(GRPC_CODE, source.path) or source.is_test:
        return
    for match in NEW.finditer(source.code):
        start = max(source.code.rfind(c, 0, match.start()) for c in ";{}") + 1
        if not re.search(r"_ptr<|\.reset\(", source.code[start : match.start()]):
            yield Finding(
                source.path,
                source.line_at(match.start()),
                "`new`: make_unique, or unique_ptr<T>(new T) where the constructor is private",
            )
    for match in DELETE.finditer(source.code):
        yield Finding(
            source.path, source.line_at(match.end() - 1), "`delete`: own it by unique_ptr"
        )


UNFINISHED = re.compile(
    r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|(?i:\bnot (yet )?implemente[d]\b)"
)
BANNER = re.compile(r"^\s*(//|#|/\*)\s*[-=*#/~_]{5,}")
# An example of use is indented by more than one space.
CODE_IN_COMMENT = re.compile(r"^\s*// ?(?! )[\w:.>*&<\[\]\- ]+(\(.*\)|=[^=].*);\s*$")
# Of somebody's machine, where no reader can look.
FOREIGN_PATH = re.compile(r"(?<![\w.:*}])/(home|work|Users|mnt)/\w")
PAGE = re.compile(r"[\w-]+\.md\b")


def names_elsewhere(line, pages):
    """Something outside of this repository that the line names, or None."""
    foreign = FOREIGN_PATH.search(line)
    if foreign:
        return foreign.group()
    return next((page for page in PAGE.findall(line) if page not in pages), None)


def words(tree):
    pages = {pathlib.PurePosixPath(source.path).name for source in tree if source.suffix == ".md"}
    for source in tree:
        for number, line in enumerate(source.lines, 1):
            if source.suffix in (".cc", ".h", ".py", ".proto", ".sh", ".cmake"):
                match = UNFINISHED.search(line)
                if match:
                    yield Finding(
                        source.path, number, f"`{match.group()}`: finish it, or file an issue"
                    )
                if BANNER.match(line):
                    yield Finding(source.path, number, "banner comment")
            if source.is_cpp and CODE_IN_COMMENT.match(line):
                yield Finding(source.path, number, "code in a comment: delete it")
            elsewhere = None if source.is_test else names_elsewhere(line, pages)
            if elsewhere:
                yield Finding(source.path, number, f"`{elsewhere}` is not in this repository")
            if source.suffix == ".py" and len(line) > COLUMNS_MAX:
                yield Finding(source.path, number, f"{len(line)} columns; {COLUMNS_MAX} at most")


def headers(tree):
    paths = {source.path for source in tree}
    for source in tree:
        name = source.path.rpartition("/")[2]
        if source.suffix in (".cc", ".h", ".py") and not re.fullmatch(
            r"[a-z0-9_]+\.(cc|h|py)", name
        ):
            yield Finding(source.path, 1, "file names are snake_case")
        if source.suffix == ".h" and "#pragma once" not in source.text:
            yield Finding(source.path, 1, "no #pragma once")
        own = source.path[:-3] + ".h"
        if (
            source.suffix == ".cc"
            and own in paths
            and source.includes
            and source.includes[0][1] != own
        ):
            if not own.endswith(source.includes[0][1]):
                yield Finding(source.path, source.includes[0][0], f"{own} comes first")


FAULT_POINT = re.compile(r'TARN_FAULT_POINT\(\s*"([^"]+)"')
FAILURES = "docs/FAILURES.md"


def fault_points(tree):
    documented = next((s.text for s in tree if s.path == FAILURES), "")
    tests = "\n".join(
        s.text for s in tree if s.is_test and s.path.endswith((".cc", ".py", ".h", ".toml"))
    )
    for source in tree:
        if not source.is_cpp or source.is_test:
            continue
        for match in FAULT_POINT.finditer(source.uncommented):
            name, line = match.group(1), source.line_at(match.start())
            if f"`{name}`" not in documented:
                yield Finding(source.path, line, f"fault point {name} has no row in {FAILURES}")
            if not re.search(rf"""["'=,]{re.escape(name)}["'=,:]""", tests):
                yield Finding(source.path, line, f"no test arms the fault point {name}")


def readme(tree):
    source = next((s for s in tree if s.path == "README.md"), None)
    if source is None:
        return
    if len(source.lines) > README_LINES_MAX:
        yield Finding(
            source.path,
            README_LINES_MAX + 1,
            f"{len(source.lines)} lines; {README_LINES_MAX} at most",
        )
    top = source.lines[:README_FIRST_COMMAND_LINE_MAX]
    if not any(re.match(r"\s*(\$ |\./scripts/)", line) for line in top):
        yield Finding(
            source.path, 1, f"no command in the first {README_FIRST_COMMAND_LINE_MAX} lines"
        )


def ratios(counts):
    if counts.test_ratio < TEST_LINES_PER_CODE_LINE_MIN:
        yield Finding(
            "tests",
            1,
            f"{counts.test_ratio:.2f} lines of tests per line of code; "
            f"{TEST_LINES_PER_CODE_LINE_MIN} at least",
        )
    if counts.asserts_per_kloc < ASSERTS_PER_KLOC_MIN:
        yield Finding(
            "common",
            1,
            f"{counts.asserts_per_kloc:.1f} TARN_CHECK and TARN_DCHECK per 1,000 lines; "
            f"{ASSERTS_PER_KLOC_MIN} at least",
        )


RULES = (
    *(includes, sizes, parameters, public_methods, banned, words, headers, fault_points, readme),
)


def all_findings(tree):
    """What each file may be blamed for; ratios() judges the whole."""
    return sorted({finding for rule in RULES for finding in rule(tree)})
