"""The race beside peers: its schedule, figures, table, lines and rows of peers that fail."""

import contextlib
import io
import itertools
import json
import os
import pathlib
import signal
import sys
import tempfile
import textwrap
import types
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[4]
sys.dont_write_bytecode = True
sys.path.insert(0, str(SOURCE / "benchmarks" / "peers"))
import race  # noqa: E402, F401
from adapters.all_peers import PEERS  # noqa: E402
from adapters.base import SERVER_STORE_MIB, Peer  # noqa: E402
from adapters.limits import bucket_ns, parse_slice  # noqa: E402
from processes import Failed  # noqa: E402
from race import command, install, schedule, table  # noqa: E402
from race.driver import Driver, command_line, parse_answer  # noqa: E402
from race.figures import Figures, Sample, figures_of, quantile, verdict  # noqa: E402
from race.place import Place  # noqa: E402
from race.runner import Plan, Race  # noqa: E402
from race.schedule import Cell, Pace  # noqa: E402


class Schedule(unittest.TestCase):
    def test_every_size_and_window_is_raced_by_get_and_put_and_exists_once(self):
        found = [
            cell
            for size in schedule.SIZES
            for cell in schedule.cells(size, schedule.WINDOWS, size == schedule.SIZES[0])
        ]
        self.assertEqual(len(found), len(set(found)))
        for op in ("get", "put"):
            raced = {(c.block_bytes, c.inflight) for c in found if c.op == op}
            self.assertEqual(raced, set(itertools.product(schedule.SIZES, schedule.WINDOWS)))
        self.assertEqual([c.op for c in found].count("exists"), 1)

    def test_puts_come_after_all_that_needs_the_working_set(self):
        ops = [cell.op for cell in schedule.cells(65536, (1, 8), True)]
        self.assertEqual(ops, sorted(ops, key=("get", "exists", "put").index))

    def test_the_working_set_has_keys_for_exists_and_for_the_widest_window(self):
        self.assertGreaterEqual(
            schedule.working_set_keys(schedule.SIZES[0]), schedule.EXISTS_KEYS // 2
        )
        self.assertEqual(schedule.working_set_keys(16 << 20), max(schedule.WINDOWS))

    def test_a_turn_of_puts_fits_into_the_servers_beside_the_working_set(self):
        for size, window in itertools.product(schedule.SIZES, schedule.WINDOWS):
            put_bytes = schedule.operations_max(Cell("put", size, window)) * size
            stored = put_bytes + schedule.working_set_keys(size) * size
            self.assertLess(stored, SERVER_STORE_MIB << 20, (size, window))

    def test_each_peer_is_first_and_last_as_often_as_any_other(self):
        orders = [schedule.order("abcd", index) for index in range(8)]
        for place in range(4):
            names = [order[place] for order in orders]
            self.assertEqual({name: names.count(name) for name in "abcd"}, dict.fromkeys("abcd", 2))
        self.assertEqual(schedule.order([], 3), [])

    def test_labels_of_the_sizes_are_those_of_the_table(self):
        self.assertEqual(
            [schedule.size_label(size) for size in schedule.SIZES],
            ["64 KiB", "256 KiB", "640 KiB", "1 MiB", "2 MiB", "4.29 MiB", "8 MiB", "16 MiB"],
        )


class PaceTest(unittest.TestCase):
    def test_turns_that_cost_more_than_they_measure_still_end_within_the_budget(self):
        now, count = 100.0, 400
        pace = Pace(60, count, now)
        measured = 0
        while (seconds := pace.turn_s(now)) is not None:
            wall = seconds + 0.08
            now += wall
            pace.took(seconds, wall)
            measured += 1
        self.assertEqual(measured, count)
        self.assertLess(now - 100, 63)

    def test_a_turn_has_its_limits_whatever_is_left(self):
        self.assertEqual(Pace(1e6, 1, 0).turn_s(0), schedule.TURN_S_MAX)
        self.assertEqual(Pace(1, 1000, 0).turn_s(0), schedule.TURN_S_MIN)
        self.assertIsNone(Pace(1, 10, 0).turn_s(1.5))

    def test_turns_that_fall_out_leave_their_time_to_the_others(self):
        pace = Pace(10, 10, 0)
        before = pace.turn_s(0)
        pace.drop(5)
        self.assertGreater(pace.turn_s(0), 1.9 * before)


class FiguresTest(unittest.TestCase):
    def test_quantiles_are_the_nearest_rank(self):
        values = list(range(1, 101))
        self.assertEqual([quantile(values, q) for q in (0.5, 0.99, 1)], [50, 99, 100])
        self.assertEqual(quantile([7], 0.99), 7)
        self.assertIsNone(quantile([], 0.5))

    def test_the_rate_is_the_median_of_rounds_and_a_bad_round_does_not_move_it(self):
        samples = [
            Sample(ops=1, bytes=1000, wall_ns=wall, latencies_ns=[5]) for wall in (500, 250, 9000)
        ]
        self.assertEqual(figures_of(samples).gb_per_s, 2)

    def test_p99_needs_2000_operations_over_all_rounds(self):
        for operations, is_there in ((1999, False), (2000, True)):
            halves = (operations // 2, operations - operations // 2)
            samples = [
                Sample(ops=n, bytes=n, wall_ns=1, latencies_ns=[1000] * n) for n in halves
            ]
            found = figures_of(samples)
            self.assertEqual(found.p99_us is not None, is_there, operations)
            self.assertEqual(found.p50_us, 1)

    def test_cpu_time_is_over_all_bytes_and_exists_has_none(self):
        sample = Sample(
            ops=2, bytes=10**9, wall_ns=10**9, client_cpu_ns=3 * 10**8, server_cpu_ns=10**8
        )
        found = figures_of([sample, sample])
        self.assertAlmostEqual(found.client_cpu_s_per_gb, 0.3)
        self.assertAlmostEqual(found.server_cpu_s_per_gb, 0.1)
        self.assertIsNone(figures_of([Sample(ops=1, latencies_ns=[1])]).client_cpu_s_per_gb)
        self.assertIsNone(figures_of([Sample()]))

    def test_the_verdict_is_of_the_best_rows_and_limits_do_not_run(self):
        kinds = {"t1": "tarn", "t2": "tarn", "p1": "peer", "p2": "peer", "ucx": "limit"}
        rows = {
            name: row(gb) for name, gb in dict(t1=1.0, t2=3.0, p1=2.0, p2=4.0, ucx=9.0).items()
        }
        found = verdict("get", rows, kinds)
        self.assertEqual((found.tarn, found.peer, found.ratio), ("t2", "p2", 0.75))
        self.assertTrue(found.lost)
        self.assertIsNone(verdict("get", {"t1": rows["t1"], "p1": None}, kinds))

    def test_exists_is_judged_by_its_time(self):
        kinds = {"t": "tarn", "p": "peer"}
        rows = {"t": row(None, p50_us=100.0), "p": row(None, p50_us=150.0)}
        self.assertAlmostEqual(verdict("exists", rows, kinds).ratio, 1.5)


def row(gb_per_s, p50_us=10.0):
    return Figures(gb_per_s, p50_us, None, 0.1, 0.2, 10, 10, [gb_per_s])


class Lines(unittest.TestCase):
    def test_a_command_says_all_its_fields_and_leaves_out_the_empty_ones(self):
        self.assertEqual(
            command_line("get", bytes=65536, inflight=8, servers=[12, 13]),
            "get bytes=65536 inflight=8 servers=12,13",
        )
        self.assertEqual(command_line("fill", bytes=1, servers=[]), "fill bytes=1")

    def test_an_answer_is_read_and_anything_else_fails_with_its_own_words(self):
        sample = parse_answer("done ops=2 bytes=20 checked=2 wall_ns=9 latencies=4,5")
        self.assertEqual((sample.ops, sample.bytes, sample.latencies_ns), (2, 20, [4, 5]))
        self.assertEqual(parse_answer("done ops=0 latencies=").latencies_ns, [])
        for line, words in (
            ("error corrupt: get of w1-2", "corrupt: get of w1-2"),
            ("done ops=many", "cannot be read"),
            ("done colour=3", "cannot be read"),
            ("", "said nothing"),
        ):
            with self.assertRaisesRegex(Failed, words):
                parse_answer(line)

    def test_raw_ucx_is_read_bucket_by_bucket(self):
        sample = parse_slice("slice 3 300 0 900 400 100:1,1152:2")
        self.assertEqual((sample.ops, sample.bytes, sample.client_cpu_ns), (3, 300, 400))
        self.assertEqual(sample.latencies_ns, [100, bucket_ns(1152), bucket_ns(1152)])
        # 1152 = 8 * 128 + 128: the first bucket of the power of two that begins at 2^15.
        self.assertEqual(bucket_ns(1152), (1 << 15) + (1 << 7))
        with self.assertRaises(Failed):
            parse_slice("error no such thing")


CLIENT = """
    import sys, time
    print("ready transport=" + sys.argv[1], flush=True)
    for line in sys.stdin:
        if line.startswith("hang"):
            time.sleep(60)
        if line.startswith("leave"):
            sys.exit("the client's last words")
        print("done ops=1 bytes=8 wall_ns=4 latencies=4", flush=True)
"""


class DriverTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.log = pathlib.Path(self.folder.name) / "log"
        command = [sys.executable, "-c", textwrap.dedent(CLIENT), "ucx: tcp over lo"]
        self.driver = Driver(command, self.log)
        self.addCleanup(self.driver.stop)

    def test_it_answers_until_it_is_stopped_and_then_is_gone(self):
        self.assertEqual(self.driver.ready(), "ucx: tcp over lo")
        self.assertEqual(self.driver.ask("get", bytes=8).bytes, 8)
        self.driver.stop()
        with self.assertRaises(ProcessLookupError):
            os.kill(self.driver.pid, 0)

    def test_one_that_hangs_is_killed_at_the_deadline(self):
        self.driver.ready()
        with self.assertRaisesRegex(Failed, "hung"):
            self.driver.say("hang", 0.05)
        self.assertEqual(self.driver.process.returncode, -signal.SIGKILL)

    def test_one_that_ends_leaves_its_last_words(self):
        self.driver.ready()
        with self.assertRaisesRegex(Failed, "the client's last words"):
            self.driver.ask("leave")


class FakePeer(Peer):
    """Runs in no time: rates by a table, failures where the test wants them."""

    gb_per_s = 1.0
    breaks = None  # (operation, what it says, whether the client is gone)
    log = None

    def launch(self):
        if self.breaks and self.breaks[0] == "start":
            raise Failed(self.breaks[1])
        self.version = "1.0"
        self.driver = types.SimpleNamespace(
            process=types.SimpleNamespace(poll=lambda: self.gone), stop=lambda: None
        )
        self.gone = None

    def ask(self, verb, timeout_s=None, **fields):
        self.log.append((self.name, verb))
        if self.breaks and self.breaks[0] == verb:
            self.gone = 1 if self.breaks[2] else None
            raise Failed(self.breaks[1])
        if verb not in ("get", "put", "exists"):
            return Sample()
        size = 0 if verb == "exists" else fields["bytes"]
        wall_ns = max(1, round(size / self.gb_per_s))
        return Sample(10, 10 * size, 10, 10 * wall_ns, 5, 5, [wall_ns] * 10)


def fake(called, kind="peer", gb_per_s=1.0, breaks=None, group="tcp"):
    log = []
    members = {"name": called, "kind": kind, "gb_per_s": gb_per_s, "breaks": breaks}
    return type("Fake", (FakePeer,), members | {"group": group, "log": log})


class RaceTest(unittest.TestCase):
    plan = Plan(sizes=(65536, 2 << 20), windows=(1, 8), rounds=2, budget_s=60)

    def run_race(self, *classes, plan=None, clock=None):
        self.place = types.SimpleNamespace(client_cores=[0, 1], server_cores=[0, 1])
        self.race = Race(plan or self.plan, lambda line: None, clock or (lambda: 0.0))
        self.rows = self.race.run([one(self.place) for one in classes])
        self.report = table.as_json(
            self.rows, self.race.plan, self.place, self.race.skipped, 1.0
        )
        return table.text(self.report)

    def test_all_cells_are_run_by_all_and_the_table_marks_who_lost(self):
        text = self.run_race(
            fake("tarn tcp", "tarn", 2.0), fake("slow", gb_per_s=1.0), fake("fast", gb_per_s=4.0)
        )
        self.assertEqual(len(self.report["cells"]), 9)
        gets = [cell for cell in self.report["cells"] if cell["op"] == "get"]
        self.assertTrue(all(cell["lost"] and cell["ratio"] == 0.5 for cell in gets))
        self.assertIn("<2.00", text)
        self.assertIn("!4.00", text)
        self.assertNotIn("!1.00", text)
        self.assertIn("0.50  tcp: get 2 MiB x 8: tarn tcp 2.00 1.0m/-, fast 4.00", text)
        self.assertIn("reason: not known yet", text)

    def test_rounds_of_all_peers_are_interleaved(self):
        one, two = fake("one"), fake("two", "tarn")
        two.log = one.log
        self.run_race(one, two, plan=Plan((65536,), (1,), 3, 60))
        gets = [name for name, verb in one.log if verb == "get"]
        self.assertEqual([gets[i : i + 2].count("one") for i in range(0, 8, 2)], [1, 1, 1, 1])

    def test_a_peer_that_does_not_start_is_a_row_with_its_error_and_the_race_goes_on(self):
        text = self.run_race(
            fake("tarn tcp", "tarn", 2.0),
            fake("InfiniStore", breaks=("start", "Failed to get\nRDMA devices list", True)),
            fake("other"),
        )
        self.assertIn("InfiniStore (tcp): did not run: Failed to get RDMA devices list", text)
        self.assertEqual(self.report["peers"][1]["error"], "Failed to get RDMA devices list")
        self.assertTrue(all("other" in cell["rows"] for cell in self.report["cells"]))

    def test_an_operation_that_is_refused_costs_its_cells_alone(self):
        text = self.run_race(
            fake("tarn tcp", "tarn", 2.0), fake("odd", breaks=("put", "no room", False))
        )
        for cell in self.report["cells"]:
            self.assertEqual("odd" in cell["rows"], cell["op"] != "put", cell["label"])
        self.assertIn("    put 2 MiB x 8: no room", text)

    def test_a_client_that_is_gone_is_out_and_keeps_no_figures_to_boast_with(self):
        text = self.run_race(
            fake("tarn tcp", "tarn", 2.0), fake("dead", breaks=("exists", "crashed", True))
        )
        self.assertIn("dead (tcp): did not run: exists of 1,024 keys: crashed", text)
        self.assertNotIn("dead", text.partition("Who ran:")[0])

    def test_what_has_no_time_left_is_listed(self):
        ticks = itertools.count()
        text = self.run_race(
            fake("tarn tcp", "tarn"), fake("other"), clock=lambda: next(ticks) * 2.0
        )
        self.assertTrue(self.race.skipped)
        self.assertIn("No time was left for: ", text)

    def test_groups_do_not_meet_and_each_peer_is_stopped(self):
        stopped = []
        classes = [fake("a", "tarn", group="same host"), fake("b"), fake("c", "tarn")]
        for one in classes:
            one.stop = lambda self: stopped.append(self.name)
        self.run_race(*classes)
        self.assertEqual(sorted(stopped), ["a", "b", "c"])
        for cell in self.report["cells"]:
            self.assertEqual(set(cell["rows"]), {"a"} if cell["group"] != "tcp" else {"b", "c"})

    def test_the_json_has_what_is_promised_and_the_text_is_made_of_it(self):
        self.run_race(fake("tarn tcp", "tarn", 2.0), fake("other"))
        report = json.loads(json.dumps(self.report))
        self.assertEqual(table.text(report), table.text(self.report))
        self.assertLessEqual(
            {"machine", "commit", "plan", "cores", "peers", "cells", "skipped"}, set(report)
        )
        cell = report["cells"][0]
        told = {"group", "op", "block_bytes", "inflight", "rows", "tarn", "best_peer", "ratio"}
        self.assertLessEqual(told | {"lost"}, set(cell))
        self.assertEqual(set(cell["rows"]["other"]), set(Figures.__dataclass_fields__))

    def test_a_known_reason_is_printed_where_its_conditions_are_met(self):
        self.run_race(fake("tarn tcp", "tarn", 1.0), fake("fast", gb_per_s=4.0))
        reasons = [{"when": {"op": ["put"], "inflight": [8]}, "because": "it evicts"}]
        lines = table.losses(self.report, reasons)
        self.assertEqual(sum("it evicts" in line for line in lines), 2)
        self.assertTrue(all(" x 8: " in line for line in lines if "it evicts" in line))


class Command(unittest.TestCase):
    def test_rows_are_chosen_by_parts_of_their_names(self):
        names = [one.name for one in command.chosen(PEERS, "tarn tcp, MEMCACHED")]
        self.assertEqual(names, ["tarn tcp", "memcached raw"])
        with self.assertRaisesRegex(Failed, "there are: tarn local"):
            command.chosen(PEERS, "etcd")

    def test_options_override_the_plan(self):
        plan = command.plan_of(command.parse(["--quick", "--sizes", "65536", "--rounds", "7"]))
        self.assertEqual((plan.sizes, plan.rounds), ((65536,), 7))
        self.assertEqual(plan.budget_s, command.QUICK.budget_s)
        self.assertLess(command.QUICK.budget_s, 20 * 60)
        self.assertLess(command.FULL.budget_s, 90 * 60)

    def test_only_what_the_rows_need_is_installed_and_lmcache_only_when_asked_for(self):
        self.assertEqual(
            command.needs_of(command.chosen(PEERS, "memcached"), False),
            ["matplotlib", "memcached"],
        )
        self.assertNotIn("lmcache", command.needs_of(PEERS, False))
        self.assertIn("lmcache", command.needs_of(PEERS, True))

    def test_every_need_can_be_installed_and_every_row_has_a_name_of_its_own(self):
        known = install.WHEELS.keys() | install.DEBIAN.keys()
        self.assertEqual({need for one in PEERS for need in one.needs} - known, set())
        names = [one.name for one in PEERS]
        self.assertEqual(len(names), len(set(names)))

    def test_an_install_that_fails_is_told_and_the_rest_goes_on(self):
        said = []
        with tempfile.TemporaryDirectory() as folder:
            python = pathlib.Path(folder, "venv", "bin", "python")
            python.parent.mkdir(parents=True)
            python.write_text("#!/bin/sh\necho no such wheel >&2\nexit 1\n")
            python.chmod(0o755)
            errors = install.install(folder, ["numpy", "valkey"], said.append)
        self.assertEqual(errors, {"numpy": "no such wheel", "valkey": "no such wheel"})

    def test_a_program_that_was_not_built_is_named_with_the_remedy(self):
        with tempfile.TemporaryDirectory() as folder:
            place = Place(folder, folder)
            with self.assertRaisesRegex(Failed, "tarn-server is not in .*: build it first"):
                place.program("tarn-server")
            with self.assertRaisesRegex(Failed, "--install"):
                place.scratch_file("venv/none")

    def test_list_names_the_rows(self):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(command.main(["--list"], PEERS), 0)
        self.assertIn("same host: tarn local (tarn)", out.getvalue())


if __name__ == "__main__":
    unittest.main()
