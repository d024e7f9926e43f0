"""The main job: a session outlives its GPU worker, a storage server and the router.

A conversation over a real document runs on a cluster of real processes, which are killed with
SIGKILL one after another. An uninterrupted run of the same conversation, without Tarn and in a
process of its own, says what every token and every byte of KV must be. Exits with 0 only if all of
it is so.
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from processes import Failed, wait_until
from session_store import StoreUnavailable
from worker_client import WorkerGone, ask

EXAMPLES = pathlib.Path(__file__).resolve().parent
DOCUMENT = EXAMPLES.parents[2] / "LICENSE"
SEED = 7
FIRST_PROMPT_TOKENS = 4096
TURN_TIMEOUT_S = 120
KILL_AFTER_TOKENS = 40
STORED_SLACK_BYTES = 1 << 20
ROW = "{:<6} {:<10} {:>7} {:>8} {:>11} {:>9} {:>11}  {}"
HEADER = ("turn", "worker", "prompt", "fetched", "recomputed", "fetch ms", "prefill ms", "from")


def make_plan(document, first=FIRST_PROMPT_TOKENS, layers=8):
    """The conversation as reference_run.py takes it; prompts are pieces of `document`."""
    cuts = [0, first] + [first + 160 * i for i in range(1, 6)]
    pieces = [list(document[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
    counts = [48, 96, 48, 48]
    turns = [[piece, count] for piece, count in zip(pieces, counts, strict=False)]
    forks = [[pieces[4], 64], [list(reversed(pieces[4])), 64]]
    return {"seed": SEED, "layers": layers, "turns": turns, "forks": forks}


@dataclasses.dataclass
class Answer:
    """What came back for one turn, from however many workers it took."""

    tokens: list
    summary: dict
    worker: str
    streamed_before: int = 0  # tokens that a worker had streamed when it died


class Reference:
    """The uninterrupted run, in a child process; files appear in `folder`."""

    def __init__(self, plan, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        (self.folder / "plan.json").write_text(json.dumps(plan))
        command = [sys.executable, EXAMPLES / "reference_run.py", self.folder / "plan.json"]
        self.child = subprocess.Popen([*command, self.folder])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()

    def tokens(self):
        """The answers, as in the plan; waits for the run's end. Raises Failed."""
        if self.child.wait(TURN_TIMEOUT_S) != 0:
            raise Failed(f"the uninterrupted run ended with {self.child.returncode}")
        return json.loads((self.folder / "tokens.json").read_text())

    def blocks(self, line):
        """All blocks of "trunk", "fork0" or "fork1" as one bytes object."""
        return (self.folder / f"{line}.kv").read_bytes()


class Demonstration:
    """The five steps over a cluster. One-thread; used once. `failures` tells what was not so."""

    def __init__(self, cluster, plan, reference):
        self.cluster = cluster
        self.plan = plan
        self.reference = reference
        self.block_tokens = cluster.config.block_tokens
        self.dead_workers = []
        self.last_route = None  # (worker, endpoint)
        self.failures = []
        self.prefill_ms_per_token = 0.0
        self.history = 0  # tokens of the trunk so far

    def run(self):
        """Runs all steps, prints the table, compares. Returns: true when all is as it must be."""
        self.session = self.cluster.store.create()
        self.answers = {"turns": [], "forks": []}
        print(ROW.format(*HEADER), flush=True)
        self._first_turn()
        self._worker_dies()
        self._server_dies()
        self._router_is_replaced()
        self._two_forks()
        self._compare()
        for failure in self.failures:
            print(f"NOT SO: {failure}")
        return not self.failures

    def _first_turn(self):
        answer = self._turn_of_trunk(1)
        summary = answer.summary
        self.prefill_ms_per_token = summary["prefill_ms"] / summary["tokens_prefilled"]
        self._print_row("1", self.plan["turns"][0], answer)

    def _worker_dies(self):
        answer = self._turn_of_trunk(2, kill_after=KILL_AFTER_TOKENS)
        victim = self.dead_workers[-1]
        self._print(f"{victim} killed after {answer.streamed_before} tokens of turn 2")
        ran_before = self.answers["turns"][0].worker
        self._check(victim == ran_before, "the worker of turn 1 died in turn 2")
        self._check(answer.worker != ran_before, "one that never saw the session went on")
        self._print_row("2", self.plan["turns"][1], answer)

    def _server_dies(self):
        sources = self.answers["turns"][1].summary["sources"]
        if not sources:
            raise Failed("turn 2 fetched nothing: there is no storage server to kill")
        victim = max(sources, key=sources.get)
        self.cluster.kill(victim)
        self._print(f"{victim} killed: it had sent {sources[victim]} blocks of turn 2")
        answer = self._turn_of_trunk(3)
        self._check(victim not in answer.summary["sources"], f"no block came from {victim}")
        self._print_row("3", self.plan["turns"][2], answer)

    def _router_is_replaced(self):
        self.cluster.replace_router()
        self._print("router killed, its state folder removed, another one started")
        answer = self._turn_of_trunk(4)
        self._print_row("4", self.plan["turns"][3], answer)

    def _two_forks(self):
        before = self.cluster.stored_bytes()
        self.forks = [self.cluster.store.fork(self.session) for _ in self.plan["forks"]]
        number = len(self.plan["turns"]) + 1
        for index, session in enumerate(self.forks):
            turn = self.plan["forks"][index]
            answer = self._ask_balanced(session, number, turn)
            self.answers["forks"].append(answer)
            self._check_recomputed(answer, self.history - 1, f"fork {index}")
            self._print_row(f"fork {index}", turn, answer)
        blocks = sum(a.summary["blocks_saved"] for a in self.answers["forks"])
        block_bytes = self.cluster.config.block_bytes * self.cluster.copies
        payload = blocks * block_bytes
        grown = self.cluster.stored_bytes() - before
        self._print(f"two forks: {blocks} new blocks, stored bytes grew by {grown:,}")
        allowed = payload + STORED_SLACK_BYTES
        least = payload - block_bytes  # both forks may fill the trunk's last block alike
        self._check(least <= grown <= allowed, f"{least:,} <= growth <= {allowed:,} bytes")

    def _turn_of_trunk(self, number, kill_after=None):
        """Runs a turn of the session that all begin with, and checks what was recomputed."""
        turn = self.plan["turns"][number - 1]
        answer = self._ask_balanced(self.session, number, turn, kill_after)
        held = self.history - 1  # the last token of an answer has no KV until the next one
        if answer.streamed_before:
            held += len(turn[0]) + answer.streamed_before
        self._check_recomputed(answer, held, f"turn {number}")
        self.history += len(turn[0]) + len(answer.tokens)
        self.answers["turns"].append(answer)
        return answer

    def _check_recomputed(self, answer, held, name):
        """`held` is the count of tokens whose KV some worker had computed before."""
        lost = max(answer.summary["tokens_recomputed"], held - answer.summary["tokens_fetched"])
        answer.summary["recomputed"] = max(lost, 0)
        self._check(lost <= self.block_tokens, f"{name}: {lost} <= {self.block_tokens} recomputed")

    def _ask_balanced(self, session, number, turn, kill_after=None):
        """As a balancer does: asks the router for a worker, and for another when that one dies.

        A turn in which the worker is to be killed begins on the one that ran the turn before, so
        that whoever goes on with it has nothing but the session's id.
        """
        fields = {"session": session, "turn": number, "prompt": turn[0], "max_tokens": turn[1]}
        deadline, streamed, gone = time.monotonic() + TURN_TIMEOUT_S, [], []
        while time.monotonic() < deadline:
            if kill_after is None:
                self.last_route = self._route(session, exclude=gone)
            worker, endpoint = self.last_route
            self._check(worker not in self.dead_workers, f"turn {number} was not sent to the dead")
            tokens = []
            try:
                for event in ask(endpoint, fields):
                    if "token" in event:
                        tokens.append(event["token"])
                    if len(tokens) == kill_after:
                        kill_after = None
                        self.cluster.kill(worker)
                    if "summary" in event:
                        self._check(tokens[: len(streamed)] == streamed, f"turn {number}: one text")
                        return Answer(tokens, event["summary"], worker, len(streamed))
                    if "error" in event and not event.get("retry"):
                        raise Failed(f"turn {number} on {worker}: {event['error']}")
            except WorkerGone:
                self.dead_workers.append(worker)
                gone.append(worker)
                streamed = tokens
        raise Failed(f"turn {number} did not end within {TURN_TIMEOUT_S} s")

    def _route(self, session, exclude):
        """A worker for the session: (name, endpoint); waits while the router is away."""

        def choose():
            try:
                return self.cluster.route(session, exclude)
            except StoreUnavailable:
                return None

        return wait_until(choose, "a worker from the router")

    def _compare(self):
        """Tokens and KV against the uninterrupted run."""
        expected = self.reference.tokens()
        found = {line: [a.tokens for a in answers] for line, answers in self.answers.items()}
        compared, fetched, equal = 0, 0, True
        lines = [("trunk", self.session), *((f"fork{i}", s) for i, s in enumerate(self.forks))]
        for line, session in lines:
            bytes_expected = self.reference.blocks(line)
            for name, data in self._kv_of(session):
                wrong = first_difference(data, bytes_expected, self.cluster.config.block_bytes)
                blocks = len(data) // self.cluster.config.block_bytes
                compared += blocks
                fetched += blocks if name.startswith("fetched") else 0
                equal = equal and wrong is None
                self._check(wrong is None, f"{line}, {name}: block {wrong} equal")
        summaries = [a.summary for answers in self.answers.values() for a in answers]
        told = sum(s["tokens_fetched"] // self.block_tokens for s in summaries)
        self._check(fetched >= told, f"{fetched} of the {told} blocks fetched were compared")
        self._check(found == expected, "tokens equal those of the uninterrupted run")
        self._print(f"{compared:,} blocks compared with the uninterrupted run")
        print(f"tokens identical: {'yes' if found == expected else 'no'}")
        print(f"kv bytes identical: {'yes' if equal and compared else 'no'}")

    def _kv_of(self, session):
        """Yields (what, bytes): all that workers fetched for the session, and what is stored."""
        for path in sorted(self.cluster.fetched.glob(f"{session}-*.kv")):
            yield f"fetched in turn {path.name.split('-')[-2]}", path.read_bytes()
        resumed = self.cluster.store.resume(session)
        self._check(
            len(resumed.blocks) == resumed.state.saved_blocks,
            f"all {resumed.state.saved_blocks} blocks of the session are there at the end",
        )
        yield "stored at the end", b"".join(bytes(block) for block in resumed.blocks)

    def _check(self, holds, what):
        if not holds:
            self.failures.append(what)

    def _print_row(self, name, turn, answer):
        summary = answer.summary
        fetched = summary["tokens_fetched"]
        sources = ", ".join(f"{name} {n}" for name, n in sorted(summary["sources"].items()))
        instead = f"{fetched * self.prefill_ms_per_token:.0f}" if fetched else "-"
        cells = (name, answer.worker, len(turn[0]), fetched, summary["recomputed"])
        cells += (f"{summary['fetch_ms']:.0f}", instead, sources or "-")
        print(ROW.format(*cells), flush=True)

    def _print(self, text):
        print(f"-- {text}", flush=True)


def first_difference(found, expected, block_bytes):
    """Index of the first block of `found` that differs from `expected`'s; None when none does."""
    for index in range(-(-len(found) // block_bytes)):
        part = slice(index * block_bytes, (index + 1) * block_bytes)
        if found[part] != expected[part] or len(found[part]) != block_bytes:
            return index
    return None


def demonstrate(cluster, plan, folder):
    """Runs the demonstration on a cluster that is started here. Returns: the exit status."""
    begin = time.monotonic()
    with Reference(plan, folder / "reference") as reference, cluster:
        cluster.start()
        print(f"-- cluster and workers started in {time.monotonic() - begin:.1f} s", flush=True)
        print("-- prefill ms: what computing the fetched tokens would take, at turn 1's pace")
        good = Demonstration(cluster, plan, reference).run()
    print(f"-- {time.monotonic() - begin:.0f} s in all")
    return 0 if good else 1


def main():
    """Runs it in a temporary folder, which is kept when something was not so."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release", help="where the programs are")
    options = parser.parse_args()
    from cluster import Cluster  # here, so that tests need no Tarn

    folder = pathlib.Path(tempfile.mkdtemp(prefix="tarn-main-job-"))
    plan = make_plan(DOCUMENT.read_bytes())
    try:
        status = demonstrate(Cluster(options.build, folder, plan["seed"]), plan, folder)
    except (Failed, StoreUnavailable) as error:
        print(f"main job: {error}", file=sys.stderr)
        status = 1
    if status == 0:
        shutil.rmtree(folder)
    else:
        print(f"logs and data are in {folder}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
