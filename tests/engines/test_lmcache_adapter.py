"""TarnConnector as LMCache uses it, against a real `tarn dev`."""

import os
import pathlib
import select
import signal
import sys
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sdk/python/tests"))

from dev_cluster import DevCluster  # noqa: E402
from tarn.adapters.lmcache import TarnConnector  # noqa: E402

cluster = None


def setUpModule():
    global cluster
    cluster = DevCluster()


def tearDownModule():
    cluster.stop()


class ConnectorCase(unittest.TestCase):
    def connector(self, **params):
        known = {"revision": "r1", "dtype": "bfloat16", "credentials": cluster.folder}
        connector = TarnConnector(**(known | params))
        self.addCleanup(connector.close)
        return connector

    def up(self, **params):
        """A connector that has reached Tarn."""
        connector = self.connector(**params)
        self.await_up(connector)
        return connector

    def await_up(self, connector):
        deadline = time.monotonic() + 20
        while not self.result(connector, connector.submit_batch_exists(["x"]))[0]:
            self.assertLess(time.monotonic(), deadline)

    def result(self, connector, batch, timeout_s=20):
        """(ok, error, flags) of a batch, as the event fd tells of it."""
        poller = select.poll()
        poller.register(connector.event_fd(), select.POLLIN)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            poller.poll(100)
            for done in connector.drain_completions():
                if done[0] == batch:
                    return done[1:]
        raise AssertionError("it has not ended")

    def keys(self, count):
        return [f"{self.id()}@0@0@{i}" for i in range(count)]


class Batches(ConnectorCase):
    def test_set_exists_get(self):
        keys, connector = self.keys(5), self.up()
        data = [os.urandom(4096 * (i + 1)) for i in range(4)]
        ok, error, kept = self.result(connector, connector.submit_batch_set(keys[:4], data))
        self.assertEqual((ok, error, kept), (True, "", [True] * 4))
        found = self.result(connector, connector.submit_batch_exists(keys))
        self.assertEqual(found, (True, "", [True] * 4 + [False]))
        memory = [bytearray(len(block)) for block in data] + [bytearray(9)]
        other = self.up()
        loaded = self.result(other, other.submit_batch_get(keys, memory))
        self.assertEqual(loaded, (True, "", [True] * 4 + [False]))
        self.assertEqual([bytes(block) for block in memory[:4]], data)

    def test_another_size_is_not_loaded(self):
        keys, connector = self.keys(1), self.up()
        self.result(connector, connector.submit_batch_set(keys, [b"x" * 100]))
        for size in (99, 101):
            batch = connector.submit_batch_get(keys, [bytearray(size)])
            self.assertEqual(self.result(connector, batch)[2], [False], size)

    def test_many_batches_at_once(self):
        connector = self.up()
        keys = self.keys(200)
        batches = {connector.submit_batch_set([k], [k.encode()]) for k in keys}
        self.assertEqual(len(batches), 200)
        deadline = time.monotonic() + 20
        while batches and time.monotonic() < deadline:
            for batch, ok, _, _ in connector.drain_completions():
                self.assertTrue(ok)
                batches.discard(batch)
        self.assertFalse(batches)

    def test_identity(self):
        keys, connector = self.keys(1), self.up()
        self.result(connector, connector.submit_batch_set(keys, [b"1234"]))
        for other in ({"revision": "r2"}, {"dtype": "float16"}, {"layout": "blended"}):
            there = self.up(**other)
            found = self.result(there, there.submit_batch_exists(keys))
            self.assertEqual(found, (True, "", [False]), other)
        with self.assertRaisesRegex(ValueError, "revision"):
            TarnConnector(dtype="bfloat16")

    def test_what_cannot_be_used_is_refused(self):
        connector = self.up()
        with self.assertRaises(ValueError):
            connector.submit_batch_set(self.keys(2), [b"1"])
        with self.assertRaises(BufferError):
            connector.submit_batch_get(self.keys(1), [b"read only"])

    def test_closed(self):
        connector = self.up()
        connector.close()
        connector.close()
        connector.submit_batch_exists(["x"])
        self.assertEqual(connector.drain_completions()[-1][1:3], (False, "the connector is closed"))


class Faults(ConnectorCase):
    def test_absent_fails_at_once_and_warns_once(self):
        with self.assertLogs("tarn.adapters", "WARNING") as logs:
            connector = self.connector(endpoint="127.0.0.1:1", timeout_ms=300)
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                start = time.monotonic()
                batch = connector.submit_batch_get(self.keys(1), [bytearray(4)])
                self.assertEqual(self.result(connector, batch)[::2], (False, [False]))
                self.assertLess(time.monotonic() - start, 0.5)
        self.assertEqual(len(logs.output), 1)

    def test_hanging_costs_a_deadline_and_is_used_again(self):
        keys, connector = self.keys(1), self.up(timeout_ms=500)
        self.result(connector, connector.submit_batch_set(keys, [b"1234"]))
        with self.assertLogs("tarn.adapters", "WARNING") as logs:
            cluster.signal(signal.SIGSTOP)
            try:
                start = time.monotonic()
                memory = bytearray(4)
                for _ in range(20):
                    batch = connector.submit_batch_get(keys, [memory])
                    self.assertEqual(self.result(connector, batch)[2], [False])
                self.assertLess(time.monotonic() - start, 4)
            finally:
                cluster.signal(signal.SIGCONT)
            self.await_up(connector)
            batch = connector.submit_batch_get(keys, [memory])
            self.assertEqual(self.result(connector, batch)[2], [True])
            self.assertEqual(memory, b"1234")
        self.assertEqual(len(logs.output), 2)


if __name__ == "__main__":
    unittest.main()
