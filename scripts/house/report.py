"""Counts of the tree, the numbers that docs and reviews quote: scripts/tidy --report."""

import dataclasses
import re

KINDS = ("code", "tests", "benchmarks")
SUFFIXES = (".cc", ".h", ".py")
ASSERT = re.compile(r"\bTARN_D?CHECK\s*\(")


@dataclasses.dataclass
class Counts:
    """Physical lines by kind and suffix; tests are what lies in a tests/ folder."""

    lines: dict
    files: dict
    asserts: int
    function_lines: list
    longest: list  # (lines, "path:line name") of the longest functions
    largest: list  # (lines, path) of the largest files
    comment_lines: int

    def total(self, kind):
        return sum(self.lines[kind, suffix] for suffix in SUFFIXES)

    @property
    def cpp_code(self):
        return self.lines["code", ".cc"] + self.lines["code", ".h"]

    @property
    def test_ratio(self):
        return self.total("tests") / max(1, self.total("code"))

    @property
    def asserts_per_kloc(self):
        return 1000 * self.asserts / max(1, self.cpp_code)


def kind_of(source):
    return "tests" if source.is_test else "benchmarks" if source.is_benchmark else "code"


def count(tree):
    keys = [(kind, suffix) for kind in KINDS for suffix in SUFFIXES]
    counts = Counts(dict.fromkeys(keys, 0), dict.fromkeys(keys, 0), 0, [], [], [], 0)
    for source in tree:
        key = kind_of(source), source.suffix
        if key not in counts.lines:
            continue
        counts.lines[key] += len(source.lines)
        counts.files[key] += 1
        counts.largest.append((len(source.lines), source.path))
        for function in source.functions:
            counts.function_lines.append(function.lines)
            counts.longest.append(
                (function.lines, f"{source.path}:{function.first_line} {function.name}")
            )
        if key[0] == "code" and source.is_cpp:
            if source.path != "common/base/check.h":
                counts.asserts += len(ASSERT.findall(source.code))
            counts.comment_lines += sum(bool(re.match(r"\s*//", line)) for line in source.lines)
    for ranked in (counts.function_lines, counts.longest, counts.largest):
        ranked.sort(reverse=True)
    return counts


def percentile(descending, share):
    return descending[int((1 - share) * (len(descending) - 1))] if descending else 0


def text(counts):
    out = ["              files    lines      .cc       .h      .py"]
    for kind in KINDS:
        files = sum(counts.files[kind, suffix] for suffix in SUFFIXES)
        each = "".join(f"{counts.lines[kind, suffix]:9,}" for suffix in SUFFIXES)
        out.append(f"{kind:12}{files:7,}{counts.total(kind):9,}{each}")
    over = [lines for lines, _ in counts.largest if lines > 500]
    out += [
        f"test lines per code line    {counts.test_ratio:.2f}",
        f"asserts                     {counts.asserts}, "
        f"{counts.asserts_per_kloc:.1f} per 1,000 lines of C++ code",
        f"comment lines in C++ code   {100 * counts.comment_lines / max(1, counts.cpp_code):.0f} %",
        f"functions                   {len(counts.function_lines)}, "
        f"median {percentile(counts.function_lines, 0.5)} lines, "
        f"p95 {percentile(counts.function_lines, 0.95)}",
        f"files over 500 lines        {len(over)}, "
        f"{100 * len(over) / max(1, len(counts.largest)):.0f} %",
        "longest functions",
        *[f"  {lines:5} {where}" for lines, where in counts.longest[:5]],
        "largest files",
        *[f"  {lines:5} {path}" for lines, path in counts.largest[:5]],
    ]
    return "\n".join(out)
