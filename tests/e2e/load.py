"""A client that puts and gets without pause while a test breaks things around it."""

import random
import threading
import time

import tarn
from tarn_cluster import block_of, get, open_space, put

BATCH = 4
SIZE = 64 * 1024
KEPT = (tarn.Outcome.ok, tarn.Outcome.exists)


class Load:
    """Puts batches of replicated blocks, each then fetched together with older ones.

    Runs on a thread of its own between `with` and its end. What it saw is for the test to judge:
    `acknowledged` (numbers of blocks), `wrong` (a block that came with other bytes), `late` (calls
    that ended after their deadline), `failed` (outcomes of puts that were not acknowledged).
    """

    def __init__(self, client, seed=1, copies=2, timeout_ms=8000):
        self.space = open_space(client, revision=f"load-{seed}")
        self.dice = random.Random(seed)
        self.options = {"copies": copies, "timeout_ms": timeout_ms}
        self.deadline_s = timeout_ms / 1000 + 1.5
        self.acknowledged, self.failed, self.wrong, self.late = [], [], [], []
        self.rounds = 0
        self.slowest_s = 0.0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.ended.set()
        self.thread.join()

    def run(self):
        while not self.ended.is_set():
            numbers = range(self.rounds * BATCH, (self.rounds + 1) * BATCH)
            outcomes = self.timed(lambda n=numbers: put(self.space, n, SIZE, **self.options))
            for number, outcome in zip(numbers, outcomes, strict=True):
                if outcome.outcome in KEPT:
                    self.acknowledged.append(number)
                else:
                    self.failed.append((number, outcome.outcome, outcome.message))
            sample = self.dice.sample(self.acknowledged, min(BATCH, len(self.acknowledged)))
            self.timed(lambda n=sample: self.missing(n))
            self.rounds += 1

    def timed(self, call):
        begin = time.monotonic()
        value = call()
        took = time.monotonic() - begin
        self.slowest_s = max(self.slowest_s, took)
        if took > self.deadline_s:
            self.late.append(took)
        return value

    def missing(self, numbers):
        """Those of `numbers` that cannot be had; remembers what came with wrong bytes."""
        absent = []
        for start in range(0, len(numbers), 64):
            part = list(numbers[start : start + 64])
            fetched = get(self.space, part, SIZE, timeout_ms=self.options["timeout_ms"])
            for number, (outcome, memory) in zip(part, fetched, strict=True):
                if outcome.outcome != tarn.Outcome.ok:
                    absent.append((number, outcome.outcome, outcome.message))
                elif memory != block_of(number, SIZE):
                    self.wrong.append(number)
        return absent

    def progress(self, rounds, timeout_s=15):
        """Waits until `rounds` more rounds have gone by."""
        goal = self.rounds + rounds
        deadline = time.monotonic() + timeout_s
        while self.rounds < goal:
            assert time.monotonic() < deadline, f"the load stands still at round {self.rounds}"
            time.sleep(0.01)

    def verdict(self):
        """Asserts what holds whatever dies: no wrong byte, no call past its deadline."""
        assert self.wrong == []
        assert self.late == []
