"""`tarn dev` on bad days: whatever happens, it says why, leaves nothing behind and starts again."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from dev_process import TARN, Dev, children_of, is_alive, wait_until  # noqa: E402

NOT_SO, UNAVAILABLE, DENIED = 1, 3, 4
NOBODY = 65534


class Case(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="tarn-e2e-")
        self.addCleanup(place.cleanup)
        self.place = pathlib.Path(place.name)
        self.folder = self.place / "dev"

    def start(self, *flags, **environment):
        dev = Dev(self.folder, *flags, **environment)
        self.addCleanup(dev.end)
        return dev

    def refused(self, *flags, code, says):
        """A start that must end at once, with `code` and one sentence."""
        dev = self.start(*flags)
        self.assertEqual(dev.wait(), code, dev.words)
        self.assertIn(says, dev.words)
        self.assertTrue(dev.words.startswith("tarn: "), dev.words)
        self.assertEqual(dev.words.count("\n"), 1, dev.words)

    def assert_starts(self):
        dev = self.start()
        dev.event("ready")
        self.assertEqual(dev.stop(), 0)


class Refused(Case):
    def test_a_port_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            self.refused("--listen", address, code=NOT_SO, says=f"something listens on {address}")
        self.assert_starts()

    def test_an_address_that_is_not_ours(self):
        self.refused("--listen", "192.0.2.1:0", code=UNAVAILABLE, says="192.0.2.1:0")

    def test_a_folder_in_which_others_may_write(self):
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.refused(code=DENIED, says=str(self.folder))
        self.assertEqual(list(self.folder.iterdir()), [])

    @unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
    def test_a_folder_of_another_user(self):
        self.place.chmod(0o755)
        self.folder.mkdir(mode=0o755)
        try:
            done = subprocess.run(
                [TARN, "dev", "--data", self.folder, "--listen", "127.0.0.1:0"],
                user=NOBODY, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        except PermissionError:
            self.skipTest("the program cannot be reached by another user")
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, f"tarn: .*{self.folder}.*Permission denied")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_file_where_the_folder_should_be(self):
        self.folder.write_text("mine")
        dev = self.start()
        self.assertNotEqual(dev.wait(), 0)
        self.assertIn(str(self.folder), dev.words)
        self.assertEqual(self.folder.read_text(), "mine")

    def test_a_link_in_place_of_the_lock_is_not_followed(self):
        self.folder.mkdir(mode=0o700)
        target = self.place / "target"
        target.write_text("precious")
        (self.folder / "lock").symlink_to(target)
        dev = self.start()
        self.assertNotEqual(dev.wait(), 0)
        self.assertIn("lock", dev.words)
        self.assertEqual(target.read_text(), "precious")

    def test_a_parent_that_does_not_exist_is_made_or_named(self):
        self.folder = self.place / "a" / "b" / "dev"
        dev = self.start()
        line = dev.child.stdout.readline()
        if line:
            self.assertIn('"ready"', line)
            self.assertEqual(dev.stop(), 0)
        else:
            self.assertNotEqual(dev.wait(), 0)
            self.assertIn(str(self.place / "a"), dev.words)


class FullDisk(Case):
    def in_small_folder(self, kib):
        """Starts it on a tmpfs of this size in a mount namespace; None where none is allowed."""
        script = 'mount -t tmpfs -o size="$1"k none "$2" && exec "$3" dev --data "$2/dev" ' \
                 "--listen 127.0.0.1:0 --dram-bytes 256MiB --json"  # fmt: skip
        self.folder.mkdir()
        words = ("unshare", "-m", "sh", "-c", script, "sh", kib, self.folder, TARN)
        probe = subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "none", str(self.folder)],
            capture_output=True,
            check=False,
        )
        if probe.returncode != 0:
            return None
        return subprocess.Popen(
            [str(word) for word in words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def test_says_so_and_ends(self):
        for kib in (8, 120, 8192):
            with self.subTest(kib=kib):
                child = self.in_small_folder(kib)
                if child is None:
                    self.skipTest("no mount namespace is allowed here")
                try:
                    out, err = child.communicate(timeout=60)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.communicate()
                    self.fail("it hangs on a full disk")
                self.assertNotEqual(child.returncode, 0, out)
                self.assertIn("tarn: ", err)
                self.assertRegex(err, "make space, or name another folder with --data")
                self.assertEqual(child.returncode, UNAVAILABLE)
                self.folder.rmdir()


class Ended(Case):
    def test_by_a_signal_at_any_moment_of_the_start(self):
        """Nothing runs on, the lock is free, and nothing that was half made is in the way."""
        for number, delay_s in [
            *((signal.SIGTERM, d / 1000) for d in (0, 5, 20, 60, 150, 400)),
            (signal.SIGINT, 0.1),
        ]:
            with self.subTest(signal=number, delay_s=delay_s):
                dev = self.start()
                time.sleep(delay_s)
                children = children_of(dev.child.pid)
                code = dev.stop(number)
                self.assertIn(code, (0, -number), dev.words)
                wait_until(lambda c=children: not any(map(is_alive, c)))
        self.assert_starts()

    def test_by_sigkill_during_the_start_takes_the_child_with_it(self):
        for _ in range(3):
            dev = self.start()
            child = wait_until(lambda d=dev: children_of(d.child.pid), 30)[0]
            dev.child.kill()
            dev.wait()
            wait_until(lambda c=child: not is_alive(c))
        self.assert_starts()

    def test_by_a_hangup_of_its_terminal(self):
        dev = self.start()
        pid = dev.event("ready")["child_pid"]
        self.assertEqual(dev.stop(signal.SIGHUP), 0)
        self.assertFalse(is_alive(pid))

    def test_while_its_child_is_stopped(self):
        """A child that hangs is killed after the time that a drain may take."""
        dev = self.start()
        pid = dev.event("ready")["child_pid"]
        os.kill(pid, signal.SIGSTOP)
        begin = time.monotonic()
        self.assertEqual(dev.stop(), 0)
        self.assertLess(time.monotonic() - begin, 15)
        self.assertFalse(is_alive(pid))


class Restarted(Case):
    def test_with_growing_pauses_when_the_child_dies_young(self):
        dev = self.start(TARN_FAULTS="dev.server_open=crash")
        died = []
        for _ in range(5):
            dev.event("died")
            died.append(time.monotonic())
        gaps = [b - a for a, b in zip(died, died[1:])]
        # 0, 100, 200, 400 ms, and what a start takes.
        self.assertGreater(gaps[3], 0.35)
        self.assertGreater(gaps[3], gaps[0])
        begin = time.monotonic()
        self.assertEqual(dev.stop(), 0)
        self.assertLess(time.monotonic() - begin, 5)

    def test_and_serves_again_once_the_cause_is_gone(self):
        dev = self.start()
        first = dev.event("ready")
        for _ in range(2):
            os.kill(first["child_pid"], signal.SIGABRT)
            self.assertEqual(dev.event("died")["of"], "signal 6 (Aborted)")
            again = dev.event("ready")
            self.assertEqual(again["endpoint"], first["endpoint"])
            first = again
        self.assertEqual(again["starts"], 3)

    def test_on_a_folder_that_was_killed_in_mid_start_with_more_servers(self):
        dev = self.start("--servers", "2")
        wait_until(lambda: children_of(dev.child.pid), 30)
        dev.child.kill()
        dev.wait()
        dev = self.start("--servers", "2")
        dev.event("ready")
        done = subprocess.run(
            [TARN, "status", "--credentials", self.folder], capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        self.assertIn("server-2", done.stdout)

    def test_on_a_folder_whose_config_is_damaged_it_says_which_file(self):
        dev = self.start()
        dev.event("ready")
        self.assertEqual(dev.stop(), 0)
        for path in (self.folder / "config").iterdir():
            if path.is_file():
                path.write_bytes(b"\xff" * 64)
        dev = self.start()
        self.assertNotEqual(dev.wait(), 0)
        self.assertIn(str(self.folder), dev.words)
        shutil.rmtree(self.folder)
        self.assert_starts()


class Words(Case):
    def test_for_people_say_how_to_begin(self):
        with subprocess.Popen(
            [TARN, "dev", "--data", self.folder, "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as dev:
            self.addCleanup(dev.kill)
            lines = [dev.stdout.readline() for _ in range(4)]
            text = "".join(lines)
            self.assertRegex(text, r"Tarn is ready at 127\.0\.0\.1:\d+; Ctrl-C stops it\.")
            self.assertIn(f"credentials and log are in {self.folder}", text)
            self.assertIn(f"export TARN_CREDENTIALS={self.folder}", text)
            os.kill(children_of(dev.pid)[0], signal.SIGKILL)
            self.assertRegex(
                dev.stderr.readline(), r"tarn: the child died of signal 9 \(Killed\) and is started"
            )
            self.assertEqual(dev.stderr.readline(), "tarn: it is ready again\n")
            dev.terminate()
            self.assertEqual(dev.wait(60), 0)


if __name__ == "__main__":
    unittest.main()
