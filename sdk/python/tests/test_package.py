"""The package against a real `tarn dev`: memory, the GIL, threads, errors, leaks and fork()."""

import array
import concurrent.futures
import gc
import mmap
import os
import pathlib
import random
import select
import signal
import sys
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402

import tarn  # noqa: E402
from dev_cluster import DevCluster  # noqa: E402

Outcome = tarn.Outcome
cluster = None


def setUpModule():
    global cluster
    cluster = DevCluster()


def tearDownModule():
    cluster.stop()


def connect():
    options = tarn.ClientOptions(credentials=cluster.folder, transport=tarn.Transport.grpc)
    return tarn.Client.connect(options)


class PackageCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = connect()
        cls.space = cls.client.open_space(tarn.SpaceSpec(model=cls.__name__, flat=True))

    @classmethod
    def tearDownClass(cls):
        del cls.client, cls.space
        gc.collect()

    def name(self, suffix=""):
        return f"{self._testMethodName[-20:]}{suffix}".encode()[:32]

    def put(self, name, *memory):
        transfer = self.space.put_kv([tarn.PutItem(hash=name, slices=list(memory))])
        transfer.wait()
        return transfer.outcomes()[0]

    def get(self, name, *memory):
        transfer = self.space.get_kv([tarn.GetItem(hash=name, slices=list(memory))])
        transfer.wait()
        return transfer.outcomes()[0]


class Memory(PackageCase):
    def test_anything_with_the_buffer_protocol(self):
        data = bytes(range(256)) * 16
        sources = {
            "bytes": data,
            "bytearray": bytearray(data),
            "slice": memoryview(b"xx" + data + b"yy")[2:-2],
            "array": array.array("B", data),
            "numpy": np.frombuffer(data, np.uint8),
            "matrix": np.frombuffer(data, np.float32).reshape(32, 32),
            "rows": np.frombuffer(data * 2, np.uint16).reshape(64, 64)[:32],
        }
        for kind, source in sources.items():
            name = self.name(kind)
            self.assertEqual(self.put(name, source).outcome, Outcome.ok, kind)
            room = bytearray(len(data))
            self.assertEqual(self.get(name, room).outcome, Outcome.ok, kind)
            self.assertEqual(bytes(room), data, kind)

    def test_rooms_of_every_kind_are_written_in_place(self):
        data = random.Random(5).randbytes(4096)
        self.put(self.name(), data)
        mapped = mmap.mmap(-1, 4096)
        rooms = [
            bytearray(4096),
            memoryview(bytearray(5000))[100:4196],
            np.zeros((64, 16), np.float32),
            array.array("I", bytes(4096)),
            mapped,
            self.client.allocate(4096),
        ]
        for room in rooms:
            self.assertEqual(self.get(self.name(), room).outcome, Outcome.ok, type(room))
            self.assertEqual(bytes(memoryview(room).cast("B")), data, type(room))

    def test_memory_that_cannot_be_used_raises_before_anything_is_sent(self):
        strided = np.zeros((64, 64), np.uint8)[:, ::2]
        transposed = np.zeros((4, 8)).T
        for wrong in (strided, transposed, memoryview(b"abcdef")[::2]):
            with self.assertRaises((BufferError, ValueError)):
                self.put(self.name(), wrong)
            with self.assertRaises((BufferError, ValueError)):
                self.get(self.name(), wrong)
        frozen = np.zeros(8, np.uint8)
        frozen.flags.writeable = False
        for readonly in (b"bytes", memoryview(b"bytes"), frozen):
            with self.assertRaises((BufferError, ValueError, TypeError)):
                self.get(self.name(), readonly)
        for nothing in (None, 5, "text", object()):
            with self.assertRaises(TypeError):
                self.put(self.name(), nothing)

    def test_blocks_are_gathered_and_scattered(self):
        buffer = self.client.allocate(1000)
        memoryview(buffer)[:] = bytes(i % 251 for i in range(1000))
        whole = bytes(buffer.slice(0, 1).size) + b"plain" + bytes(memoryview(buffer)[500:600])
        self.put(self.name(), bytes(1), b"plain", buffer.slice(500, 100))
        rooms = bytearray(1), np.zeros(5, np.uint8), bytearray(100)
        self.assertEqual(self.get(self.name(), *rooms).outcome, Outcome.ok)
        self.assertEqual(b"".join(bytes(r) for r in rooms), whole)

    def test_a_slice_past_the_end_raises_and_one_of_another_client_is_refused(self):
        buffer = connect().allocate(100)
        for offset, size in ((0, 101), (100, 1), (101, 0), (2**63, 1)):
            with self.assertRaises(ValueError):
                buffer.slice(offset, size)
        with self.assertRaises(TypeError):
            buffer.slice(-1, 5)
        outcome = self.put(self.name(), buffer.slice(0, 10))
        self.assertEqual(outcome.outcome, Outcome.invalid_argument)
        self.assertIn("another client", outcome.message)

    def test_registered_memory_keeps_its_size_as_long_as_the_buffer(self):
        room = bytearray(4096)
        buffer = self.client.register_memory(room)
        with self.assertRaises(BufferError):
            room.extend(b"more")
        self.put(self.name(), b"k" * 4096)
        self.assertEqual(self.get(self.name(), buffer).outcome, Outcome.ok)
        self.assertEqual(room, b"k" * 4096)
        del buffer
        gc.collect()
        room.extend(b"more")

    def test_memory_in_flight_keeps_its_size_until_the_transfer_has_gone(self):
        room = bytearray(100)
        transfer = self.space.get_kv([tarn.GetItem(hash=b"nowhere", slices=[room])])
        with self.assertRaises(BufferError):
            room.append(1)
        transfer.wait()
        del transfer
        gc.collect()
        room.append(1)

    def test_only_writable_memory_is_registered(self):
        for wrong in (b"bytes", memoryview(b"bytes"), np.zeros((4, 4))[:, 1]):
            with self.assertRaises((BufferError, ValueError, TypeError)):
                self.client.register_memory(wrong)
        with self.assertRaises(tarn.Error) as raised:
            self.client.allocate(0)
        self.assertEqual(raised.exception.outcome, Outcome.invalid_argument)

    def test_a_view_of_a_buffer_outlives_every_name_for_it(self):
        client = connect()
        view = memoryview(client.allocate(8192))
        del client
        gc.collect()
        view[8191] = 7
        self.assertEqual(view[8191], 7)


class Calls(PackageCase):
    def test_a_miss_is_a_value_and_a_mistake_raises(self):
        self.assertEqual(self.get(b"nowhere", bytearray(1)).outcome, Outcome.miss)
        self.assertEqual(self.space.exists([b"nowhere"]), [False])
        session = self.space.open_session("nobody")
        with self.assertRaises(tarn.Error) as raised:
            session.resolve()
        self.assertEqual(raised.exception.outcome, Outcome.miss)
        for call in (
            lambda: self.space.put_kv([b"no item"]),
            lambda: self.space.get_kv([tarn.PutItem(hash=b"h", slices=[b"x"])]),
            lambda: self.space.put_kv(5),
            lambda: self.space.exists(["text"]),
            lambda: self.space.match([5]),
            lambda: tarn.PutItem(hash="text", slices=[]),
            lambda: tarn.PutItem(slices=[]),
        ):
            with self.assertRaises(TypeError):
                call()

    def test_a_wrong_item_of_a_batch_is_named_and_the_others_go_on(self):
        items = [tarn.PutItem(hash=self.name(str(i)), slices=[b"x"]) for i in range(3)]
        items[1] = tarn.PutItem(hash=b"", slices=[b"x"])
        items.append(tarn.PutItem(hash=b"h" * 33, slices=[b"x"]))
        items.append(tarn.PutItem(hash=b"empty", slices=[b""]))
        items.append(tarn.PutItem(hash=b"none", slices=[]))
        with self.space.put_kv(items) as transfer:
            transfer.wait()
        outcomes = [o.outcome.name for o in transfer.outcomes()]
        self.assertEqual(outcomes, ["ok", "invalid_argument", "ok"] + ["invalid_argument"] * 3)
        self.assertIn("items[1].hash", transfer.outcomes()[1].message)
        self.assertFalse(transfer.all_ok())

    def test_items_may_come_from_any_iterable(self):
        names = [self.name(str(i)) for i in range(4)]
        put = self.space.put_kv(tarn.PutItem(hash=n, slices=(b"a", b"b")) for n in names)
        put.wait()
        self.assertTrue(put.all_ok())
        self.assertEqual(self.space.exists(tuple(names)), [True] * 4)
        self.assertEqual(self.space.exists(iter(())), [])

    def test_a_transfer_is_selected_on(self):
        transfer = self.space.put_kv([tarn.PutItem(hash=self.name(), slices=[b"x" * 100_000])])
        readable, _, _ = select.select([transfer], [], [], 10)
        self.assertEqual(readable, [transfer])
        self.assertTrue(transfer.poll())

    def test_the_end_of_a_with_block_ends_the_transfer(self):
        with self.space.get_kv([tarn.GetItem(hash=b"nowhere", slices=[bytearray(9)])]) as transfer:
            pass
        self.assertTrue(transfer.poll())
        with self.assertRaises(KeyError), self.space.get_kv([]):
            raise KeyError("what is raised inside passes through")

    def test_sessions(self):
        session = self.space.create_session(ttl_ms=60_000)
        what = tarn.Append(blocks=[], token_count=3, token_ids=[1, 2, 3], tail=b"\x00tail\xff")
        self.assertEqual(session.append(1, what), 2)
        with self.assertRaises(tarn.Error) as raised:
            session.append(1, what)
        self.assertEqual(raised.exception.outcome, Outcome.conflict)
        manifest = session.resolve()
        self.assertEqual(manifest.tail, b"\x00tail\xff")
        self.assertGreater(manifest.expires_unix_ms, time.time() * 1000)
        fork = session.fork("fork-" + session.id)
        self.assertEqual(fork.resolve().parent, session.id)
        self.assertIn(fork.id, [m.session_id for m in self.space.list_sessions("fork-")])
        session.pin(True)
        self.assertTrue(session.resolve().pinned)
        session.remove()
        with self.assertRaises(tarn.Error):
            session.resolve()

    def test_a_worker_lives_as_long_as_its_block(self):
        spec = tarn.WorkerSpec(name="w", endpoint="here:1", capacity=2)
        with self.client.register_worker(self.space, spec) as worker:
            self.assertTrue(worker.connected())
            choice = self.client.route(self.space, tarn.RouteQuery(new_tokens=10))
            self.assertEqual((choice.worker, choice.endpoint), ("w", "here:1"))
        self.assertFalse(worker.connected())
        self.assertFalse(worker.should_drain())

    def test_what_a_connection_is_made_of_is_told(self):
        self.put(self.name(), b"x")
        (connection,) = self.client.connections()
        self.assertTrue(connection.transport.startswith("grpc"))


class Threads(PackageCase):
    def test_another_thread_runs_while_one_waits(self):
        """The main thread waits; the counter must not stand still meanwhile."""
        count, stop = [0], threading.Event()

        def tick():
            while not stop.is_set():
                count[0] += 1
                time.sleep(0.0005)

        ticker = threading.Thread(target=tick)
        ticker.start()
        try:
            os.kill(self.server(), signal.SIGSTOP)
            before = count[0]
            with self.assertRaises(tarn.Error):
                self.space.exists([b"a"], tarn.CallOptions(timeout_ms=300))
            self.assertGreater(count[0], before + 20)
        finally:
            os.kill(self.server(), signal.SIGCONT)
            stop.set()
            ticker.join()

    @staticmethod
    def server():
        """The process that serves: the supervisor's child."""
        pid = cluster._child.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0])

    def test_threads_share_one_client(self):
        failures = []

        def work(number):
            rand = random.Random(number)
            for i in range(10):
                data = rand.randbytes(rand.randint(1, 20_000))
                room = bytearray(len(data))
                name = self.name(f"{number}.{i}")
                if self.put(name, data).outcome != Outcome.ok:
                    failures.append(name)
                if self.get(name, room).outcome != Outcome.ok or room != data:
                    failures.append(name)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


class Views(PackageCase):
    DATA = bytes(range(256)) * 40

    def look(self, *names, **fields):
        items = [tarn.ViewItem(hash=name, **fields) for name in names]
        transfer = self.space.get_views(items)
        transfer.wait()
        return transfer, [transfer.take_view(i) for i in range(len(items))]

    def stored(self):
        self.assertIn(self.put(self.name(), self.DATA).outcome, (Outcome.ok, Outcome.exists))
        return self.name()

    def test_show_the_bytes_and_let_nobody_write(self):
        transfer, (view,) = self.look(self.stored(), bytes_max=len(self.DATA))
        self.assertTrue(transfer.all_ok())
        del transfer
        gc.collect()
        self.assertFalse(view.is_mapped(), "gRPC maps nothing")
        self.assertEqual(len(view), len(self.DATA))
        self.assertEqual(view.bytes(), self.DATA)
        self.assertTrue(view.bytes().readonly)
        view.verify()
        with self.assertRaises(TypeError):
            view.bytes()[0] = 1
        numbers = np.frombuffer(view, np.uint32)
        self.assertFalse(numbers.flags.writeable)
        self.assertEqual(numbers.tobytes(), self.DATA)
        room = bytearray(len(self.DATA))
        with self.assertRaises(BufferError):
            self.get(self.name(), view)
        self.assertEqual(self.put(self.name("again"), view).outcome, Outcome.ok)
        self.assertEqual(self.get(self.name("again"), room).outcome, Outcome.ok)
        self.assertEqual(room, self.DATA)

    def test_live_as_long_as_their_last_memoryview(self):
        _, (view,) = self.look(self.stored())
        shown = view.bytes()[10:20]
        array = np.frombuffer(view, np.uint8)
        view.release()
        view.release()
        with self.assertRaises(BufferError):
            view.bytes()
        self.assertEqual(shown, self.DATA[10:20])
        del view
        gc.collect()
        self.assertEqual(array.tobytes(), self.DATA)

    def test_end_with_their_block(self):
        _, (view,) = self.look(self.stored())
        with view as shown:
            self.assertEqual(shown.bytes(), self.DATA)
        with self.assertRaises(BufferError):
            view.bytes()
        with self.assertRaises(tarn.Error) as raised:
            view.verify()
        self.assertEqual(raised.exception.outcome, Outcome.miss)

    def test_stay_while_they_are_verified(self):
        data = random.Random(7).randbytes(16 << 20)
        self.assertEqual(self.put(b"large", data).outcome, Outcome.ok)
        _, views = self.look(*[b"large"] * 4, bytes_max=len(data))
        ready = threading.Barrier(2, timeout=20)

        def verify_all():
            for view in views:
                ready.wait()
                try:
                    view.verify()
                except tarn.Error as error:
                    self.assertEqual(error.outcome, Outcome.miss, "released before it began")

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            verified = pool.submit(verify_all)
            for view in views:
                ready.wait()
                view.release()
            verified.result(timeout=20)

    def test_of_nothing_are_empty(self):
        transfer, (view, none) = self.look(self.stored(), b"nowhere")
        outcomes = [each.outcome for each in transfer.outcomes()]
        self.assertEqual(outcomes, [Outcome.ok, Outcome.miss])
        self.assertEqual(len(none.bytes()), 0)
        self.assertEqual(view.bytes(), self.DATA)

    def test_are_bounded_and_come_back_when_they_are_gone(self):
        name = self.stored()
        transfer, views = self.look(*[name] * 4097)
        last = transfer.outcomes()[4096]
        self.assertEqual(last.outcome, Outcome.overloaded)
        self.assertIn("4096 views", last.message)
        del transfer, views
        gc.collect()
        transfer, _ = self.look(*[name] * 100)
        self.assertTrue(transfer.all_ok())

    def test_are_asked_for_by_view_items(self):
        for wrong in ([tarn.GetItem(hash=b"h", slices=[])], [b"h"]):
            with self.assertRaises(TypeError):
                self.space.get_views(wrong)


class Leaks(PackageCase):
    def test_memory_is_held_by_the_transfer_and_by_nobody_after_it(self):
        room, data = bytearray(1000), b"d" * 1000
        before = sys.getrefcount(room), sys.getrefcount(data)
        for _ in range(50):
            put = self.space.put_kv([tarn.PutItem(hash=self.name(), slices=[data])])
            get = self.space.get_kv([tarn.GetItem(hash=self.name(), slices=[room])])
            get.wait()
            put.wait()
        del put, get
        gc.collect()
        self.assertEqual((sys.getrefcount(room), sys.getrefcount(data)), before)

    def test_a_call_that_raises_lets_go_of_what_it_had_taken(self):
        room = bytearray(10)
        before = sys.getrefcount(room)
        items = [tarn.GetItem(hash=b"a", slices=[room]), tarn.GetItem(hash=b"b", slices=[b"ro"])]
        for _ in range(20):
            with self.assertRaises((BufferError, TypeError, ValueError)):
                self.space.get_kv(items)
        del items
        gc.collect()
        self.assertEqual(sys.getrefcount(room), before)
        room.append(1)

    def test_errors_and_answers_do_not_pile_up(self):
        def round_trip():
            try:
                self.space.open_session("nobody").resolve()
            except tarn.Error:
                pass
            self.space.exists([b"a"])
            tarn.SpaceSpec(model="x" * 100)

        def objects():
            gc.collect()
            return len(gc.get_objects())

        for _ in range(3):
            round_trip()
        before = objects()
        for _ in range(50):
            round_trip()
        self.assertLess(objects() - before, 40)

    def test_file_descriptors_are_given_back(self):
        count = lambda: len(os.listdir("/proc/self/fd"))  # noqa: E731
        self.put(self.name(), b"x")
        before = count()
        for _ in range(100):
            self.get(self.name(), bytearray(1))
        self.assertLess(count() - before, 5)


class Fork(PackageCase):
    def in_child(self, call):
        """What `call` made of itself in a child: None is well."""
        pid = os.fork()
        if pid == 0:
            try:
                code = 0 if call() else 1
            except BaseException:
                code = 2
            os._exit(code)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return "hangs"

    def test_a_child_is_told_and_does_not_hang(self):
        self.put(self.name(), b"x")

        def use():
            outcome = self.get(self.name(), bytearray(1)).outcome
            try:
                self.space.match([b"a"])
            except tarn.Error as error:
                return outcome == error.outcome == Outcome.unsupported
            return False

        def connect_again():
            try:
                connect()
            except tarn.Error as error:
                return "spawn" in str(error)
            return False

        self.assertEqual(self.in_child(use), 0)
        self.assertEqual(self.in_child(connect_again), 0)
        self.assertEqual(self.get(self.name(), bytearray(1)).outcome, Outcome.ok)

    def test_a_child_drops_its_handles_and_the_parent_goes_on(self):
        buffer = self.client.allocate(4096)
        transfer = self.space.put_kv([tarn.PutItem(hash=self.name(), slices=[buffer])])
        handles = [transfer, buffer]

        def drop():
            handles.clear()
            nonlocal transfer, buffer
            transfer = buffer = None
            gc.collect()
            return True

        self.assertEqual(self.in_child(drop), 0)
        transfer.wait()
        self.assertTrue(transfer.all_ok())


if __name__ == "__main__":
    unittest.main()
