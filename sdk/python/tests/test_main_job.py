"""The demonstration's driver, with folders in place of storage servers; and that it can fail."""

import contextlib
import io
import pathlib
import shutil
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "examples"))

import llama  # noqa: E402
import main_job  # noqa: E402
from folder_store import FolderStore  # noqa: E402
from processes import Failed, Processes, free_port, port_answers, wait_until  # noqa: E402
from worker_client import WorkerGone, ask  # noqa: E402

LAYERS = 1
SERVERS = ("server-1", "server-2", "server-3")


class FolderCluster:
    """What the demonstration asks of a cluster, over a FolderStore and two worker processes."""

    def __init__(self, folder):
        self.folder = folder / "cluster"
        self.fetched = folder / "fetched"
        self.config = llama.ModelConfig(layers=LAYERS)
        self.copies = 2
        self.processes = Processes(folder / "logs")
        self.workers = []
        self.routers = 0

    def __enter__(self):
        self.processes.__enter__()
        return self

    def __exit__(self, *error):
        self.processes.__exit__(*error)

    def start(self):
        self.fetched.mkdir()
        FolderStore.add_servers(self.folder, SERVERS)
        self.store = FolderStore(self.folder, self.config)
        for name in ("worker-a", "worker-b"):
            command = [sys.executable, HERE / "folder_store.py", self.folder, self.path(name)]
            command += [main_job.SEED, LAYERS, self.fetched]
            self.processes.start(name, command)
            self.processes.wait_ready(name, lambda path=self.path(name): is_up(path))
            self.workers.append(name)

    def path(self, worker):
        return self.folder.parent / f"{worker}.sock"

    def route(self, _session, exclude=()):
        worker = next(w for w in self.workers if w not in exclude)
        return worker, self.path(worker)

    def kill(self, name):
        if name in SERVERS:
            shutil.rmtree(self.folder / "servers" / name)
        else:
            self.processes.kill(name)
            self.workers.remove(name)  # as a router notices

    def replace_router(self):
        self.routers += 1

    def stored_bytes(self):
        return self.store.stored_bytes()


def is_up(path):
    with contextlib.suppress(WorkerGone):
        return list(ask(path, {"ping": True})) == [{"pong": True}]


class FolderCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)


class Driver(FolderCase):
    def demonstrate(self, cluster):
        plan = main_job.make_plan(main_job.DOCUMENT.read_bytes(), first=400, layers=LAYERS)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = main_job.demonstrate(cluster, plan, self.folder)
        return status, out.getvalue()

    def test_all_is_so(self):
        cluster = FolderCluster(self.folder)
        status, out = self.demonstrate(cluster)
        self.assertEqual(status, 0, out)
        self.assertIn("tokens identical: yes\nkv bytes identical: yes\n", out)
        self.assertRegex(out, r"worker-a killed after \d+ tokens")
        self.assertRegex(out, r"(?m)^2 +worker-b +160 +\d{3} +\d+ ")
        self.assertEqual(cluster.routers, 1)
        self.assertNotIn("NOT SO", out)

    def test_a_wrong_byte_is_found(self):
        class Corrupting(FolderCluster):
            def replace_router(self):
                for server in self.store.servers():
                    for block in server.iterdir():
                        data = bytearray(block.read_bytes())
                        data[-1] ^= 1
                        block.write_bytes(data)

        status, out = self.demonstrate(Corrupting(self.folder))
        self.assertEqual(status, 1, out)
        self.assertIn("kv bytes identical: no", out)

    def test_lost_blocks_are_found(self):
        class Forgetting(FolderCluster):
            def replace_router(self):
                for server in self.store.servers():
                    for block in server.iterdir():
                        block.unlink()

        status, out = self.demonstrate(Forgetting(self.folder))
        self.assertEqual(status, 1, out)
        self.assertIn("tokens identical: yes", out)
        self.assertRegex(out, r"NOT SO: turn 4: \d+ <= 16 recomputed")

    def test_stored_bytes_that_grow_too_much_are_found(self):
        class Copying(FolderCluster):
            def stored_bytes(self):
                sessions = len(list((self.folder / "sessions").iterdir()))
                return super().stored_bytes() + (sessions << 20)

        status, out = self.demonstrate(Copying(self.folder))
        self.assertEqual(status, 1, out)
        self.assertIn("growth", out)


class Plan(unittest.TestCase):
    def test_the_document_is_long_enough(self):
        plan = main_job.make_plan(main_job.DOCUMENT.read_bytes())
        self.assertGreaterEqual(len(plan["turns"][0][0]), 4000)
        prompts = [prompt for prompt, _ in plan["turns"] + plan["forks"]]
        self.assertTrue(all(prompts))
        self.assertEqual(len(plan["turns"]), 4)
        self.assertGreater(plan["turns"][1][1], main_job.KILL_AFTER_TOKENS)

    def test_first_difference(self):
        self.assertIsNone(main_job.first_difference(b"", b"abcd", 2))
        self.assertIsNone(main_job.first_difference(b"abcd", b"abcdef", 2))
        self.assertEqual(main_job.first_difference(b"abxd", b"abcdef", 2), 1)
        self.assertEqual(main_job.first_difference(b"abcd", b"ab", 2), 1)
        self.assertEqual(main_job.first_difference(b"abc", b"abcd", 2), 1)


class ChildProcesses(FolderCase):
    def test_one_that_ends_too_early_tells_its_log(self):
        with Processes(self.folder) as processes:
            processes.start("one", [sys.executable, "-c", "print('no luck'); raise SystemExit(3)"])
            with self.assertRaisesRegex(Failed, "ended with 3\nno luck"):
                processes.wait_ready("one", lambda: False)

    def test_ended_with_the_context_and_started_again(self):
        sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
        with Processes(self.folder) as processes:
            processes.start("one", sleeper)
            with self.assertRaisesRegex(Failed, "already runs"):
                processes.start("one", sleeper)
            first = processes.children["one"]
            processes.kill("one")
            processes.start("one", sleeper)
            second = processes.children["one"]
        self.assertEqual(first.returncode, -9)
        self.assertEqual(second.returncode, -15)

    def test_waiting_ends(self):
        with self.assertRaisesRegex(Failed, "nothing: not within 0 s"):
            wait_until(lambda: False, "nothing", timeout_s=0)
        self.assertFalse(port_answers(free_port()))


if __name__ == "__main__":
    unittest.main()
