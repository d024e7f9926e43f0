"""The prompt that every engine is sent, and the JSON lines that their runners print."""

import json
import random

VOCABULARY = 1024
BLOCK_TOKENS = 32
PROMPT_TOKENS = 500  # 15 full blocks of 32 and a rest, which is always computed
NEW_TOKENS = 16


def prompt_ids(count=PROMPT_TOKENS, seed=1):
    """Returns `count` token ids, the same for the same seed, without the special ones, 0 to 2."""
    generator = random.Random(seed)
    return [generator.randrange(3, VOCABULARY) for _ in range(count)]


def report(**fields):
    """Prints one result as a JSON line on stdout; the engines' own logs go to stderr."""
    print(json.dumps(fields), flush=True)
