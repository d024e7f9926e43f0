"""The demonstration's cluster, as far as it goes without Tarn's programs."""

import pathlib
import shutil
import sys
import tempfile
import unittest
import unittest.mock
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "examples"))

import fake_tarn  # noqa: E402
import inference_server  # noqa: E402, F401  (all that must not be imported twice)
from processes import Failed  # noqa: E402


def import_cluster():
    """The cluster module over the fake of `tarn`."""
    with unittest.mock.patch.dict(sys.modules, {"tarn": fake_tarn}):
        for name in ("tarn_store", "cluster"):
            sys.modules.pop(name, None)
        import cluster

        for name in ("tarn_store", "cluster"):
            del sys.modules[name]
        return cluster


STATUS = {
    "servers": [
        {"name": "server-1", "state": "up", "stored_payload_bytes": 5},
        {"name": "server-2", "state": "down", "stored_payload_bytes": 7},
        {"name": "server-3", "state": "up", "stored_payload_bytes": 11},
    ]
}


class ClusterCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.module = import_cluster()
        self.cluster = self.module.Cluster(self.folder / "build", self.folder, seed=7)

    def test_programs_that_are_not_built_are_named(self):
        with self.assertRaisesRegex(Failed, "tarn-router is not in .*: build it first"):
            self.cluster.program("tarn-router")
        (self.folder / "build" / "router").mkdir(parents=True)
        (self.folder / "build" / "router" / "tarn-router").touch()
        self.assertEqual(self.cluster.program("tarn-router").name, "tarn-router")

    def test_dead_servers_do_not_count(self):
        self.assertEqual(self.module.alive_servers(STATUS), {"server-1", "server-3"})
        self.assertEqual(self.module.payload_bytes(STATUS), 16)
        self.assertEqual(self.module.alive_servers({}), set())

    def test_what_servers_have_not_told_yet_is_awaited(self):
        said = iter([3, 5, 7, 7, 9])
        self.assertEqual(self.module.settled(lambda: next(said), pause_s=0), 7)
        self.assertEqual(self.module.settled(lambda: next(said), pause_s=0, most_s=0), 9)

    @unittest.skipUnless(shutil.which("etcd"), "etcd is not installed")
    def test_etcd_starts_and_ends(self):
        with self.cluster:
            self.cluster._start_etcd()
            address = f"http://{self.cluster.etcd_endpoint}/version"
            with urllib.request.urlopen(address, timeout=10) as answer:
                self.assertIn(b"etcdserver", answer.read())
        self.assertIsNotNone(self.cluster.processes.children["etcd"].returncode)


if __name__ == "__main__":
    unittest.main()
