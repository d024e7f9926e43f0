"""Layer-wise gets against a real `tarn dev`: told in order, awaited, and what fails."""

import asyncio
import contextlib
import os
import pathlib
import select
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402

import tarn  # noqa: E402
from dev_cluster import DevCluster  # noqa: E402

BLOCKS, BLOCK_BYTES, LAYERS = 16, 256 * 1024, 8
ENDS = [BLOCK_BYTES * (i + 1) // LAYERS for i in range(LAYERS)]


class LayersCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = DevCluster()
        cls.addClassCleanup(cls.cluster.stop)
        options = tarn.ClientOptions(credentials=cls.cluster.folder)
        cls.space = tarn.Client.connect(options).open_space(tarn.SpaceSpec(model="l", flat=True))
        random = np.random.default_rng(5)
        cls.bytes = random.integers(0, 256, (BLOCKS, BLOCK_BYTES), np.uint8)
        items = [tarn.PutItem(hash=cls.name(i), slices=[b]) for i, b in enumerate(cls.bytes)]
        with cls.space.put_kv(items) as transfer:
            transfer.wait()
            assert transfer.all_ok()

    @classmethod
    def tearDownClass(cls):
        del cls.space

    @staticmethod
    def name(index):
        return f"block-{index}".encode()

    def get(self, ends=ENDS, **options):
        """A get of all blocks into fresh memory: (the transfer, the memory)."""
        memory = np.zeros_like(self.bytes)
        items = [tarn.GetItem(hash=self.name(i), slices=[m]) for i, m in enumerate(memory)]
        options = tarn.CallOptions(layer_ends=ends, **options)
        return self.space.get_kv(items, options), memory

    def assert_landed(self, memory, layer):
        end = ENDS[layer]
        self.assertTrue(np.array_equal(memory[:, :end], self.bytes[:, :end]), f"layer {layer}")

    def test_each_layer_is_there_when_it_is_told(self):
        transfer, memory = self.get()
        for layer in range(LAYERS):
            transfer.wait_layer(layer)
            self.assertGreater(transfer.layers_ready(), layer)
            self.assert_landed(memory, layer)
        transfer.wait()
        self.assertTrue(transfer.all_ok())
        self.assertEqual(transfer.outcomes()[0].bytes, BLOCK_BYTES)

    def test_tasks_await_layers_in_any_order(self):
        async def run():
            transfer, memory = self.get()

            async def each(layer):
                await transfer.layer(layer)
                self.assert_landed(memory, layer)
                return layer

            landed = await asyncio.gather(*(each(layer) for layer in reversed(range(LAYERS))))
            self.assertEqual(landed, list(reversed(range(LAYERS))))
            await transfer.layer(0)
            transfer.wait()
            self.assertTrue(transfer.all_ok())

        asyncio.run(asyncio.wait_for(run(), 30))

    def test_the_descriptor_tells(self):
        transfer, _ = self.get()
        while transfer.layers_ready() < LAYERS:
            self.assertTrue(select.select([transfer.layer_fd()], [], [], 30)[0])
        self.assertTrue(select.select([transfer.layer_fd()], [], [], 30)[0], "it ends")
        transfer.wait()

    def test_what_never_lands_raises_why(self):
        memory = np.zeros(BLOCK_BYTES, np.uint8)
        items = [tarn.GetItem(hash=b"nobody", slices=[memory])]
        transfer = self.space.get_kv(items, tarn.CallOptions(layer_ends=ENDS))
        with self.assertRaises(tarn.Error) as caught:
            transfer.wait_layer(0)
        self.assertEqual(caught.exception.outcome, tarn.Outcome.miss)

        async def wait():
            await transfer.layer(LAYERS - 1)

        with self.assertRaises(tarn.Error):
            asyncio.run(wait())

    def test_layers_that_do_not_end_with_the_block_are_refused(self):
        transfer, _ = self.get(ENDS[:-1])
        transfer.wait()
        self.assertEqual(transfer.outcomes()[0].outcome, tarn.Outcome.invalid_argument)
        self.assertRegex(transfer.outcomes()[0].message, "the last layer ends at")
        plain, _ = self.get([])
        self.assertEqual(plain.layer_fd(), -1)
        with self.assertRaisesRegex(tarn.Error, "fewer"):
            asyncio.run(plain.layer(0))


class Told:
    """What `layer` needs of a Transfer; `tell` says how many have landed."""

    def __init__(self):
        self.fd, self.ready = os.eventfd(0, os.EFD_NONBLOCK), 0

    def tell(self, ready):
        self.ready = ready
        os.eventfd_write(self.fd, 1)

    def layer_fd(self):
        return self.fd

    def layers_ready(self):
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)
        return self.ready

    def poll(self):
        return False


class Awaited(unittest.TestCase):
    def test_a_task_that_looks_first_takes_no_news_from_another(self):
        async def run():
            told = Told()
            first = asyncio.ensure_future(tarn.Transfer.layer(told, 0))
            await asyncio.sleep(0)
            self.assertFalse(first.done(), "the event loop goes on meanwhile")
            told.tell(1)
            later = tarn.Transfer.layer(told, 1)
            later.send(None)  # it looks before the event loop does
            await asyncio.wait_for(first, 30)
            later.close()
            os.close(told.fd)

        asyncio.run(run())


if __name__ == "__main__":
    unittest.main()
