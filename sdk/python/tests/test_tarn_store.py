"""The seam over Tarn: what it asks of the `tarn` package, in which order, and its errors."""

import pathlib
import sys
import threading
import types
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "examples"))

import fake_tarn  # noqa: E402
import llama  # noqa: E402
from session_store import NoSuchSession, StaleSession, StoreUnavailable  # noqa: E402
from turn import Turn  # noqa: E402

MODEL = llama.Model(7, llama.ModelConfig(layers=1))
DOCUMENT = (HERE.parents[2] / "LICENSE").read_bytes()


def import_tarn_store():
    """A tarn_store of its own over the fake, so that a real one elsewhere is left alone."""
    with unittest.mock.patch.dict(sys.modules, {"tarn": fake_tarn}):
        sys.modules.pop("tarn_store", None)
        import tarn_store

        del sys.modules["tarn_store"]
        return tarn_store


class TarnStoreCase(unittest.TestCase):
    def setUp(self):
        options = types.SimpleNamespace(endpoint="127.0.0.1:1", secrets_dir=None, copies=2)
        self.store = import_tarn_store().TarnStore(options, MODEL.config)
        self.tarn = fake_tarn.Client.last
        self.session_id = self.store.create()

    def run_turn(self, number, session_id=None):
        fields = {"session": session_id or self.session_id, "turn": number, "max_tokens": 30}
        fields["prompt"] = list(DOCUMENT[number * 300 : number * 300 + 300])
        events = list(Turn(MODEL, self.store, fields).run())
        return [e["token"] for e in events if "token" in e], events[-1]["summary"]

    def test_two_turns(self):
        self.run_turn(1)
        tokens, summary = self.run_turn(2)
        self.assertEqual(summary["tokens_fetched"], 320)
        self.assertLessEqual(summary["tokens_recomputed"], 16)
        self.assertEqual(summary["sources"], {"server-1": 20})
        manifest = self.tarn.manifests[self.session_id]
        self.assertEqual(manifest.token_count, 660)
        self.assertEqual(len(manifest.token_ids), len(manifest.blocks) * 16)
        cache = MODEL.empty_cache(700)
        MODEL.prefill(manifest.token_ids, cache)
        for index, name in enumerate(manifest.blocks):
            self.assertEqual(self.tarn.blocks[name], cache.block(index).tobytes())

    def test_a_missing_block_ends_the_prefix_and_is_put_again(self):
        self.run_turn(1)
        lost = self.tarn.manifests[self.session_id].blocks[5]
        del self.tarn.blocks[lost]
        _, summary = self.run_turn(2)
        self.assertEqual(summary["tokens_fetched"], 5 * 16)
        self.assertIn(lost, self.tarn.blocks)

    def test_layers_as_they_land_give_the_same_tokens(self):
        self.run_turn(1)
        forked = self.store.fork(self.session_id)
        tokens, whole = self.run_turn(2)
        self.store.layer_wise = True
        again, summary = self.run_turn(2, forked)
        self.assertEqual(again, tokens)
        for name in ("tokens_fetched", "tokens_recomputed", "sources"):
            self.assertEqual(summary[name], whole[name], name)

    def test_a_block_that_does_not_land_ends_the_prefix_and_is_put_again(self):
        self.run_turn(1)
        forked = self.store.fork(self.session_id)
        tokens, _ = self.run_turn(2)
        lost = self.tarn.manifests[forked].blocks[5]
        del self.tarn.blocks[lost]
        self.store.layer_wise = True
        again, summary = self.run_turn(2, forked)
        self.assertEqual(again, tokens)
        self.assertEqual(summary["tokens_fetched"], 5 * 16)
        self.assertIn(lost, self.tarn.blocks)

    def test_forks(self):
        self.run_turn(1)
        forked = self.store.fork(self.session_id)
        count = len(self.tarn.blocks)
        self.assertEqual(self.run_turn(2, forked)[0], self.run_turn(2)[0])
        fresh = len(self.tarn.manifests[forked].blocks) - 20
        self.assertEqual(len(self.tarn.blocks) - count, fresh)

    def test_errors_are_those_of_the_seam(self):
        with self.assertRaises(NoSuchSession):
            self.store.resume("nobody")
        state = self.store.resume(self.session_id).state
        state.version += 1
        with self.assertRaises(StaleSession):
            self.store.save(state, [])
        self.tarn.fail = fake_tarn.Error(fake_tarn.Outcome.deadline_exceeded)
        with self.assertRaises(StoreUnavailable):
            self.store.resume(self.session_id)
        self.tarn.fail = fake_tarn.Error(fake_tarn.Outcome.invalid_argument)
        with self.assertRaises(fake_tarn.Error):
            self.store.resume(self.session_id)

    def test_what_was_not_kept_is_not_appended(self):
        self.tarn.put_outcome = fake_tarn.Outcome.overloaded
        tokens, summary = self.run_turn(1)
        self.assertEqual(len(tokens), 30)
        self.assertGreater(summary["saves_failed"], 1)
        self.assertEqual(self.tarn.manifests[self.session_id].blocks, [])
        self.tarn.put_outcome = fake_tarn.Outcome.ok
        self.assertEqual(self.run_turn(1)[0], tokens)

    def test_the_pool(self):
        with self.assertRaises(StoreUnavailable):
            self.store.route(self.session_id)
        for name in ("a", "b"):
            asked = threading.Event()
            spec = fake_tarn.WorkerSpec(name=name, endpoint=f"/{name}")
            with self.store.registered(spec, lambda: asked.set() or 3) as worker:
                self.assertTrue(asked.wait(10))
            self.assertEqual(worker.loads[0], (1, 2))
        self.assertEqual(self.store.route(self.session_id), ("a", "/a"))
        self.assertEqual(self.store.route(self.session_id, ["a"]), ("b", "/b"))


if __name__ == "__main__":
    unittest.main()
