"""Runs each inference engine over Tarn: one process stores, a new one resumes; one line a door.

Called by scripts/engines, which builds the environments. Exit status 1 when a door failed; what the
engines said stays in build/engines/logs.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "sdk/python/tests"))

from dev_cluster import BUILD, DevCluster  # noqa: E402

VENVS = ROOT / "build/engines"
LOGS = VENVS / "logs"
MODEL = VENVS / "model"
ENGINE_S = 240
REVISION = "random-0"
ABSENT = "127.0.0.1:1"  # nobody listens there


class Wrong(Exception):
    """A door did not do what it should: the text says what was seen."""


def expect(what, seen, wanted):
    """Raises Wrong unless `seen` is `wanted`."""
    if seen != wanted:
        raise Wrong(f"{what}: {seen}; {wanted} expected")


class Engines:
    """Starts engines' programs over one cluster. `credentials` is the cluster's folder."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.credentials = cluster.folder
        self._reference = None

    def run(self, log, venv, arguments, on_line=lambda line: None):
        """Returns the JSON lines that a program of this folder printed, or of the environment."""
        environment = os.environ | {
            "PYTHONPATH": f"{BUILD / 'python'}{os.pathsep}{HERE}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LMCACHE_TRACK_USAGE": "false",
            "DO_NOT_TRACK": "1",
        }
        command = ["timeout", str(ENGINE_S), str(VENVS / venv / "bin" / arguments[0])]
        command += [str(word) for word in arguments[1:]]
        lines = []
        with (LOGS / f"{log}.log").open("w") as errors:
            child = subprocess.Popen(
                command, cwd=HERE, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
            with child, (LOGS / f"{log}.out").open("w") as out:
                for text in child.stdout:
                    out.write(text)
                    if text.startswith("{"):
                        lines.append(json.loads(text))
                        on_line(lines[-1])
        expect(f"exit status, see {LOGS / log}.log", child.returncode, 0)
        return lines

    def reference(self):
        """The greedy tokens of the prompt, computed without Tarn, and a digest of its KV."""
        if self._reference is None:
            arguments = ["python", "run_transformers.py", "plain", "--model", MODEL]
            self._reference = self.run("plain", "vllm", arguments)[0]
        return self._reference

    def check_tokens(self, log, lines):
        """Raises Wrong unless all outputs are those of the engine without Tarn."""
        outputs = [line for line in lines if "tokens" in line]
        if not outputs:
            raise Wrong(f"{log}: no output")
        for line in outputs:
            expect(f"tokens of {log}", line["tokens"], self.reference()["tokens"])


def transformers_door(engines):
    """A conversation is saved, and resumed elsewhere."""
    lines = {}
    for mode in ("save", "resume"):
        arguments = ["python", "run_transformers.py", mode, "--model", MODEL]
        arguments += ["--credentials", engines.credentials]
        lines[mode] = engines.run(f"transformers-{mode}", "vllm", arguments)
        engines.check_tokens(mode, lines[mode])
        expect(f"KV of {mode}", lines[mode][0]["kv"], engines.reference()["kv"])
    expect("cached tokens", lines["resume"][0]["cached"], 512)
    return "512 of 516 tokens resumed, KV bytes and tokens equal"


def run_sglang(engines, log, on_line=lambda line: None, **extra):
    """Runs SGLang over Tarn; `extra` is added to the backend's parameters."""
    (LOGS / f"{log}.digests").unlink(missing_ok=True)
    parameters = {
        "revision": REVISION,
        "credentials": engines.credentials,
        "digests": str(LOGS / f"{log}.digests"),
    }
    arguments = ["python", "run_sglang.py", "hicache", "--model", MODEL]
    arguments += ["--json", json.dumps(parameters | extra)]
    lines = engines.run(log, "sglang", arguments, on_line)
    engines.check_tokens(log, lines)
    return [line["cached"] for line in lines if "tokens" in line]


def digests(log, what):
    """The digests of the pages that a run of SGLang stored or loaded, by key."""
    pages = {}
    for line in (LOGS / f"{log}.digests").read_text().splitlines():
        pages.update(json.loads(line).get(what, {}))
    return pages


def sglang_door(engines):
    """Pages are stored, and found by another process."""
    expect("cached tokens", run_sglang(engines, "sglang-store"), [0, 480])
    expect("cached tokens", run_sglang(engines, "sglang-resume"), [480, 480])
    stored, loaded = digests("sglang-store", "stored"), digests("sglang-resume", "loaded")
    expect("pages loaded", len(loaded), 15)
    expect("bytes of pages", {key: stored.get(key) for key in loaded}, loaded)
    return "480 of 500 tokens from Tarn, 15 pages' bytes and tokens equal"


def warnings(log):
    """How often a run of SGLang warned that Tarn is away."""
    return (LOGS / f"{log}.log").read_text().count("Tarn is away")


def sglang_absent_door(engines):
    """Tarn is not there at the start."""
    cached = run_sglang(engines, "sglang-absent", endpoint=ABSENT)
    expect("cached tokens", cached, [0, 480])
    expect("warnings", warnings("sglang-absent"), 1)
    return "served on, tokens equal, one warning"


def sglang_hanging_door(engines):
    """Tarn stops answering once the engine has started, while its pages are there."""

    def stop(line):
        if "start_seconds" in line:
            engines.cluster.signal(signal.SIGSTOP)

    try:
        cached = run_sglang(engines, "sglang-hanging", stop)
    finally:
        engines.cluster.signal(signal.SIGCONT)
    expect("cached tokens", cached, [0, 480])
    expect("warnings", warnings("sglang-hanging"), 1)
    return "computed all, tokens equal, one warning"


def unit_door(engines, name, venv):
    """The unit tests of one adapter, in its engine's environment."""
    engines.run(f"unit-{name}", venv, ["python", f"test_{name}_adapter.py"])
    counted = re.search(r"Ran \d+ tests", (LOGS / f"unit-{name}.log").read_text())
    if not counted:
        raise Wrong("no test ran")
    return counted.group()


def lmcache_bench_door(engines):
    """LMCache's own bench of an L2 store, which reads back and compares all bytes."""
    params = {"revision": REVISION, "dtype": "float32", "credentials": engines.credentials}
    adapter = {
        "type": "native_plugin",
        "module_path": "tarn.adapters.lmcache",
        "class_name": "TarnConnector",
        "adapter_params": params,
    }
    arguments = ["lmcache", "bench", "l2", "--l2-adapter", json.dumps(adapter)]
    engines.run("lmcache-bench", "lmcache", arguments + BENCH)
    said = re.search(r"\[Verify\] All \d+ keys .*", (LOGS / "lmcache-bench.out").read_text())
    if not said:
        raise Wrong("keys were not verified")
    return said.group()


BENCH = ["--no-skip-verify", "--num-keys", "64", "--rounds", "4"]
DOORS = {
    "transformers-unit": lambda engines: unit_door(engines, "transformers", "vllm"),
    "sglang-unit": lambda engines: unit_door(engines, "sglang", "sglang"),
    "lmcache-unit": lambda engines: unit_door(engines, "lmcache", "lmcache"),
    "lmcache-bench": lmcache_bench_door,
    "transformers": transformers_door,
    "sglang": sglang_door,
    "sglang-absent": sglang_absent_door,
    "sglang-hanging": sglang_hanging_door,
}


def run_door(name, engines):
    """Prints the line of one door. Returns: is it ok?"""
    start = time.monotonic()
    try:
        verdict, detail = "ok", DOORS[name](engines)
    except (Wrong, OSError, ValueError, KeyError) as error:
        verdict, detail = "FAIL", str(error)
    seconds = time.monotonic() - start
    print(f"{verdict:4}  {name:16} {seconds:4.0f} s  {detail}", flush=True)
    return verdict == "ok"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("doors", nargs="*", default=list(DOORS), metavar="DOOR")
    doors = parser.parse_args().doors
    for door in doors:
        if door not in DOORS:
            parser.error(f"{door}: there is {', '.join(DOORS)}")
    LOGS.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(DevCluster()) as cluster:
        engines = Engines(cluster)
        if not MODEL.exists():
            engines.run("model", "vllm", ["python", "make_model.py", MODEL])
        failed = [name for name in doors if not run_door(name, engines)]
    print(f"{len(doors) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
