"""Hugging Face transformers: without Tarn, saving a conversation to it, or resuming one from it."""

import argparse
import hashlib
import time

import torch
from transformers import DynamicCache, LlamaForCausalLM
from workload import BLOCK_TOKENS, NEW_TOKENS, prompt_ids, report

SESSION = "transformers-door"


def generate(model, tokens, cache):
    """Greedy decoding. Returns: the prompt and NEW_TOKENS after it."""
    ids = torch.tensor([tokens])
    options = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
    return model.generate(ids, past_key_values=cache, **options)[0].tolist()


def digest(cache, count):
    """Of the bytes of the KV of the first tokens."""
    state = hashlib.sha256()
    for layer in cache.layers:
        for tensor in (layer.keys, layer.values):
            state.update(tensor[:, :, :count].contiguous().view(torch.uint8).numpy())
    return state.hexdigest()


def conversations(model, args):
    import tarn
    from tarn.adapters.transformers import Conversations

    client = tarn.Client.connect(tarn.ClientOptions(credentials=args.credentials))
    return Conversations(client, model, block_tokens=BLOCK_TOKENS, revision="random-0")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["plain", "save", "resume"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--credentials", help="folder, for save and resume")
    parser.add_argument("--prompt-tokens", type=int, default=500)
    args = parser.parse_args()
    model = LlamaForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    prompt = prompt_ids(args.prompt_tokens, seed=args.prompt_tokens)
    whole = args.prompt_tokens // BLOCK_TOKENS * BLOCK_TOKENS
    kv = None if args.mode == "plain" else conversations(model, args)
    start = time.perf_counter()
    if args.mode == "plain":
        cache = DynamicCache(config=model.config)
    elif args.mode == "save":
        cache = kv.begin(f"{SESSION}-{args.prompt_tokens}")
    else:
        cache = kv.resume(f"{SESSION}-{args.prompt_tokens}")
        prompt = cache.tokens[: args.prompt_tokens]
    cached = cache.get_seq_length()
    if args.mode == "resume":
        cache.crop(whole)
    with torch.no_grad():
        output = generate(model, prompt, cache)
    seconds = round(time.perf_counter() - start, 3)
    if args.mode == "save":
        kv.save(cache, output)
    report(
        engine="transformers",
        mode=args.mode,
        seconds=seconds,
        cached=cached,
        kv=digest(cache, whole),
        tokens=output[args.prompt_tokens :],
    )


if __name__ == "__main__":
    main()
