"""The package under asyncio, memory by DLPack, and the type stubs, against a real `tarn dev`."""

import asyncio
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402

import tarn  # noqa: E402
from dev_cluster import DevCluster  # noqa: E402

cluster = None


def setUpModule():
    global cluster
    cluster = DevCluster()


def tearDownModule():
    cluster.stop()


class OnlyDlpack:
    """An array as another library would have it: DLPack, and no buffer protocol."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class ClientCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = tarn.Client.connect(tarn.ClientOptions(credentials=cluster.folder))
        cls.space = cls.client.open_space(tarn.SpaceSpec(model=cls.__name__, flat=True))

    def name(self, suffix=""):
        return f"{self._testMethodName[-20:]}{suffix}".encode()[:32]

    def put(self, memory, suffix=""):
        return self.space.put_kv([tarn.PutItem(hash=self.name(suffix), slices=[memory])])

    def get(self, memory, suffix="", **options):
        items = [tarn.GetItem(hash=self.name(suffix), slices=[memory])]
        return self.space.get_kv(items, tarn.CallOptions(**options))


class Awaiting(ClientCase):
    def test_many_transfers_in_one_loop(self):
        data = [np.full(5000, i, np.uint8) for i in range(30)]
        memory = [np.empty(5000, np.uint8) for _ in data]

        async def one(index):
            self.assertTrue((await self.put(data[index], index)).all_ok())
            transfer = self.get(memory[index], index)
            self.assertIs(await transfer, transfer)
            self.assertIs(await transfer, transfer)  # once more: it has ended
            self.assertTrue(transfer.all_ok())

        async def every():
            await asyncio.gather(*(one(index) for index in range(len(data))))

        asyncio.run(every())
        self.assertTrue(all((a == b).all() for a, b in zip(data, memory, strict=True)))

    def test_several_tasks_await_one_transfer(self):
        async def both():
            transfer = self.put(b"shared")
            ended = await asyncio.gather(*(self.ended(transfer) for _ in range(3)))
            self.assertEqual(ended, [True] * 3)

        asyncio.run(both())

    async def ended(self, transfer):
        return (await transfer).poll()

    def test_the_loop_goes_on_and_a_cancelled_task_ends_the_transfer(self):
        self.put(bytes(4096)).wait()

        async def hang():
            transfer = self.get(bytearray(4096), timeout_ms=20000)
            task = asyncio.ensure_future(self.ended(transfer))
            for _ in range(5):
                await asyncio.sleep(0.02)
            self.assertFalse(task.done())
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            transfer.wait(10000)
            return transfer.outcomes()[0].outcome

        cluster.signal(signal.SIGSTOP)
        try:
            self.assertEqual(asyncio.run(hang()), tarn.Outcome.cancelled)
        finally:
            cluster.signal(signal.SIGCONT)

    def test_calls_that_block(self):
        async def calls():
            session = await self.space.async_create_session()
            manifest = await session.async_resolve()
            self.assertEqual(manifest.version, 1)
            self.assertEqual(await self.space.async_exists([b"nothing"]), [False])
            with self.assertRaises(tarn.Error):
                await self.space.open_session("nobody").async_resolve()

        asyncio.run(calls())


class Dlpack(ClientCase):
    def test_round_trip(self):
        data = np.arange(3000, dtype=np.float32).reshape(30, 100)
        self.put(OnlyDlpack(data)).wait()
        memory = np.zeros_like(data)
        transfer = self.get(OnlyDlpack(memory))
        transfer.wait()
        self.assertTrue(transfer.all_ok())
        self.assertTrue((memory == data).all())

    def test_read_only_can_be_put_and_not_filled(self):
        data = np.arange(100, dtype=np.uint8)
        data.flags.writeable = False
        transfer = self.put(OnlyDlpack(data))
        transfer.wait()
        self.assertTrue(transfer.all_ok())
        with self.assertRaises(BufferError):
            self.get(OnlyDlpack(data))

    def test_what_is_not_contiguous_is_refused(self):
        columns = np.zeros((10, 10), np.uint8)[:, ::2]
        with self.assertRaisesRegex(BufferError, "C-contiguous"):
            self.put(OnlyDlpack(columns))


class Stubs(unittest.TestCase):
    def test_they_are_those_of_the_extension(self):
        package = HERE.parent / "tarn"
        with tempfile.TemporaryDirectory() as folder:
            made = pathlib.Path(folder) / "_core.pyi"
            command = [sys.executable, "-m", "nanobind.stubgen", "-q", "-m", "tarn._core"]
            command += ["-p", str(package / "stub_patterns.txt"), "-o", str(made)]
            subprocess.run(command, check=True)
            same = made.read_text() == (package / "_core.pyi").read_text()
        again = " ".join([*command[1:-1], str(package / "_core.pyi")])
        self.assertTrue(same, f"make them again: {again}")
        self.assertTrue((package / "py.typed").exists())


if __name__ == "__main__":
    unittest.main()
