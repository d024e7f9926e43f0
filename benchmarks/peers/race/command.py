"""The command line of benchmarks/peers/run."""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from processes import Failed

from . import PEERS, ROOT, table
from .install import LARGE, install
from .place import Place, default_build
from .runner import Plan, Race

# One run in 20 minutes, one in 90: starting the peers, half a minute to two, comes on top.
QUICK = Plan(rounds=3, budget_s=1020)
FULL = Plan(rounds=5, budget_s=5100)
INSIDE = "TARN_PEERS_INSIDE"


def parse(words):
    parser = argparse.ArgumentParser(prog="benchmarks/peers/run", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="under 20 minutes instead of under 90")
    add("--only", help="names or parts of names of rows, separated by commas")
    add("--sizes", help="block sizes in bytes, separated by commas")
    add("--windows", help="operations in flight, separated by commas")
    add("--rounds", type=int, help="turns of each peer in each cell")
    add("--budget-s", type=float, help="of the race itself")
    add("--client-cores", help="cores of clients, as 0,1; the first two unless told otherwise")
    add("--server-cores", help="cores of servers")
    add("--build", default=default_build(), help="folder of the build of Tarn")
    add("--scratch", default=ROOT / "build" / "peers", help="where peers are installed")
    add("--out", help="where table.txt, table.json and table.png go; in --scratch otherwise")
    add("--install", action="store_true", help="install what is missing, and leave")
    add("--with-lmcache", action="store_true", help="--install: LMCache too, 6 GB")
    add("--no-install", action="store_true", help="race what is there")
    add("--list", action="store_true", help="name the rows, and leave")
    return parser.parse_args(words)


def numbers(text):
    return tuple(int(word) for word in text.split(","))


def plan_of(options):
    """What the options say of the plan."""
    base = QUICK if options.quick else FULL
    return Plan(
        sizes=numbers(options.sizes) if options.sizes else base.sizes,
        windows=numbers(options.windows) if options.windows else base.windows,
        rounds=options.rounds or base.rounds,
        budget_s=options.budget_s or base.budget_s,
    )


def chosen(classes, only):
    """The rows whose names have one of the words in them. Raises Failed when there is none."""
    if not only:
        return list(classes)
    words = [word.strip().lower() for word in only.split(",")]
    found = [one for one in classes if any(word in one.name.lower() for word in words)]
    if not found:
        names = ", ".join(one.name for one in classes)
        raise Failed(f"--only {only}: no such row; there are: {names}")
    return found


def needs_of(classes, with_large):
    """What the rows want installed, each thing once; the picture wants matplotlib."""
    found = ["matplotlib", *(need for one in classes for need in one.needs)]
    return [need for need in dict.fromkeys(found) if with_large or need not in LARGE]


def enter_namespace(words):
    """Goes on in a network namespace with nothing but loopback; returns where that cannot be had.

    Some peers listen on the wildcard address: there it reaches nobody.
    """
    if os.environ.get(INSIDE) or not shutil.which("unshare"):
        return
    ways = (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"])
    for way in ways:
        if subprocess.run([*way, "ip", "link"], capture_output=True, check=False).returncode == 0:
            inside = ["sh", "-c", 'ip link set lo up && exec "$0" "$@"', sys.executable, "-B"]
            os.environ[INSIDE] = "1"
            os.execvp(way[0], [*way, "--", *inside, str(PEERS / "run"), *words])


def write(report, folder, scratch_python, say):
    """table.txt, table.json, table.png; returns the text."""
    folder.mkdir(parents=True, exist_ok=True)
    reasons = json.loads((PEERS / "reasons.json").read_text(encoding="utf-8"))
    words = table.text(report, reasons)
    (folder / "table.txt").write_text(words, encoding="utf-8")
    (folder / "table.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if not report["cells"]:
        return words
    command = [scratch_python, PEERS / "race" / "plot.py", folder / "table.json"]
    command = [str(word) for word in [*command, folder / "table.png"]]
    drawn = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if drawn.returncode != 0:
        say(f"no picture: {(drawn.stderr or 'failed').strip().splitlines()[-1]}")
    return words


def race(options, classes, say):
    plan = plan_of(options)
    place = Place(
        options.build,
        options.scratch,
        numbers(options.client_cores) if options.client_cores else None,
        numbers(options.server_cores) if options.server_cores else None,
    )
    started = time.monotonic()
    with place:
        running = Race(plan, say)
        rows = running.run([one(place) for one in classes])
        seconds = time.monotonic() - started
        report = table.as_json(rows, plan, place, running.skipped, seconds)
    folder = pathlib.Path(options.out) if options.out else place.scratch / "result"
    print(write(report, folder, place.scratch_python, say))
    say(f"in {folder}: table.txt, table.json, table.png; logs in {place.logs}")


def main(words, classes):
    """Returns the exit status."""
    options = parse(words)
    # Ends as at an error: what was started is stopped, what was written is taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()

    def say(line):
        print(f"[{time.monotonic() - began:6.1f}] {line}", file=sys.stderr, flush=True)

    if options.list:
        print("\n".join(f"{one.group}: {one.name} ({one.kind})" for one in classes))
        return 0
    try:
        classes = chosen(classes, options.only)
        if not options.no_install and not os.environ.get(INSIDE):
            install(options.scratch, needs_of(classes, options.with_lmcache), say)
        if options.install:
            return 0
        enter_namespace(words)
        race(options, classes, say)
    except Failed as error:
        print(f"benchmarks/peers/run: {error}", file=sys.stderr)
        return 1
    return 0
