"""Every command of `tarn` against a small cluster: what people read, what programs parse."""

import fcntl
import json
import os
import pathlib
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from dev_process import EXAMPLE, TARN, Dev, wait_until  # noqa: E402

NOT_SO, USAGE, UNAVAILABLE, DENIED = 1, 2, 3, 4
MIB = 1 << 20

SERVER = {
    **dict.fromkeys(("name", "endpoint", "domain", "state"), str),
    **dict.fromkeys(("id", "silent_ms", "dram_bytes", "dram_used_bytes", "blocks"), int),
    **dict.fromkeys(("stored_payload_bytes", "slots_primary", "slots_synced"), int),
    "index_synced": bool,
}
ROUTER = {
    **dict.fromkeys(("endpoint", "name", "authority", "pending_change"), str),
    **dict.fromkeys(("epoch", "indexed_blocks"), int),
    **dict.fromkeys(("controller", "authority_reachable", "index_synced"), bool),
}
WORKER = {
    **dict.fromkeys(("name", "endpoint", "host"), str),
    **dict.fromkeys(("alive", "draining"), bool),
    **dict.fromkeys(("capacity", "running", "queued", "silent_ms"), int),
}
STATUS = {
    **dict.fromkeys(("epoch", "slots_waiting", "slots_lost"), int),
    "routers": [ROUTER],
    "silent_routers": [{"endpoint": str, "error": str}],
    "servers": [SERVER],
    "workers": [WORKER],
    "connections": [dict.fromkeys(("server", "endpoint", "transport", "note"), str)],
    "connections_note": str,
}
PUT = {
    "space": str,
    "blocks": [
        {
            **dict.fromkeys(("file", "hash", "outcome", "message"), str),
            **dict.fromkeys(("bytes", "copies"), int),
        }
    ],
}
GET = {"hash": str, "bytes": int, "server": str, "file": str}
MATCH = {
    **dict.fromkeys(("asked", "matched"), int),
    "partial": bool,
    "runs": [
        {**dict.fromkeys(("first", "count", "estimated_us"), int), "server": str, "tier": str}
    ],
}
SESSION_LINE = {
    **dict.fromkeys(("id", "space", "parent"), str),
    **dict.fromkeys(("version", "blocks", "tokens", "updated_unix_ms"), int),
    "pinned": bool,
}
SESSION = {
    **SESSION_LINE,
    **dict.fromkeys(("created_unix_ms", "expires_unix_ms", "tail_bytes", "token_ids"), int),
    "runs": [{"anchor": str, "first_index": int, "hashes": [str]}],
}
SLOT = {
    **dict.fromkeys(("state", "primary"), str),
    **dict.fromkeys(("synced", "learners"), [str]),
    "slot": int,
}


def mismatch(value, schema, at="$"):
    """What in `value` is not as the schema says: types, lists of one kind, exactly these keys."""
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return [f"{at}: {value!r} is no object"]
        wrong = [f"{at}: {key}" for key in set(value) ^ set(schema)]
        for key in set(value) & set(schema):
            wrong += mismatch(value[key], schema[key], f"{at}.{key}")
        return wrong
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{at}: {value!r} is no list"]
        return [w for i, v in enumerate(value) for w in mismatch(v, schema[0], f"{at}[{i}]")]
    is_right = type(value) is schema
    return [] if is_right else [f"{at}: {value!r} is no {schema.__name__}"]


class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        place = tempfile.TemporaryDirectory(prefix="tarn-e2e-")
        cls.addClassCleanup(place.cleanup)
        cls.place = pathlib.Path(place.name)
        cls.folder = cls.place / "dev"
        cls.dev = Dev(cls.folder, "--servers", "2")
        cls.addClassCleanup(cls.dev.end)
        cls.dev.event("ready")

    def tarn(self, *words, code=0, **options):
        done = subprocess.run(
            [str(word) for word in (TARN, *words, "--credentials", self.folder)],
            capture_output=True,
            text=options.pop("text", True),
            timeout=60,
            check=False,
            **options,
        )
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def answer(self, schema, *words, **options):
        """The JSON that a command answers with, which must be of this form."""
        answer = json.loads(self.tarn(*words, "--json", **options).stdout)
        self.assertEqual(mismatch(answer, schema), [])
        return answer

    def file(self, name, data):
        path = self.place / name
        path.write_bytes(data)
        return path

    def put(self, name, data, *flags):
        return self.answer(PUT, "put", self.file(name, data), *flags)["blocks"][0]

    def talk(self, name):
        """A session of four blocks."""
        environment = os.environ | {"TARN_CREDENTIALS": str(self.folder)}
        subprocess.run(
            [EXAMPLE, "put", name], env=environment, check=True, timeout=60, capture_output=True
        )


class Json(Live):
    def test_status(self):
        status = self.answer(STATUS, "status")
        self.assertEqual({s["name"] for s in status["servers"]}, {"server-1", "server-2"})
        self.assertEqual(sum(s["slots_primary"] for s in status["servers"]), 1024)
        self.assertEqual((status["slots_lost"], status["slots_waiting"]), (0, 0))
        bare = self.answer(STATUS, "status", "--skip-connections")
        self.assertEqual(bare["connections"], [])

    def test_put_get_and_match(self):
        data = os.urandom(70_001)
        block = self.put("json", data, "--copies", "2")
        self.assertEqual((block["outcome"], block["bytes"], block["copies"]), ("ok", 70_001, 2))
        out = self.place / "out"
        got = self.answer(GET, "get", block["hash"], "--out", out)
        self.assertEqual((got["bytes"], got["file"]), (70_001, str(out)))
        self.assertIn(got["server"], ("server-1", "server-2"))
        self.assertEqual(out.read_bytes(), data)
        wait_until(lambda: self.tarn("match", block["hash"]).returncode == 0)
        match = self.answer(MATCH, "match", block["hash"])
        self.assertEqual((match["asked"], match["matched"]), (1, 1))
        self.assertEqual(match["runs"][0]["tier"], "dram")

    def test_a_failed_get_is_one_error_and_no_file(self):
        out = self.place / "never"
        error = self.answer({"error": str, "code": str}, "get", "00ff", "--out", out, code=NOT_SO)
        self.assertEqual(error["code"], "not_found")
        self.assertFalse(out.exists())

    def test_match_of_nothing_answers_and_fails(self):
        match = self.answer(MATCH, "match", "00fe", code=NOT_SO)
        self.assertEqual((match["matched"], match["runs"]), (0, []))

    def test_sessions(self):
        self.talk("json-talk")
        shown = self.answer(SESSION, "session", "show", "json-talk")
        self.assertEqual((shown["id"], shown["blocks"]), ("json-talk", 4))
        forked = self.answer(SESSION, "session", "fork", "json-talk", "json-branch")
        self.assertEqual((forked["parent"], forked["version"]), ("json-talk", 1))
        drawn = self.answer(SESSION, "session", "fork", "json-talk")
        self.assertRegex(drawn["id"], r"\A[a-z2-7]{26}\Z")
        listed = self.answer({"sessions": [SESSION_LINE]}, "session", "ls", "json-")["sessions"]
        self.assertEqual([s["id"] for s in listed], ["json-branch", "json-talk"])
        one = self.answer({"sessions": [SESSION_LINE]}, "session", "ls", "--limit", "1")
        self.assertEqual(len(one["sessions"]), 1)
        removed = self.answer(
            {"removed": [str]}, "session", "rm", "json-branch", "json-talk", drawn["id"]
        )
        self.assertEqual(len(removed["removed"]), 3)
        # Deleting what is not there is what was wanted.
        self.answer({"removed": [str]}, "session", "rm", "json-talk")

    def test_slots(self):
        slots = self.answer({"slots": [SLOT]}, "slot", "ls", "--all")["slots"]
        self.assertEqual([s["slot"] for s in slots], list(range(1024)))
        self.assertEqual({(s["state"], len(s["synced"])) for s in slots}, {("ok", 2)})
        self.assertEqual(self.answer({"slots": [SLOT]}, "slot", "ls")["slots"], [])
        shown = self.answer({**SLOT, "advice": str}, "slot", "show", "7")
        self.assertEqual((shown["slot"], shown["advice"]), (7, ""))
        error = self.answer(
            {"error": str, "code": str}, "slot", "abandon", "7", "--yes", code=NOT_SO
        )
        self.assertEqual(error["code"], "conflict")
        self.assertIn("slot 7 is not lost", error["error"])

    def test_revoke_and_drain(self):
        first = self.answer({"tenant": str, "revocation": int}, "revoke", "other")
        again = self.answer({"tenant": str, "revocation": int}, "revoke", "other")
        self.assertEqual(again["revocation"], first["revocation"] + 1)
        for what in ("server", "worker"):
            error = self.answer(
                {"error": str, "code": str}, "drain", what, "nobody", code=NOT_SO
            )
            self.assertEqual(error["code"], "not_found")
            self.assertIn("nobody", error["error"])


class Text(Live):
    def test_put_shows_a_table_and_get_says_where_from(self):
        done = self.tarn("put", self.file("text", b"text"))
        titles, row = done.stdout.splitlines()
        self.assertEqual(titles.split(), ["HASH", "BYTES", "OUTCOME", "COPIES", "FILE"])
        words = row.split()
        self.assertEqual(words[1:4], ["4", "ok", "1"])
        self.assertEqual(len(titles.split("BYTES")[0]), row.index("4  "), "columns are aligned")
        got = self.tarn("get", words[0], "--out", self.place / "text-out")
        self.assertRegex(got.stdout, r"text-out: 4 bytes from server-[12]\n\Z")

    def test_several_files_have_each_their_own_outcome(self):
        good = self.file("good", b"good")
        empty = self.file("empty", b"")
        done = self.tarn("put", good, empty, code=USAGE)
        self.assertIn(f"{empty} is empty: a block has 1 byte at least", done.stderr)
        done = self.tarn("put", self.place, code=USAGE)
        self.assertIn("is a folder", done.stderr)
        large = self.place / "large"
        with open(large, "wb") as file:
            file.truncate(64 * MIB + 1)
        self.assertIn("64 MiB at most", self.tarn("put", large, code=USAGE).stderr)

    def test_a_chain_is_put_and_matched_in_order(self):
        files = [self.file(f"link-{i}", b"link %d" % i) for i in range(3)]
        put = self.answer(PUT, "put", *files, "--chained", "--model", "chain")["blocks"]
        hashes = [block["hash"] for block in put]
        flags = ("--chained", "--model", "chain")
        wait_until(lambda: "3 of 3" in self.tarn("match", *hashes, *flags).stdout)
        # A hole ends the prefix.
        text = self.tarn("match", hashes[0], "00ff", hashes[2], *flags).stdout
        self.assertIn("1 of 3 blocks can be used", text)
        self.tarn("match", *hashes, code=NOT_SO)

    def test_a_hash_of_ones_own_is_kept_and_the_first_bytes_win(self):
        self.put("own", b"first", "--hash", "c0ffee")
        self.assertEqual(self.put("own", b"second", "--hash", "C0FFEE")["outcome"], "exists")
        self.tarn("get", "c0ffee", "--out", self.place / "own-out")
        self.assertEqual((self.place / "own-out").read_bytes(), b"first")

    def test_spaces_and_shards_keep_blocks_apart(self):
        self.put("apart", b"apart", "--hash", "aa01", "--tensor-parallel", "2", "--shard", "1")
        out = ("--out", self.place / "apart-out")
        space = ("--tensor-parallel", "2")
        self.tarn("get", "aa01", *out, *space, "--shard", "1")
        self.tarn("get", "aa01", *out, *space, code=NOT_SO)
        self.tarn("get", "aa01", *out, code=NOT_SO)
        done = self.tarn("get", "aa01", *out, *space, "--shard", "2", code=USAGE)
        self.assertIn("shard", done.stderr)

    def test_a_file_that_cannot_be_written_is_named(self):
        self.put("unwritable", b"x", "--hash", "bb01")
        done = self.tarn("get", "bb01", "--out", self.place, code=UNAVAILABLE)
        self.assertIn(f"cannot write {self.place}", done.stderr)

    def test_show_is_for_reading(self):
        self.talk("text-talk")
        text = self.tarn("session", "show", "text-talk").stdout
        for line in ("session  text-talk", "version  2", "blocks   4 in 1 runs", "expires  never"):
            self.assertIn(line + "\n", text)
        self.assertRegex(text, r"created  20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
        self.assertIn("ANCHOR", text)
        titles = self.tarn("session", "ls").stdout.splitlines()[0].split()
        self.assertEqual(titles[:4], ["SESSION", "VERSION", "BLOCKS", "TOKENS"])
        self.assertEqual(self.tarn("session", "ls", "no-such-prefix").stdout, "No sessions.\n")
        self.tarn("session", "fork", "nobody", code=NOT_SO)
        done = self.tarn("session", "fork", "text-talk", "bad\nname", code=USAGE)
        self.assertIn("session_id", done.stderr)
        self.tarn("session", "rm", "text-talk")

    def test_slots_in_good_order_are_one_sentence(self):
        text = self.tarn("slot", "ls").stdout
        self.assertEqual(text, "None of the 1024 session slots is waiting or lost.\n")
        text = self.tarn("slot", "show", "1023").stdout
        self.assertRegex(text, r"\Aslot      1023\nstate     ok\nprimary   server-[12]\n")


class Pipes(Live):
    def test_stdin_and_stdout_carry_blocks(self):
        data = os.urandom(MIB + 3)
        done = self.tarn("put", "-", "--hash", "dd01", input=data, text=False)
        self.assertIn(b"ok", done.stdout)
        done = self.tarn("get", "dd01", "--out", "-", text=False)
        self.assertEqual(done.stdout, data)
        self.assertEqual(done.stderr, b"")
        done = self.tarn("put", "-", stdin=subprocess.DEVNULL, code=USAGE)
        self.assertIn("- is empty", done.stderr)

    def test_a_reader_that_has_enough_ends_the_writer_quietly(self):
        self.put("wide", os.urandom(8 * MIB), "--hash", "dd02")
        with subprocess.Popen(
            [TARN, "get", "dd02", "--out", "-", "--credentials", self.folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as child:
            self.assertEqual(len(child.stdout.read(10)), 10)
            child.stdout.close()
            words = child.stderr.read().decode()
            code = child.wait(30)
        self.assertIn(code, (-signal.SIGPIPE, UNAVAILABLE))
        self.assertNotIn("terminate", words)
        self.assertLessEqual(words.count("\n"), 1)

    def test_a_full_disk_under_the_output_is_told(self):
        self.put("full", b"x" * 4096, "--hash", "dd03")
        done = self.tarn("get", "dd03", "--out", "/dev/full", code=UNAVAILABLE)
        self.assertIn("cannot write /dev/full", done.stderr)

    def test_an_interrupt_ends_a_command_that_waits(self):
        with subprocess.Popen(
            [TARN, "put", "-", "--credentials", self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as child:
            child.stdin.write(b"never the end")
            child.stdin.flush()
            time.sleep(0.3)
            child.send_signal(signal.SIGINT)
            begin = time.monotonic()
            self.assertEqual(child.wait(10), -signal.SIGINT)
            self.assertLess(time.monotonic() - begin, 2)


class Progress(Live):
    def on_terminal(self, *words):
        """What a command writes to a terminal of 80 columns on its stderr; its stdout apart."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        child = subprocess.Popen(
            [str(word) for word in (TARN, *words, "--credentials", self.folder)],
            stdout=subprocess.PIPE,
            stderr=follower,
        )
        os.close(follower)
        out = child.stdout.read().decode()
        child.stdout.close()
        self.assertIn(child.wait(60), (0, NOT_SO))
        said = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:
                break
            if not part:
                break
            said += part
        os.close(leader)
        return out, said.decode()

    def test_is_shown_on_a_terminal_and_only_there(self):
        files = [self.file(f"many-{i}", b"many %d" % i) for i in range(3)]
        out, said = self.on_terminal("put", *files)
        self.assertIn("\r1 of 3 files\r2 of 3 files\r3 of 3 files", said)
        self.assertNotIn("of 3 files", out)
        self.assertEqual(self.tarn("put", *files).stderr, "")
        # One file is no long work.
        self.assertEqual(self.on_terminal("put", files[0])[1], "")

    def test_of_doctor_and_of_session_rm(self):
        out, said = self.on_terminal("doctor", "--dram-bytes", "1MiB", "--json")
        self.assertIn("looking at UCX ...", said)
        self.assertIn("health", json.loads(out))
        for name in ("a", "b"):
            self.talk(f"progress-{name}")
        _, said = self.on_terminal("session", "rm", "progress-a", "progress-b")
        self.assertIn("\r1 of 2\r2 of 2", said)


if __name__ == "__main__":
    unittest.main()
