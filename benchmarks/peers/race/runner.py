"""Runs the race: groups one after the other, within a group every peer takes turns."""

import contextlib
import dataclasses
import time

from processes import Failed

from . import schedule
from .figures import figures_of


@dataclasses.dataclass
class Row:
    """What became of one peer: its figures by cell, or the error that put it out."""

    peer: object
    start_s: float | None = None
    error: str | None = None
    samples: dict = dataclasses.field(default_factory=dict)
    cell_errors: dict = dataclasses.field(default_factory=dict)

    @property
    def runs(self):
        return self.start_s is not None and self.error is None


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is raced."""

    sizes: tuple = schedule.SIZES
    windows: tuple = schedule.WINDOWS
    rounds: int = 3
    budget_s: float = 1080


class Race:
    """One run. One-thread. `say` is told in a line what is going on; `clock` can be a test's."""

    def __init__(self, plan, say=print, clock=time.monotonic):
        self.plan = plan
        self.say = say
        self.clock = clock
        self.skipped = []  # cells for which no time was left: (group, Cell)

    def run(self, peers):
        """Races all groups; returns a Row for each peer, in their order."""
        rows = [Row(peer) for peer in peers]
        groups = list(dict.fromkeys(peer.group for peer in peers))
        for group in groups:
            members = [row for row in rows if row.peer.group == group]
            self.run_group(group, members, self.plan.budget_s * len(members) / len(rows))
        return rows

    def run_group(self, group, rows, budget_s):
        """The budget is of the race; starting its peers comes on top, each within its deadline."""
        with contextlib.ExitStack() as stack:
            for row in rows:
                stack.callback(self.stop, row)
                self.start(row)
            running = [row for row in rows if row.runs]
            plan = self.plan
            turns = schedule.turns_of(len(running), plan.sizes, plan.windows, plan.rounds)
            pace = schedule.Pace(budget_s, turns, self.clock())
            for size in plan.sizes:
                self.run_size(group, rows, size, pace)

    def start(self, row):
        before = self.clock()
        try:
            row.peer.start()
        except Failed as error:
            self.put_out(row, error)
            return
        row.start_s = self.clock() - before
        row.peer.pause()
        self.say(f"{row.peer.name}: {row.peer.version}, ready in {row.start_s:.1f} s")

    def stop(self, row):
        try:
            row.peer.stop()
        except (Failed, OSError) as error:
            self.say(f"{row.peer.name}: {error}")

    def put_out(self, row, error):
        row.error = " ".join(str(error).split())
        self.say(f"{row.peer.name}: {row.error}")

    def run_size(self, group, rows, size, pace):
        plan = self.plan
        cells = schedule.cells(size, plan.windows, size == plan.sizes[0])
        for row in self.running(rows):
            self.attempt(row, lambda peer=row.peer: peer.fill(size))
        for cell in cells:
            self.run_cell(group, rows, cell, pace)
        for row in self.running(rows):
            self.attempt(row, lambda peer=row.peer: peer.drop(size))

    def running(self, rows):
        return [row for row in rows if row.runs]

    def attempt(self, row, call):
        """What every later turn needs: a peer that fails it is out."""
        try:
            call()
        except (Failed, OSError) as error:
            self.put_out(row, error)
            row.peer.stop()

    def run_cell(self, group, rows, cell, pace):
        racing = [row for row in self.running(rows) if cell.op != "exists" or row.peer.has_exists]
        started = sum(row.start_s is not None for row in rows)
        pace.drop((started - len(racing)) * (self.plan.rounds + 1))
        if not racing:
            return
        if pace.turn_s(self.clock()) is None:
            self.skipped.append((group, cell))
            pace.drop(len(racing) * (self.plan.rounds + 1))
            return
        self.say(f"{group}: {cell.label}, {max(0, pace.end - self.clock()):.0f} s left")
        for round_index in range(-1, self.plan.rounds):
            for row in schedule.order(racing, round_index + 1):
                self.take_turn(row, cell, round_index, pace)

    def take_turn(self, row, cell, round_index, pace):
        """Round -1 warms up and is dropped."""
        if not row.runs or cell in row.cell_errors:
            pace.drop(1)
            return
        seconds = pace.turn_s(self.clock()) or schedule.TURN_S_MIN
        if round_index < 0:
            seconds = min(seconds, schedule.WARM_UP_S)
        before = self.clock()
        try:
            sample = getattr(row.peer, cell.op)(cell, seconds)
        except (Failed, OSError) as error:
            self.fail(row, cell, error)
            pace.drop(1)
            return
        if round_index >= 0:
            row.samples.setdefault(cell, []).append(sample)
        pace.took(seconds, self.clock() - before)

    def fail(self, row, cell, error):
        """A refused operation costs the cell, a client that is gone the whole row."""
        text = " ".join(str(error).split())
        driver = row.peer.driver
        if driver is None or driver.process.poll() is not None:
            self.put_out(row, f"{cell.label}: {text}")
            return
        row.cell_errors[cell] = text
        row.samples.pop(cell, None)
        self.say(f"{row.peer.name}: {cell.label}: {text}")


def cell_rows(rows, group):
    """{Cell: {peer's name: Figures or None}} of a group, in the order of the race."""
    found = {}
    for row in rows:
        if row.peer.group != group:
            continue
        for cell, samples in row.samples.items():
            found.setdefault(cell, {})[row.peer.name] = figures_of(samples)
    return found
