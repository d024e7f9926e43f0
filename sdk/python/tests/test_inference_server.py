"""Turns: resumed, repeated, killed and raced, always the tokens and KV of an uninterrupted run."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "examples"))

import inference_server  # noqa: E402
import llama  # noqa: E402
from folder_store import FolderStore  # noqa: E402
from session_store import (  # noqa: E402
    NoSuchSession,
    SessionState,
    StaleSession,
    StoreUnavailable,
)
from turn import BadRequest, Turn  # noqa: E402
from worker_client import WorkerGone, ask  # noqa: E402

SEED, LAYERS, BLOCK = 7, 1, 16
DOCUMENT = (HERE.parents[2] / "LICENSE").read_bytes()
TURNS = [(DOCUMENT[:600], 40), (DOCUMENT[600:650], 60), (DOCUMENT[650:700], 30)]
MODEL = llama.Model(SEED, llama.ModelConfig(layers=LAYERS))


def uninterrupted(turns):
    """The tokens of each turn, and the cache, of one run that nothing disturbs."""
    cache, answers = MODEL.empty_cache(2048), []
    pending = []
    for prompt, count in turns:
        answer = [MODEL.prefill(pending + list(prompt), cache)]
        while len(answer) < count:
            answer.append(MODEL.step(answer[-1], cache))
        pending = answer[-1:]
        answers.append(answer)
    return answers, cache


def request(session_id, number, turns=TURNS):
    prompt, count = turns[number - 1]
    fields = {"session": session_id, "turn": number, "max_tokens": count}
    return fields | {"prompt": list(prompt)}


class StoreCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.answers, cls.cache = uninterrupted(TURNS)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        FolderStore.add_servers(self.folder, ["s1", "s2", "s3"])
        self.store = FolderStore(self.folder, MODEL.config)
        self.session_id = self.store.create()

    def run_turn(self, number, stop_after=None):
        """Runs a turn here; after `stop_after` tokens it is dropped, as if its process died."""
        tokens, summary = [], None
        for event in Turn(MODEL, self.store, request(self.session_id, number)).run():
            if "token" in event:
                tokens.append(event["token"])
                if len(tokens) == stop_after:
                    return tokens, None
            summary = event.get("summary", summary)
        return tokens, summary

    def check_stored_kv(self):
        """All blocks that the session names are there, with the bytes of the undisturbed run."""
        resumed = self.store.resume(self.session_id)
        self.assertEqual(len(resumed.blocks), resumed.state.saved_blocks)
        for index, block in enumerate(resumed.blocks):
            self.assertEqual(block, self.cache.block(index).tobytes(), f"block {index}")


class Turns(StoreCase):
    def test_three_turns_each_resumed_from_the_store(self):
        for number in (1, 2, 3):
            tokens, summary = self.run_turn(number)
            self.assertEqual(tokens, self.answers[number - 1])
            self.assertLessEqual(summary["tokens_recomputed"], BLOCK)
            self.assertEqual(sum(summary["sources"].values()) * BLOCK, summary["tokens_fetched"])
        self.assertGreater(summary["tokens_fetched"], 700)
        self.check_stored_kv()

    def test_a_turn_that_was_cut_goes_on_wherever_it_was_cut(self):
        self.run_turn(1)
        for cut in range(1, 60, 7):
            tokens, _ = self.run_turn(2, stop_after=cut)
            self.assertEqual(tokens, self.answers[1][:cut])
            held = 600 + 40 - 1 + 1 + 50 + cut - 1
            state = self.store.resume(self.session_id).state
            self.assertLessEqual(held - state.saved_blocks * BLOCK, BLOCK, f"cut after {cut}")
        tokens, summary = self.run_turn(2)
        self.assertEqual(tokens, self.answers[1])
        self.assertLessEqual(summary["tokens_recomputed"], BLOCK)
        self.check_stored_kv()

    def test_a_finished_turn_is_repeated_without_computing(self):
        first, _ = self.run_turn(1)
        version = self.store.resume(self.session_id).state.version
        again, summary = self.run_turn(1)
        self.assertEqual(again, first)
        self.assertEqual(summary["blocks_saved"], 0)
        self.assertEqual(self.store.resume(self.session_id).state.version, version)

    def test_a_prompt_that_was_cut_between_two_saves(self):
        real = self.store.save
        saves = []

        def save_once(state, blocks):
            if saves:
                raise OSError("killed")
            saves.append(len(blocks))
            real(state, blocks)

        self.store.save = save_once
        with self.assertRaises(OSError):
            self.run_turn(1)
        self.store.save = real
        self.assertEqual(saves, [16])
        tokens, summary = self.run_turn(1)
        self.assertEqual(tokens, self.answers[0])
        self.assertEqual(summary["tokens_fetched"], 256)

    def test_lost_blocks_are_recomputed_and_given_back(self):
        self.run_turn(1)
        state = self.store.resume(self.session_id).state
        lost = self.store._names(state.tokens, 11)[10]
        for server in self.store.servers():
            (server / lost).unlink(missing_ok=True)
        tokens, summary = self.run_turn(2)
        self.assertEqual(tokens, self.answers[1])
        self.assertEqual(summary["tokens_fetched"], 10 * BLOCK)
        self.check_stored_kv()

    def test_a_store_that_fails_for_a_while_does_not_stop_the_tokens(self):
        real, calls = self.store.save, []

        def save(state, blocks):
            calls.append(len(blocks))
            if 2 <= len(calls) <= 4:
                raise StoreUnavailable("no server")
            real(state, blocks)

        self.store.save = save
        tokens, summary = self.run_turn(1)
        self.assertEqual(tokens, self.answers[0])
        self.assertEqual(summary["saves_failed"], 3)
        self.assertEqual(sum(calls[4:5]), 624 // BLOCK - 16, "the fifth has it all")
        self.check_stored_kv()

    def test_forks_go_on_by_themselves(self):
        self.run_turn(1)
        before = self.store.stored_bytes()
        left, right = self.store.fork(self.session_id), self.store.fork(self.session_id)
        self.assertEqual(self.store.stored_bytes(), before)
        self.session_id = left
        self.assertEqual(self.run_turn(2)[0], self.answers[1])
        self.session_id = right
        self.assertEqual(self.store.resume(right).state.turn, 1)
        self.assertEqual(self.run_turn(2)[0], self.answers[1])

    def test_two_workers_on_one_session_end_in_one_history(self):
        slow = Turn(MODEL, self.store, request(self.session_id, 1)).run()
        for event in slow:
            if "token" in event:
                break
        self.assertEqual(self.run_turn(1)[0], self.answers[0])
        with self.assertRaises(StaleSession):
            list(slow)
        self.check_stored_kv()


class BadRequests(StoreCase):
    def check(self, fields, message):
        with self.assertRaisesRegex(BadRequest, message):
            list(Turn(MODEL, self.store, request(self.session_id, 1) | fields).run())

    def test_each_field(self):
        self.check({"session": ""}, "session")
        self.check({"session": "../x"}, "session")
        self.check({"turn": 0}, "turn")
        self.check({"turn": True}, "turn")
        self.check({"turn": 2}, "turn is 2; the session is in turn 0")
        self.check({"max_tokens": 1 << 20}, "max_tokens")
        self.check({"prompt": []}, "prompt")
        self.check({"prompt": [256]}, "prompt")
        self.check({"prompt": ["a"]}, "prompt")

    def test_no_such_session(self):
        with self.assertRaises(NoSuchSession):
            list(Turn(MODEL, self.store, request("nobody", 1)).run())

    def test_another_prompt_for_a_turn_that_was_begun(self):
        self.run_turn(1)
        self.check({"prompt": "something else"}, "not the one")


class Tail(unittest.TestCase):
    def test_round_trip(self):
        state = SessionState("a", 3, list(range(40)), saved_blocks=2, turn=4, turn_start=9)
        blob = state.encode_tail(BLOCK)
        again = SessionState("a", 3, list(range(32)), saved_blocks=2)
        again.decode_tail(blob)
        self.assertEqual(again, state)
        self.assertLess(len(blob), 64 * 1024)

    def test_a_new_session_has_none(self):
        state = SessionState("a")
        state.decode_tail(b"")
        self.assertEqual(state, SessionState("a"))


class Processes(StoreCase):
    def start_worker(self, name):
        path = self.folder / f"{name}.sock"
        command = [sys.executable, str(HERE / "folder_store.py"), str(self.folder), str(path)]
        worker = subprocess.Popen(
            [*command, str(SEED), str(LAYERS)], stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(self.end_worker, worker)
        self.assertIn("ready", worker.stdout.readline())
        return worker, path

    def end_worker(self, worker):
        worker.kill()
        worker.wait()
        worker.stdout.close()

    def test_killed_in_mid_turn_another_worker_goes_on(self):
        (first, first_path), (_, second_path) = (self.start_worker(n) for n in "ab")
        list(ask(first_path, request(self.session_id, 1)))
        streamed = []
        with self.assertRaises(WorkerGone):
            for event in ask(first_path, request(self.session_id, 2)):
                if "token" in event and len(streamed) < 20:
                    streamed.append(event["token"])
                    if len(streamed) == 20:
                        first.send_signal(signal.SIGKILL)
                        first.wait()
        events = list(ask(second_path, request(self.session_id, 2)))
        tokens = [event["token"] for event in events if "token" in event]
        self.assertEqual(tokens, self.answers[1])
        self.assertEqual(tokens[:20], streamed)
        self.assertLessEqual(events[-1]["summary"]["tokens_recomputed"], BLOCK)
        self.check_stored_kv()

    def test_ends_at_sigterm(self):
        worker, path = self.start_worker("a")
        self.assertEqual(list(ask(path, {"ping": True})), [{"pong": True}])
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        worker.terminate()
        self.assertEqual(worker.wait(10), 0)


class Wire(StoreCase):
    def setUp(self):
        super().setUp()
        self.path = self.folder / "w.sock"
        self.server = inference_server.InferenceServer(self.path, MODEL, self.store)
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def send(self, data):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.path))
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return [json.loads(line) for line in connection.makefile("rb")]

    def test_what_is_no_request_gets_an_error(self):
        for data in (b"", b"\n", b"{\n", b"[]\n", b"\xff\xfe\n", b'{"session": 1}\n'):
            with self.subTest(data=data):
                self.assertEqual([list(e) for e in self.send(data)], [["error"]])

    def test_a_line_too_long(self):
        (event,) = self.send(b" " * (inference_server.MAX_LINE_BYTES + 1))
        self.assertIn("at most", event["error"])

    def test_more_than_may_wait_are_refused(self):
        self.server.load = inference_server.MAX_WAITING
        (event,) = ask(self.path, request(self.session_id, 1))
        self.assertEqual(event, {"error": "overloaded", "retry": True})
        self.server.load = 0

    def test_an_error_ends_the_stream_and_the_next_request_is_served(self):
        for _ in range(inference_server.MAX_WAITING + 2):
            (event,) = ask(self.path, request("nobody", 1))
            self.assertIn("nobody", event["error"])
        events = list(ask(self.path, request(self.session_id, 1)))
        self.assertIn("resumed", events[0])
        self.assertIn("summary", events[-1])

    def test_a_client_that_hangs_up_costs_only_its_turn(self):
        stream = ask(self.path, request(self.session_id, 1))
        next(stream)
        stream.close()
        events = list(ask(self.path, request(self.session_id, 1)))
        self.assertEqual([e["token"] for e in events if "token" in e], self.answers[0])

    def test_nobody_listens(self):
        with self.assertRaises(WorkerGone):
            list(ask(self.folder / "none.sock", {"ping": True}))


if __name__ == "__main__":
    unittest.main()
