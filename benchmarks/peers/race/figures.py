"""From samples of turns to the figures of a row. Pure."""

import dataclasses
import statistics

from .schedule import P99_OPERATIONS_MIN


@dataclasses.dataclass
class Sample:
    """What one turn did; times in nanoseconds, CPU time of the timed part alone."""

    ops: int = 0
    bytes: int = 0
    checked: int = 0
    wall_ns: int = 0
    client_cpu_ns: int = 0
    server_cpu_ns: int = 0
    latencies_ns: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Figures:
    """One row of one cell. None where it was not measured, or on too few operations."""

    gb_per_s: float | None
    p50_us: float | None
    p99_us: float | None
    client_cpu_s_per_gb: float | None
    server_cpu_s_per_gb: float | None
    ops: int
    checked: int
    rounds_gb_per_s: list


def quantile(ordered, share):
    """The value below which `share` of the sorted values lie: the nearest rank."""
    if not ordered:
        return None
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[int(rank) - 1]


def rate(sample):
    """GB/s of one turn, GB = 1e9 bytes."""
    return sample.bytes / sample.wall_ns if sample.wall_ns else 0.0


def figures_of(samples):
    """Medians over rounds for the rate; quantiles over all operations of all rounds."""
    samples = [sample for sample in samples if sample.ops]
    if not samples:
        return None
    ordered = sorted(ns for sample in samples for ns in sample.latencies_ns)
    total_bytes = sum(sample.bytes for sample in samples)
    rates = [rate(sample) for sample in samples if sample.bytes]
    p99_ns = quantile(ordered, 0.99) if len(ordered) >= P99_OPERATIONS_MIN else None

    def cpu(name):
        spent_ns = sum(getattr(sample, name) for sample in samples)
        return spent_ns / total_bytes if total_bytes else None

    return Figures(
        gb_per_s=statistics.median(rates) if rates else None,
        p50_us=microseconds(quantile(ordered, 0.5)),
        p99_us=microseconds(p99_ns),
        client_cpu_s_per_gb=cpu("client_cpu_ns"),
        server_cpu_s_per_gb=cpu("server_cpu_ns"),
        ops=sum(sample.ops for sample in samples),
        checked=sum(sample.checked for sample in samples),
        rounds_gb_per_s=rates,
    )


def microseconds(ns):
    """None stays None."""
    return None if ns is None else ns / 1000


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Tarn's best row of a cell beside the best peer's: > 1 is better for Tarn."""

    tarn: str
    peer: str
    tarn_value: float
    peer_value: float
    ratio: float

    @property
    def lost(self):
        return self.ratio < 1


def verdict(op, rows, kinds):
    """Who won the cell; None where either side has no figures. Limits do not run for it.

    `rows` maps names to Figures, `kinds` names to "tarn", "peer" or "limit". put and get are
    judged by GB/s, exists by its p50.
    """
    by_time = op == "exists"

    def best(kind):
        values = {
            name: row.p50_us if by_time else row.gb_per_s
            for name, row in rows.items()
            if kinds[name] == kind and row is not None
        }
        values = {name: value for name, value in values.items() if value}
        return (min if by_time else max)(values.items(), key=lambda pair: pair[1], default=None)

    ours, theirs = best("tarn"), best("peer")
    if ours is None or theirs is None:
        return None
    ratio = theirs[1] / ours[1] if by_time else ours[1] / theirs[1]
    return Verdict(ours[0], theirs[0], ours[1], theirs[1], ratio)
