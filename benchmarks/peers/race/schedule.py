"""What is raced, in which order, and for how long: pure functions, and one clock's account."""

import dataclasses

KIB, MIB = 1 << 10, 1 << 20
# 4.29 MiB is 4,500,000 bytes rounded up to a page: the KV of 16 tokens of a large model.
SIZES = (64 * KIB, 256 * KIB, 640 * KIB, MIB, 2 * MIB, 4_501_504, 8 * MIB, 16 * MIB)
WINDOWS = (1, 8, 32)
EXISTS_KEYS = 1024
WORKING_SET_BYTES = 256 * MIB
PUT_BYTES_MAX = 384 * MIB
P99_OPERATIONS_MIN = 2000
# Of one turn; also what keeps the answer's line short.
OPERATIONS_MAX = 100_000
TURN_S_MIN, TURN_S_MAX = 0.04, 3.0
WARM_UP_S = 0.05


@dataclasses.dataclass(frozen=True)
class Cell:
    """One place of the table: an operation, a size and a window. exists has keys, not a window."""

    op: str
    block_bytes: int
    inflight: int

    @property
    def label(self):
        """ "get 2 MiB x 8"."""
        if self.op == "exists":
            return f"exists of {EXISTS_KEYS:,} keys"
        return f"{self.op} {size_label(self.block_bytes)} x {self.inflight}"


def size_label(block_bytes):
    """ "64 KiB", "4.29 MiB"."""
    if block_bytes < MIB:
        return f"{block_bytes // KIB} KiB"
    return f"{block_bytes / MIB:.3g} MiB"


def cells(block_bytes, windows, with_exists):
    """All cells of one size, in the order of the race: puts come last, they push others out."""
    found = [Cell("get", block_bytes, window) for window in windows]
    if with_exists:
        found.append(Cell("exists", block_bytes, 1))
    return found + [Cell("put", block_bytes, window) for window in windows]


def working_set_keys(block_bytes):
    """How many keys gets go round: more than the caches hold, and no key twice in a window."""
    return max(*WINDOWS, WORKING_SET_BYTES // block_bytes)


def operations_max(cell):
    """After how many operations a turn ends early."""
    if cell.op == "put":
        return max(cell.inflight, PUT_BYTES_MAX // cell.block_bytes)
    return OPERATIONS_MAX


def order(peers, round_index):
    """Every round begins with another one, and every other round goes the other way."""
    step = -1 if round_index % 2 else 1
    return [peers[(round_index + step * at) % len(peers)] for at in range(len(peers))]


class Pace:
    """Shares what is left of a budget among the turns that are left. One-thread.

    What a turn takes beside its timed part (fresh keys, comparing bytes) is learned as it goes.
    """

    def __init__(self, budget_s, turns, now):
        self.end = now + budget_s
        self.turns = turns
        self.overhead_s = 0.02

    def turn_s(self, now):
        """Seconds of the next turn; None when the time is up."""
        left = self.end - now
        if left <= 0 or self.turns <= 0:
            return None
        share = left / self.turns - self.overhead_s
        return min(TURN_S_MAX, max(TURN_S_MIN, share))

    def took(self, timed_s, wall_s):
        """A turn has ended: of `wall_s`, `timed_s` were the measurement."""
        self.turns -= 1
        self.overhead_s += 0.05 * (max(0.0, wall_s - timed_s) - self.overhead_s)

    def drop(self, turns):
        """So many turns will not come: their peer is out."""
        self.turns = max(0, self.turns - turns)


def turns_of(peer_count, sizes, windows, rounds):
    """How many turns a group's race has, warm-ups counted as turns."""
    cell_count = sum(len(cells(size, windows, size == sizes[0])) for size in sizes)
    return peer_count * cell_count * (rounds + 1)
