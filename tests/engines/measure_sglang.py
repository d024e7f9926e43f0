"""Time to first token of SGLang, computed and from Tarn, alternating in one process.

A prompt that nobody has sent is computed, and stored behind the request; then the engine's own
caches are flushed and the same prompt comes from Tarn. Prints the median of each as JSON lines.
"""

import argparse
import json
import statistics
import time

import run_sglang
from workload import prompt_ids, report

SETTLE_S = 1  # pages are written behind the request


def timed(engine, tokens):
    """Returns (milliseconds to the first token, cached tokens)."""
    start = time.perf_counter()
    output = engine.generate(input_ids=tokens, sampling_params={"max_new_tokens": 1})
    return (time.perf_counter() - start) * 1e3, output["meta_info"]["cached_tokens"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--json", type=json.loads, required=True, help="backend's parameters")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    backend = run_sglang.hicache_arguments("tarn.adapters.sglang:TarnHiCache", args.json)
    engine = run_sglang.start(args.model, backend)
    timed(engine, prompt_ids(500, seed=0))
    for count in (500, 1000, 1900):
        measure(engine, count, args.rounds)
    engine.shutdown()


def measure(engine, count, rounds):
    computed, fetched, cached = [], [], []
    for number in range(rounds):
        tokens = prompt_ids(count, seed=1000 * count + number)
        computed.append(timed(engine, tokens)[0])
        time.sleep(SETTLE_S)
        engine.flush_cache()
        milliseconds, from_tarn = timed(engine, tokens)
        fetched.append(milliseconds)
        cached.append(from_tarn)
        engine.flush_cache()
    report(
        prompt=count,
        computed_ms=round(statistics.median(computed)),
        from_tarn_ms=round(statistics.median(fetched)),
        cached=min(cached),
    )


if __name__ == "__main__":
    main()
