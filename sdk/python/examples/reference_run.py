"""The demonstration's conversation without Tarn and without trouble: what all must equal.

    reference_run.py PLAN OUT

PLAN is a JSON file {"seed", "layers", "turns": [[prompt tokens, max_tokens], ...], "forks": [...]};
forks are single turns that each go on from the last turn. Into the folder OUT come tokens.json,
the answers in the plan's shape, and the full blocks of each line: trunk.kv, fork0.kv, fork1.kv, ...
"""

import copy
import json
import pathlib
import sys

import llama


def run_turn(model, cache, pending, turn):
    """Appends `pending` and the turn's prompt, decodes. Returns: the tokens of the answer."""
    prompt, max_tokens = turn
    answer = [model.prefill(pending + prompt, cache)]
    while len(answer) < max_tokens:
        answer.append(model.step(answer[-1], cache))
    return answer


def write_blocks(cache, path):
    """Writes all full blocks of `cache`, one after another."""
    with open(path, "wb") as out:
        for index in range(cache.full_blocks):
            out.write(cache.block(index))


def run(plan, folder):
    """Runs the plan in this process and writes tokens and blocks into `folder`."""
    model = llama.Model(plan["seed"], llama.ModelConfig(layers=plan["layers"]))
    lines = [*plan["turns"], *plan["forks"]]
    cache = model.empty_cache(sum(len(prompt) + count for prompt, count in lines))
    answers, pending = [], []
    for turn in plan["turns"]:
        answers.append(run_turn(model, cache, pending, turn))
        pending = answers[-1][-1:]
    write_blocks(cache, folder / "trunk.kv")
    forks = []
    for number, turn in enumerate(plan["forks"]):
        own = copy.copy(cache)  # shares the arrays: what a fork writes lies after the trunk
        forks.append(run_turn(model, own, pending, turn))
        write_blocks(own, folder / f"fork{number}.kv")
    (folder / "tokens.json").write_text(json.dumps({"turns": answers, "forks": forks}))


if __name__ == "__main__":
    run(json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2]))
