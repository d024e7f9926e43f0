"""TarnHiCache over the page layouts of SGLang's own pools and a real `tarn dev`."""

import pathlib
import signal
import sys
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sdk/python/tests"))

import torch  # noqa: E402
from dev_cluster import DevCluster  # noqa: E402
from sglang.srt.mem_cache.hicache_storage import HiCacheStorageConfig  # noqa: E402
from sglang.srt.mem_cache.pool_host.mha import MHATokenToKVPoolHost  # noqa: E402
from sglang.srt.mem_cache.pool_host.mla import MLATokenToKVPoolHost  # noqa: E402
from tarn.adapters.sglang import TarnHiCache, name_of, shard_and_count  # noqa: E402

PAGE, PAGES, LAYERS, HEADS, DIM = 4, 8, 3, 2, 16
cluster = None


def setUpModule():
    global cluster
    cluster = DevCluster()


def tearDownModule():
    cluster.stop()


def config(extra=None, **fields):
    """What SGLang tells a backend, of one rank unless told otherwise."""
    values = {
        "tp_rank": 0,
        "tp_size": 1,
        "pp_rank": 0,
        "pp_size": 1,
        "attn_cp_rank": 0,
        "attn_cp_size": 1,
        "is_mla_model": False,
        "enable_storage_metrics": False,
        "is_page_first_layout": True,
        "model_name": "a/model",
    }
    known = {"interface_v1": 1, "revision": "r1", "credentials": cluster.folder}
    return HiCacheStorageConfig(**(values | fields), extra_config=known | (extra or {}))


def fill(pool, shape):
    """Gives a pool, made without its constructor, memory that differs from any other's."""
    pool.kv_buffer = torch.randn(shape, dtype=torch.float32)
    pool.dtype, pool.page_size, pool.layer_num = torch.float32, PAGE, LAYERS
    pool.size = PAGE * PAGES
    return pool


def mha_pool(layout="page_first_direct"):
    pool = MHATokenToKVPoolHost.__new__(MHATokenToKVPoolHost)
    pool.layout, pool.head_num, pool.head_dim = layout, HEADS, DIM
    if layout == "page_first":
        return fill(pool, (2, PAGE * PAGES, LAYERS, HEADS, DIM))
    return fill(pool, (2, PAGES, LAYERS, PAGE, HEADS, DIM))


def mla_pool(layout="page_first"):
    pool = MLATokenToKVPoolHost.__new__(MLATokenToKVPoolHost)
    pool.layout, pool.kv_lora_rank, pool.qk_rope_head_dim = layout, 12, 4
    pool.kv_cache_dim, pool.dcp_size = 16, 1
    if layout == "page_first":
        return fill(pool, (PAGE * PAGES, LAYERS, 1, 16))
    return fill(pool, (PAGES, LAYERS, PAGE, 1, 16))


def indices(*pages):
    """Token indices of pages of a pool, as SGLang passes them."""
    return torch.cat([torch.arange(page * PAGE, (page + 1) * PAGE) for page in pages])


def page(pool, index):
    return pool.get_data_page(index * PAGE, flat=True).clone()


class HiCacheCase(unittest.TestCase):
    def backend(self, pool, extra=None, **fields):
        backend = TarnHiCache(config(extra, **fields), {})
        self.addCleanup(backend.close)
        backend.register_mem_pool_host(pool)
        return backend

    def up(self, pool, extra=None, **fields):
        backend = self.backend(pool, extra, **fields)
        self.assertTrue(backend._link.wait_up(10))
        return backend

    def keys(self, count):
        return [f"{self.id()} {i}".encode().hex()[-64:].rjust(64, "0") for i in range(count)]


class Pages(HiCacheCase):
    def round_trip(self, make, **fields):
        source, target, keys = make(), make(), self.keys(3)
        stored = self.up(source, **fields).batch_set_v1(keys, indices(1, 4, 2))
        self.assertEqual(stored, [True] * 3)
        before = target.kv_buffer.clone()
        reader = self.up(target, **fields)
        self.assertEqual(reader.batch_exists(keys), 3)
        self.assertEqual(reader.batch_get_v1(keys, indices(7, 0, 3)), [True] * 3)
        for there, here in ((1, 7), (4, 0), (2, 3)):
            self.assertTrue(torch.equal(page(source, there), page(target, here)))
        for untouched in (1, 2, 4, 5, 6):
            kept, target.kv_buffer = target.kv_buffer, before
            old = page(target, untouched)
            target.kv_buffer = kept
            self.assertTrue(torch.equal(page(target, untouched), old))
        self.assertEqual(reader.counters, {"found": 3, "loaded": 3, "not_loaded": 0})

    def test_heads_page_first_direct(self):
        self.round_trip(mha_pool)

    def test_heads_page_first(self):
        self.round_trip(lambda: mha_pool("page_first"))

    def test_latent_page_first(self):
        self.round_trip(mla_pool, is_mla_model=True)

    def test_latent_page_first_direct(self):
        self.round_trip(lambda: mla_pool("page_first_direct"), is_mla_model=True)

    def test_a_hole_ends_the_prefix(self):
        keys = self.keys(3)
        backend = self.up(mha_pool())
        backend.batch_set_v1([keys[0], keys[2]], indices(0, 2))
        self.assertEqual(backend.batch_exists(keys), 1)
        self.assertEqual(backend.batch_get_v1(keys, indices(3, 4, 5)), [True, False, True])

    def test_stored_again_is_kept(self):
        keys, backend = self.keys(1), self.up(mha_pool())
        for _ in range(2):
            self.assertEqual(backend.batch_set_v1(keys, indices(0)), [True])


class Identity(HiCacheCase):
    def test_a_page_is_there_when_all_ranks_have_stored_it(self):
        keys, pools = self.keys(2), [mha_pool(), mha_pool()]
        ranks = [self.up(pool, tp_rank=i, tp_size=2) for i, pool in enumerate(pools)]
        ranks[0].batch_set_v1(keys, indices(0, 1))
        self.assertEqual([rank.batch_exists(keys) for rank in ranks], [0, 0])
        ranks[1].batch_set_v1(keys, indices(0, 1))
        self.assertEqual([rank.batch_exists(keys) for rank in ranks], [2, 2])
        for rank, pool in zip(ranks, pools, strict=True):
            self.assertEqual(rank.batch_get_v1(keys, indices(2, 3)), [True, True])
            self.assertTrue(torch.equal(page(pool, 0), page(pool, 2)))

    def test_latent_pages_are_of_all_ranks(self):
        keys = self.keys(1)
        self.up(mla_pool(), is_mla_model=True).batch_set_v1(keys, indices(0))
        for size in (2, 4):
            other = self.up(mla_pool(), is_mla_model=True, tp_rank=size - 1, tp_size=size)
            self.assertEqual(other.batch_exists(keys), 1)

    def test_what_changes_bytes_is_another_space(self):
        keys = self.keys(1)
        self.up(mha_pool()).batch_set_v1(keys, indices(0))
        half = mha_pool()
        half.dtype, half.kv_buffer = torch.float16, half.kv_buffer.half()
        others = {
            "revision": self.up(mha_pool(), {"revision": "r2"}),
            "model": self.up(mha_pool(), model_name="another"),
            "size": self.up(mha_pool(), tp_size=4),
            "layout": self.up(mha_pool("page_first")),
            "dtype": self.up(half),
        }
        for name, other in others.items():
            self.assertEqual(other.batch_exists(keys), 0, name)

    def test_names(self):
        key = "ab" * 32
        self.assertEqual(name_of(key), bytes.fromhex(key))
        names = {name_of(k) for k in (key, key.upper(), key + "_lora")}
        self.assertEqual({len(name) for name in names}, {32})
        self.assertEqual(len(names), 3)

    def test_shards(self):
        sizes = {"pp_size": 2, "tp_size": 3, "attn_cp_size": 2}
        parts = {
            shard_and_count(config(pp_rank=p, tp_rank=t, attn_cp_rank=c, **sizes))
            for p in range(2)
            for t in range(3)
            for c in range(2)
        }
        self.assertEqual(parts, {(shard, 12) for shard in range(12)})
        latent = config(is_mla_model=True, tp_rank=3, tp_size=4)
        self.assertEqual(shard_and_count(latent), (0, 1))

    def test_what_cannot_be_told_apart_is_refused(self):
        for name, extra, fields in (
            ("revision", {"revision": ""}, {}),
            ("interface_v1", {"interface_v1": 0}, {}),
            ("no name", {}, {"model_name": None}),
            ("tp_lcm_size", {}, {"should_split_heads": True}),
        ):
            with self.assertRaisesRegex(ValueError, name):
                TarnHiCache(config(extra, **fields), {})
        backend = TarnHiCache(config(), {})
        with self.assertRaisesRegex(ValueError, "layer_first"):
            backend.register_mem_pool_host(mha_pool("layer_first"))
        with self.assertRaisesRegex(ValueError, "mamba"):
            backend.register_mem_host_pool_v2(mha_pool(), "mamba")


class Faults(HiCacheCase):
    def test_absent_answers_at_once(self):
        with self.assertLogs("tarn.adapters", "WARNING") as logs:
            backend = self.backend(mha_pool(), {"endpoint": "127.0.0.1:1"})
            self.assertFalse(backend._link.wait_up(3))
            start = time.monotonic()
            self.assertEqual(backend.batch_exists(self.keys(2)), 0)
            self.assertEqual(backend.batch_get_v1(self.keys(2), indices(0, 1)), [False] * 2)
            self.assertEqual(backend.batch_set_v1(self.keys(2), indices(0, 1)), [False] * 2)
            self.assertLess(time.monotonic() - start, 0.1)
        self.assertEqual(len(logs.output), 1)

    def test_refused_credentials_are_told_once(self):
        with self.assertLogs("tarn.adapters", "WARNING") as logs:
            backend = self.backend(mha_pool(), {"credentials": "/nonexistent"})
            self.assertFalse(backend._link.wait_up(3))
        self.assertEqual(len(logs.output), 1)

    def test_hanging_costs_one_deadline_and_is_used_again(self):
        keys, backend = self.keys(1), self.up(mha_pool(), {"timeout_ms": 500})
        backend.batch_set_v1(keys, indices(0))
        with self.assertLogs("tarn.adapters", "WARNING") as logs:
            cluster.signal(signal.SIGSTOP)
            try:
                start = time.monotonic()
                self.assertEqual(backend.batch_get_v1(keys, indices(1)), [False])
                self.assertLess(time.monotonic() - start, 3)
                start = time.monotonic()
                for _ in range(20):
                    self.assertEqual(backend.batch_get_v1(keys, indices(1)), [False])
                self.assertLess(time.monotonic() - start, 0.1)
            finally:
                cluster.signal(signal.SIGCONT)
            self.assertTrue(backend._link.wait_up(15))
            self.assertEqual(backend.batch_get_v1(keys, indices(1)), [True])
        self.assertEqual(len(logs.output), 2)  # away, and back


if __name__ == "__main__":
    unittest.main()
