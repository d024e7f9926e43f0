"""The decoder's promise: the KV of a token is the same bytes however it was computed."""

import hashlib
import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "examples"))

import llama  # noqa: E402
import numpy as np  # noqa: E402

LICENSE = HERE.parents[2] / "LICENSE"
SMALL = llama.ModelConfig(layers=2, max_tokens=1024)


def document(count):
    """The first `count` bytes of the licence, as tokens."""
    return list(LICENSE.read_bytes()[:count])


def kv_bytes(cache):
    """All full blocks of `cache`, as one bytes object."""
    return b"".join(cache.block(i).tobytes() for i in range(cache.full_blocks))


def in_pieces(model, tokens, sizes):
    """Prefills in pieces of the given sizes, cycled; returns the cache and the next token."""
    cache, done, turn = model.empty_cache(len(tokens)), 0, 0
    while done < len(tokens):
        size = sizes[turn % len(sizes)]
        following = model.prefill(tokens[done : done + size], cache)
        done, turn = done + size, turn + 1
    return cache, following


class EqualBytes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = llama.Model(11, SMALL)
        cls.tokens = document(400)
        cls.whole, cls.following = in_pieces(cls.model, cls.tokens, [400])
        cls.expected = kv_bytes(cls.whole)

    def check_pieces(self, sizes):
        cache, following = in_pieces(self.model, self.tokens, sizes)
        self.assertEqual(cache.length, len(self.tokens))
        self.assertEqual(kv_bytes(cache), self.expected)
        self.assertEqual(following, self.following)

    def test_token_by_token(self):
        self.check_pieces([1])

    def test_whole_blocks(self):
        self.check_pieces([16])

    def test_pieces_that_cut_tiles_blocks_and_panels(self):
        self.check_pieces([3, 61, 1, 17, 130, 2, 5])

    def test_pieces_over_the_rows_that_go_together(self):
        self.check_pieces([llama.PREFILL_ROWS + 1, 3])

    def test_a_larger_cache_changes_nothing(self):
        cache = self.model.empty_cache(1000)
        self.assertEqual(self.model.prefill(self.tokens, cache), self.following)
        self.assertEqual(kv_bytes(cache), self.expected)

    def test_blocks_from_elsewhere_leave_the_rest_equal(self):
        for loaded in (1, 4, 13, 24):
            cache = self.model.empty_cache(len(self.tokens))
            for index in range(loaded):
                cache.load_block(index, self.whole.block(index).tobytes())
            following = self.model.prefill(self.tokens[loaded * 16 :], cache)
            self.assertEqual(kv_bytes(cache), self.expected, f"{loaded} blocks loaded")
            self.assertEqual(following, self.following)

    def test_blocks_that_land_layer_by_layer_leave_the_rest_equal(self):
        for loaded in (1, 13, 24):
            blocks = np.stack([self.whole.block(index) for index in range(loaded)])
            asked = []

            def arrive(layer, blocks=blocks, asked=asked):
                asked.append(layer)
                return blocks[:, layer]

            cache = self.model.empty_cache(len(self.tokens))
            cache.expect_blocks(loaded, arrive)
            self.assertEqual(asked, [], "nothing is waited for before it is needed")
            pieces = [self.tokens[loaded * 16 :][:5], self.tokens[loaded * 16 :][5:]]
            self.model.prefill(pieces[0], cache)
            self.assertEqual(asked, list(range(SMALL.layers)))
            self.assertEqual(self.model.prefill(pieces[1], cache), self.following)
            self.assertEqual(kv_bytes(cache), self.expected, f"{loaded} blocks")
            self.assertEqual(asked, list(range(SMALL.layers)), "each layer once")

    def test_what_a_truncated_tail_held_does_not_matter(self):
        cache = self.model.empty_cache(len(self.tokens))
        self.model.prefill(self.tokens[:100] + [7] * 250, cache)
        cache.truncate(100)
        self.assertEqual(self.model.prefill(self.tokens[100:], cache), self.following)
        self.assertEqual(kv_bytes(cache), self.expected)

    def test_weights_drawn_again_compute_the_same(self):
        again = llama.Model(11, SMALL)
        cache, following = in_pieces(again, self.tokens, [50])
        self.assertEqual(kv_bytes(cache), self.expected)
        self.assertEqual(following, self.following)

    def test_another_process_computes_the_same(self):
        program = (
            "import sys, hashlib, test_llama as t\n"
            "cache, _ = t.in_pieces(t.llama.Model(11, t.SMALL), t.document(400), [50])\n"
            "print(hashlib.sha256(t.kv_bytes(cache)).hexdigest())"
        )
        found = subprocess.run(
            [sys.executable, "-c", program], cwd=HERE, capture_output=True, text=True, check=True
        )
        self.assertEqual(found.stdout.strip(), hashlib.sha256(self.expected).hexdigest())

    def test_one_wrong_byte_of_a_loaded_block_shows_in_what_follows(self):
        wrong = self.whole.block(0)
        wrong[0, 1, 0, 3, :] += 1
        cache = self.model.empty_cache(len(self.tokens))
        cache.load_block(0, wrong)
        self.model.prefill(self.tokens[16:], cache)
        after = slice(SMALL.block_bytes, None)
        self.assertNotEqual(kv_bytes(cache)[after], self.expected[after])


class RowsAreIndependent(unittest.TestCase):
    def test_a_row_does_not_see_the_other_rows_of_its_tile(self):
        random = np.random.default_rng(3)
        weight = random.standard_normal((16, 512, llama.PANEL_COLUMNS), np.float32)
        tiles = random.standard_normal((5, llama.TILE_ROWS, 512), np.float32)
        together = llama._project(tiles, weight)
        for tile in range(len(tiles)):
            for row in range(llama.TILE_ROWS):
                alone = np.zeros((1, llama.TILE_ROWS, 512), np.float32)
                alone[0, row] = tiles[tile, row]
                found = llama._project(alone, weight)[0, row]
                self.assertEqual(found.tobytes(), together[tile, row].tobytes())

    def test_one_thread_per_process(self):
        self.assertEqual(os.environ["OPENBLAS_NUM_THREADS"], "1")


class AgreesWithAPlainDecoder(unittest.TestCase):
    """Tiles and panels must not hide a wrong formula: a direct float64 decoder gives this KV."""

    def test_kv_of_all_layers(self):
        model = llama.Model(5, llama.ModelConfig(layers=3, max_tokens=256))
        tokens = document(90)
        cache = model.empty_cache(96)
        model.prefill(tokens, cache)
        expected = plain_kv(model, tokens)
        for index in range(cache.full_blocks):
            part = expected[:, :, :, index * 16 : index * 16 + 16]
            np.testing.assert_allclose(cache.block(index), part, rtol=0, atol=2e-3)


def plain_matrix(panels):
    """Panels [panels, rows, columns] as one float64 matrix [rows, panels * columns]."""
    return panels.transpose(1, 0, 2).reshape(panels.shape[1], -1).astype(np.float64)


def plain_norm(x):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)


def plain_rope(x):
    """RoPE of [heads, tokens, head_dim] as a product of complex numbers."""
    half = x.shape[-1] // 2
    angles = np.outer(np.arange(x.shape[1]), 10000.0 ** (-np.arange(half) / half))
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], -1)


def plain_kv(model, tokens):
    """K and V of all layers, [layers, 2, kv_heads, tokens, head_dim], in float64 with no tiles."""
    c, found = model.config, []
    x = model._embedding[tokens].astype(np.float64)
    for weights in model._layers:
        heads = plain_norm(x) @ plain_matrix(weights["qkv"])
        heads = heads.reshape(len(x), -1, c.head_dim).transpose(1, 0, 2)
        query, key = plain_rope(heads[: c.heads]), plain_rope(heads[c.heads : -c.kv_heads])
        value = heads[-c.kv_heads :]
        found.append(np.stack([key, value]))
        scores = query @ np.repeat(key, 2, 0).swapaxes(1, 2) / np.sqrt(c.head_dim)
        scores[:, np.triu(np.ones((len(x), len(x)), bool), 1)] = -np.inf
        share = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = share / share.sum(-1, keepdims=True) @ np.repeat(value, 2, 0)
        x = x + mixed.transpose(1, 0, 2).reshape(len(x), -1) @ plain_matrix(weights["out"])
        gate, up = np.split(plain_norm(x) @ plain_matrix(weights["gate_up"]), 2, -1)
        x = x + (gate / (1 + np.exp(-gate)) * up) @ plain_matrix(weights["down"])
    return np.stack(found)


class Greedy(unittest.TestCase):
    def test_decoding_does_not_loop(self):
        model = llama.Model(7, llama.ModelConfig(max_tokens=512))
        cache = model.empty_cache(384)
        tokens = [model.prefill(document(256), cache)]
        for _ in range(63):
            tokens.append(model.step(tokens[-1], cache))
        self.assertGreaterEqual(len(set(tokens)), 32)
        self.assertGreaterEqual(len(set(tokens[-16:])), 8)

    def test_another_seed_says_something_else(self):
        first, second = (llama.Model(seed, SMALL) for seed in (1, 2))
        found = [m.prefill(document(64), m.empty_cache(64)) for m in (first, second)]
        caches = [in_pieces(m, document(64), [64])[0] for m in (first, second)]
        self.assertNotEqual(kv_bytes(caches[0]), kv_bytes(caches[1]), found)


class BadUse(unittest.TestCase):
    def setUp(self):
        self.model = llama.Model(1, llama.ModelConfig(layers=1, max_tokens=128))
        self.cache = self.model.empty_cache(64)

    def test_blocks_are_loaded_in_order_and_whole(self):
        block = np.zeros(self.model.config.block_shape, np.float32)
        with self.assertRaisesRegex(ValueError, "does not follow"):
            self.cache.load_block(1, block)
        with self.assertRaises(ValueError):
            self.cache.load_block(0, block.tobytes()[:-4])
        self.assertEqual(self.cache.length, 0)

    def test_blocks_are_expected_once_and_end_the_pass_that_they_fail(self):
        def arrive(layer):
            raise OSError(f"layer {layer} is lost")

        self.cache.expect_blocks(2, arrive)
        self.assertEqual(self.cache.length, 32)
        with self.assertRaisesRegex(ValueError, "do not follow"):
            self.cache.expect_blocks(1, arrive)
        with self.assertRaisesRegex(OSError, "layer 0 is lost"):
            self.model.prefill(document(5), self.cache)
        self.assertEqual(self.cache.length, 32)
        with self.assertRaisesRegex(ValueError, "capacity"):
            self.model.empty_cache(64).expect_blocks(5, arrive)

    def test_a_block_that_is_not_full_is_not_handed_out(self):
        self.model.prefill(document(31), self.cache)
        self.cache.block(0)
        with self.assertRaisesRegex(IndexError, "not full"):
            self.cache.block(1)

    def test_the_capacity_holds(self):
        with self.assertRaisesRegex(ValueError, "capacity"):
            self.model.prefill(document(65), self.cache)
        with self.assertRaisesRegex(ValueError, "at least one"):
            self.model.prefill([], self.cache)
        with self.assertRaisesRegex(ValueError, "must lie in"):
            self.model.empty_cache(129)

    def test_a_block_is_what_the_geometry_says(self):
        self.assertEqual(llama.ModelConfig().block_bytes, 256 * 1024)
        self.model.prefill(document(16), self.cache)
        block = self.cache.block(0)
        self.assertTrue(block.flags.c_contiguous)
        self.assertEqual(block.nbytes, self.model.config.block_bytes)


if __name__ == "__main__":
    unittest.main()
