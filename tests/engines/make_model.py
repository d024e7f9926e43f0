"""Writes a tiny random Llama and its word tokenizer to a folder: make_model.py DIR."""

import argparse
import pathlib
import sys

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from workload import VOCABULARY

# With the usual initializer_range of 0.02 the model repeats one or two tokens, and a zeroed block
# of the prompt's KV changes them in 9 of 15 cases only; with 0.15 in 15 of 15.
CONFIG = {
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 8192,
    "initializer_range": 0.15,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "dtype": "float32",
}


def make_tokenizer():
    """One word per id: `<unk>`, `<s>`, `</s>`, then `w3` to `w1023`."""
    words = ["<unk>", "<s>", "</s>"] + [f"w{i}" for i in range(3, VOCABULARY)]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG)).float()
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{folder}: {parameters / 1e6:.1f} M parameters, float32")


if __name__ == "__main__":
    main()
