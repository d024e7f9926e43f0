"""Conversations over a small random Llama and a real `tarn dev`. Run in the environment of vLLM."""

import pathlib
import sys
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sdk/python/tests"))

import tarn  # noqa: E402
import torch  # noqa: E402
from dev_cluster import DevCluster  # noqa: E402
from tarn.adapters.transformers import ConversationCache, Conversations  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig  # noqa: E402

BLOCK = 4
cluster = None


def setUpModule():
    global cluster
    cluster = DevCluster()


def tearDownModule():
    cluster.stop()


def make_model(dtype=torch.float32, **fields):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 64}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.2}
    model = LlamaForCausalLM(LlamaConfig(**(sizes | heads | fields))).to(dtype).eval()
    model.config.name_or_path = "a/small-llama"
    return model


def ids(tokens):
    return torch.tensor([tokens])


class ConversationsCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = tarn.Client.connect(tarn.ClientOptions(credentials=cluster.folder))
        cls.model = make_model()

    def open(self, model=None, **options):
        known = {"block_tokens": BLOCK, "revision": self.id()}
        return Conversations(self.client, model or self.model, **(known | options))

    def go_on(self, kv, cache, prompt, count=6):
        """One turn, saved. Returns: all tokens."""
        options = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False}
        tokens = cache.tokens + prompt
        out = self.model.generate(ids(tokens), past_key_values=cache, **options)[0].tolist()
        kv.save(cache, out)
        return out


class Turns(ConversationsCase):
    def test_turns_elsewhere_are_those_of_one_server(self):
        here, prompt = self.open(), list(range(5, 16))
        cache = here.begin()
        first = self.go_on(here, cache, prompt)
        second = self.go_on(here, cache, [7, 8, 9])
        there = self.open()
        forked = there.space.open_session(cache.session_id).fork()
        resumed = there.resume(forked.id)
        self.assertEqual(resumed.tokens, second)
        self.assertEqual(resumed.get_seq_length(), (len(second) - 1) // BLOCK * BLOCK)
        for mine, theirs in zip(cache.layers, resumed.layers, strict=True):
            count = theirs.keys.shape[2]
            self.assertTrue(torch.equal(mine.keys[:, :, :count], theirs.keys))
            self.assertTrue(torch.equal(mine.values[:, :, :count], theirs.values))
        self.assertEqual(self.go_on(here, cache, [3]), self.go_on(there, resumed, [3]))
        self.assertEqual(second[: len(first)], first)

    def test_half_precision(self):
        model = make_model(torch.bfloat16)
        kv = self.open(model)
        cache = kv.begin()
        model(ids(range(3, 15)), past_key_values=cache)
        kv.save(cache, list(range(3, 15)))
        back = self.open(model).resume(cache.session_id)
        self.assertEqual(back.layers[0].keys.dtype, torch.bfloat16)
        self.assertTrue(torch.equal(back.layers[1].values, cache.layers[1].values))

    def test_prefix_of_any_session(self):
        kv = self.open()
        self.go_on(kv, kv.begin(), list(range(5, 30)))
        deadline = time.monotonic() + 10
        cache = kv.begin_with_prefix(list(range(5, 25)))
        while cache.get_seq_length() < 16 and time.monotonic() < deadline:  # routers may lag a put
            cache = kv.begin_with_prefix(list(range(5, 25)))
        self.assertEqual(cache.get_seq_length(), 16)
        self.assertEqual(cache.tokens, list(range(5, 21)))
        self.go_on(kv, cache, [21, 22])
        self.assertEqual(kv.resume(cache.session_id).tokens, cache.tokens)

    def test_two_workers_conflict(self):
        kv, other = self.open(), self.open()
        cache = kv.begin()
        self.go_on(kv, cache, list(range(9)))
        late = other.resume(cache.session_id)
        self.go_on(kv, cache, [1])
        with self.assertRaises(tarn.Error) as caught:
            self.go_on(other, late, [2])
        self.assertEqual(caught.exception.outcome, tarn.Outcome.conflict)

    def test_lost_blocks_are_computed_and_kept_again(self):
        kv = self.open()
        cache = kv.begin()
        self.go_on(kv, cache, list(range(5, 30)))
        back = kv.resume(cache.session_id)
        back.reset()
        empty = ConversationCache(kv.config, cache.session_id)
        empty.version, empty.tokens = back.version, back.tokens
        empty.saved_blocks = back.saved_blocks
        self.assertEqual(len(self.go_on(kv, empty, [4])), len(back.tokens) + 7)
        self.assertEqual(empty.kept_blocks, empty.saved_blocks)


class Identity(ConversationsCase):
    def test_adapter_and_salt_are_kept_apart(self):
        kv = self.open(salt="alice")
        cache = kv.begin()
        self.go_on(kv, cache, list(range(5, 30)))
        self.assertGreater(kv.resume(cache.session_id).get_seq_length(), 0)
        for other in (self.open(), self.open(salt="bob"), self.open(adapter="alice")):
            self.assertEqual(other.resume(cache.session_id).get_seq_length(), 0)

    def test_another_space_has_no_such_session(self):
        kv = self.open()
        cache = kv.begin()
        for options in ({"revision": "2"}, {"block_tokens": 8}, {"model": make_model(torch.half)}):
            with self.assertRaises(tarn.Error):
                self.open(**options).resume(cache.session_id)

    def test_what_cannot_be_told_apart_or_cut_is_refused(self):
        with self.assertRaisesRegex(ValueError, "revision"):
            self.open(revision="")
        with self.assertRaisesRegex(ValueError, "cannot be cut"):
            ConversationCache(MistralConfig(num_hidden_layers=1, sliding_window=8), "s")
        kv = self.open()
        cache = kv.begin()
        self.model(torch.tensor([list(range(8))] * 2), past_key_values=cache)
        with self.assertRaisesRegex(ValueError, "cache"):
            kv.save(cache, list(range(8)))

    def test_no_such_session(self):
        with self.assertRaises(tarn.Error) as caught:
            self.open().resume("nobody")
        self.assertEqual(caught.exception.outcome, tarn.Outcome.miss)


if __name__ == "__main__":
    unittest.main()
