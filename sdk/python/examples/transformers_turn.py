"""One turn of a conversation with a transformers model; its KV comes from Tarn and goes back.

transformers_turn.py MODEL "TEXT" [SESSION]: prints the answer and the session's id, with which any
machine goes on. Needs torch and transformers.
"""

import sys

import tarn
import torch
from tarn.adapters.transformers import Conversations
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(name, text, session_id=""):
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForCausalLM.from_pretrained(name)
    kv = Conversations(tarn.Client.connect(), model, revision=model.config._commit_hash or name)
    cache = kv.resume(session_id) if session_id else kv.begin()
    prompt = cache.tokens + tokenizer(text)["input_ids"]
    output = model.generate(torch.tensor([prompt]), past_key_values=cache)[0].tolist()
    kv.save(cache, output)
    print(tokenizer.decode(output[len(prompt) :]))
    print(f"session {cache.session_id}: {cache.get_seq_length()} tokens are held")


if __name__ == "__main__":
    main(*sys.argv[1:])
