"""`tarn dev` and the tools that talk to it, as real processes in a temporary folder."""

import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from dev_process import EXAMPLE, START_S, TARN, Dev, is_alive, wait_until  # noqa: E402

MIB = 1 << 20


def mode(path):
    """The permission bits of a file."""
    return stat.S_IMODE(os.stat(path).st_mode)


class DevCase(unittest.TestCase):
    """A test with one running `tarn dev`."""

    flags = ()

    def setUp(self):
        self.place = tempfile.TemporaryDirectory(prefix="tarn-e2e-")
        self.addCleanup(self.place.cleanup)
        self.folder = pathlib.Path(self.place.name) / "dev"
        self.dev = Dev(self.folder, *self.flags)
        self.addCleanup(self.end)
        self.ready = self.dev.event("ready")

    def end(self):
        if self.dev.child.poll() is None:
            self.dev.stop()

    def tarn(self, *words, code=0):
        """Runs a command against it; returns its answer, which must come with `code`."""
        command = [TARN, *words, "--credentials", self.folder]
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return json.loads(done.stdout) if "--json" in words else done.stdout

    def put(self, name, data, *flags):
        """Puts a new file; returns what became of its block."""
        path = pathlib.Path(self.place.name) / name
        path.write_bytes(data)
        return self.tarn("put", path, "--json", *flags)["blocks"][0]

    def get(self, block_hash, *flags):
        """The bytes of a block."""
        out = pathlib.Path(self.place.name) / "out"
        self.tarn("get", block_hash, "--out", out, *flags)
        return out.read_bytes()


class OneServer(DevCase):
    def test_blocks_come_back_as_they_went(self):
        small, large = os.urandom(1), os.urandom(3 * MIB + 17)
        for name, data in (("small", small), ("large", large)):
            block = self.put(name, data)
            self.assertEqual(block["outcome"], "ok")
            self.assertEqual(self.get(block["hash"]), data)
        self.assertEqual(self.put("again", large)["outcome"], "exists")
        matched = self.tarn("match", block["hash"], "00ff", "--json")
        self.assertEqual((matched["asked"], matched["matched"]), (2, 1))
        self.assertIn("1 of 2 blocks", self.tarn("match", block["hash"], "00ff"))

    def test_what_is_not_there_is_told_by_the_exit_status(self):
        self.tarn("get", "00ff", "--out", "/dev/null", code=1)
        self.tarn("match", "00ff", code=1)
        self.tarn("put", self.folder / "nothing", code=1)
        self.tarn("session", "show", "nobody", code=1)
        self.tarn("put", __file__, "--copies", "2", code=3)
        self.assertEqual(self.put("less", b"x", "--copies", "2", "--allow-less")["copies"], 1)
        self.tarn("get", "00ff", "--out", "/dev/null", "--model", "other", code=1)

    def test_status_shows_the_cluster_and_the_transport(self):
        status = self.tarn("status", "--json")
        self.assertEqual([s["state"] for s in status["servers"]], ["up"])
        self.assertEqual(status["servers"][0]["slots_primary"], 1024)
        self.assertEqual(len(status["connections"]), 1)
        self.assertIn("lo", status["connections"][0]["transport"])
        text = self.tarn("status")
        self.assertIn("server-1", text)
        self.assertIn("TRANSPORT", text)
        by_admin = subprocess.run(
            [
                *(TARN, "status", "--json", "--endpoint", self.ready["endpoint"]),
                *("--credentials", self.folder / "secrets"),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(json.loads(by_admin.stdout)["servers"][0]["name"], "server-1")

    def test_all_that_is_written_is_private(self):
        self.put("one", b"some bytes")
        for root, folders, files in os.walk(self.folder):
            for name in folders:
                self.assertEqual(mode(pathlib.Path(root) / name) & 0o077, 0, name)
            for name in files:
                self.assertEqual(mode(pathlib.Path(root) / name) & 0o077, 0, name)
        self.assertEqual(mode(self.folder), 0o700)

    def test_child_that_is_killed_is_back_within_a_second(self):
        self.put("before", b"lost with the child's memory")
        os.kill(self.ready["child_pid"], signal.SIGKILL)
        killed = time.monotonic()
        self.assertEqual(self.dev.event("died")["of"], "signal 9 (Killed)")
        restarted = time.monotonic()
        again = self.dev.event("ready")
        self.assertLess(restarted - killed, 1)
        self.assertNotEqual(again["child_pid"], self.ready["child_pid"])
        self.assertEqual(again["endpoint"], self.ready["endpoint"])
        block = self.put("after", b"kept by the new child")
        self.assertEqual(self.get(block["hash"]), b"kept by the new child")
        print(f"ready again {time.monotonic() - killed:.2f} s after SIGKILL")

    def test_child_ends_with_its_supervisor(self):
        self.dev.child.kill()
        self.dev.child.wait(START_S)
        wait_until(lambda: not is_alive(self.ready["child_pid"]))
        self.dev.child.stdout.close()
        self.dev.child.stderr.close()

    def test_a_second_one_on_the_folder_is_refused(self):
        done = subprocess.run(
            [TARN, "dev", "--data", self.folder], capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"runs on {self.folder} already", done.stderr)
        self.assertIn(f"(process {self.dev.child.pid})", done.stderr)
        self.tarn("status")

    def test_a_restart_keeps_secrets(self):
        kept = ("ca.pem", "secrets/ca.key", "secrets/server-server-1.pem")
        before = {name: (self.folder / name).read_bytes() for name in kept}
        self.assertEqual(self.dev.stop(), 0)
        self.assertFalse(is_alive(self.ready["child_pid"]))
        self.dev = Dev(self.folder)
        self.dev.event("ready")
        self.assertEqual(before, {name: (self.folder / name).read_bytes() for name in kept})
        self.assertEqual([s["state"] for s in self.tarn("status", "--json")["servers"]], ["up"])

    def test_sessions_are_listed_shown_forked_and_removed(self):
        self.assertEqual(self.tarn("session", "ls", "--json")["sessions"], [])
        environment = os.environ | {"TARN_CREDENTIALS": str(self.folder)}
        subprocess.run([EXAMPLE, "put", "talk"], env=environment, check=True, timeout=60)
        shown = self.tarn("session", "show", "talk", "--json")
        self.assertEqual((shown["version"], shown["blocks"], shown["tokens"]), (2, 4, 64))
        self.assertEqual(sum(len(run["hashes"]) for run in shown["runs"]), 4)
        self.assertEqual(self.tarn("session", "fork", "talk", "branch"), "branch\n")
        self.tarn("session", "fork", "talk", "branch", code=1)
        listed = self.tarn("session", "ls", "--json")["sessions"]
        self.assertEqual([s["id"] for s in listed], ["branch", "talk"])
        self.assertEqual(listed[0]["parent"], "talk")
        self.assertIn("branch", self.tarn("session", "ls", "br"))
        # They are on disk: the child's death takes none.
        os.kill(self.ready["child_pid"], signal.SIGKILL)
        self.dev.event("died")
        self.dev.event("ready")
        self.tarn("session", "rm", "talk")
        self.tarn("session", "show", "talk", code=1)
        self.assertIn("version  1", self.tarn("session", "show", "branch"))

    def test_doctor_knows_the_folder(self):
        done = subprocess.run(
            [TARN, "doctor", "--json", "--credentials", self.folder, "--dram-bytes", "1MiB"],
            capture_output=True,
            text=True,
            check=False,
        )
        names = [finding["name"] for finding in json.loads(done.stdout)["findings"]]
        self.assertIn("expiry", names)


class TwoServers(DevCase):
    flags = ("--servers", "2")

    def test_two_copies_lie_in_two_failure_domains(self):
        block = self.put("twice", os.urandom(MIB), "--copies", "2")
        self.assertEqual((block["outcome"], block["copies"]), ("ok", 2))
        status = self.tarn("status", "--json")
        self.assertEqual({s["state"] for s in status["servers"]}, {"up"})
        self.assertEqual(len(status["connections"]), 2)
        self.assertEqual(len({s["domain"] for s in status["servers"]}), 2)

    def test_operators_drain_and_revoke(self):
        self.assertTrue(self.tarn("drain", "server", "server-2", "--json")["draining"])
        self.tarn("drain", "server", "server-9", code=1)
        self.assertGreater(self.tarn("revoke", "dev", "--json")["revocation"], 0)
        block = self.put("after", b"a new ticket is had by itself")
        self.assertEqual(block["outcome"], "ok")


class Failing(unittest.TestCase):
    def test_first_start_that_fails_says_why(self):
        with tempfile.TemporaryDirectory(prefix="tarn-e2e-") as place:
            dev = Dev(f"{place}/dev", TARN_FAULTS="dev.server_open=fail")
            self.assertEqual(dev.child.wait(START_S), 3)
            self.assertIn("tarn: a server does not start", dev.child.stderr.read())
            dev.child.stdout.close()
            dev.child.stderr.close()


if __name__ == "__main__":
    unittest.main()
