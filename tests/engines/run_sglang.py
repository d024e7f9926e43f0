"""SGLang on the CPU with a HiCache storage backend: one prompt, twice, and a JSON line for each.

In a second process over the same Tarn the first round must find what the first process stored.
"""

import argparse
import json
import os
import pathlib
import sys
import time

START = time.perf_counter()
HERE = pathlib.Path(__file__).resolve().parent
# The scheduler is a process of its own: it finds shim and backend through PYTHONPATH.
PATHS = [str(HERE / "sglang_shim"), str(HERE), os.environ.get("PYTHONPATH", "")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, PATHS))
# HiCache compiles its page hash at first use; ninja is beside the environment's python.
os.environ["PATH"] = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
os.environ["SGLANG_USE_CPU_ENGINE"] = "0"  # with 1 it wants kernels that PyPI's wheel lacks
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import sglang  # noqa: E402
from workload import BLOCK_TOKENS, NEW_TOKENS, prompt_ids, report  # noqa: E402

SETTLE_S = 2  # pages are written behind the request


def hicache_arguments(backend, parameters):
    """Engine arguments that put `backend` (module:class) under the host cache."""
    module, name = backend.split(":")
    extra = {"backend_name": name, "module_path": module, "class_name": name, "interface_v1": 1}
    return {
        "enable_hierarchical_cache": True,
        "hicache_ratio": 2.0,
        "hicache_write_policy": "write_through",
        "hicache_io_backend": "direct",
        "hicache_mem_layout": "page_first_direct",
        "hicache_storage_backend": "dynamic",
        "hicache_storage_prefetch_policy": "wait_complete",
        "hicache_storage_backend_extra_config": json.dumps(
            {**extra, "prefetch_threshold": 64, **parameters}
        ),
    }


def start(model, hicache):
    """The engine, with further arguments."""
    return sglang.Engine(
        model_path=model,
        device="cpu",
        dtype="float32",
        attention_backend="torch_native",
        page_size=BLOCK_TOKENS,
        max_total_tokens=8192,
        mem_fraction_static=0.1,
        disable_overlap_schedule=True,
        host="127.0.0.1",
        log_level="info",
        **hicache,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["plain", "hicache"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--backend", default="digesting_hicache:DigestingHiCache")
    parser.add_argument("--json", type=json.loads, default={}, help="parameters of the backend")
    parser.add_argument("--prompts", default="500", help="tokens of each prompt: 500,1000")
    parser.add_argument("--new-tokens", type=int, default=NEW_TOKENS)
    args = parser.parse_args()
    hicache = hicache_arguments(args.backend, args.json) if args.mode == "hicache" else {}
    engine = start(args.model, hicache)
    report(engine="sglang", start_seconds=round(time.perf_counter() - START, 1))
    for count in map(int, args.prompts.split(",")):
        for number in (1, 2):
            send(engine, count, number, args.new_tokens)
    engine.shutdown()


def send(engine, count, number, new_tokens):
    sampling = {"temperature": 0, "max_new_tokens": new_tokens, "ignore_eos": True}
    start = time.perf_counter()
    output = engine.generate(input_ids=prompt_ids(count, seed=count), sampling_params=sampling)
    seconds = round(time.perf_counter() - start, 3)
    cached = output["meta_info"]["cached_tokens"]
    report(prompt=count, round=number, seconds=seconds, cached=cached, tokens=output["output_ids"])
    time.sleep(SETTLE_S)


if __name__ == "__main__":
    main()
