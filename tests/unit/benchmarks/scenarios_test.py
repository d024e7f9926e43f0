"""benchmarks/scenarios: what the runner reads, judges and makes, without a cluster."""

import importlib.machinery
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib
import unittest

SOURCE = pathlib.Path(os.environ.get("TARN_SOURCE_DIR", pathlib.Path(__file__).parents[3]))
FOLDER = SOURCE / "benchmarks" / "scenarios"
sys.path.insert(0, str(FOLDER))

import kinds  # noqa: E402
import network  # noqa: E402


def load_run():
    """The runner as a module."""
    loader = importlib.machinery.SourceFileLoader("scenario_run", str(FOLDER / "run"))
    spec = importlib.util.spec_from_loader("scenario_run", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


run = load_run()


class Scenarios(unittest.TestCase):
    def test_each_names_a_kind_and_aims_at_what_it_finds(self):
        paths = sorted(FOLDER.glob("*.toml"))
        wanted = {"flash_curve", "flash_fill", "hedge", "incast", "layerwise", "sigstop"}
        wanted.add("slow_reader")
        self.assertEqual({path.stem for path in paths}, wanted)
        source = (FOLDER / "kinds.py").read_text()
        for path in paths:
            scenario = tomllib.loads(path.read_text())
            self.assertTrue(callable(getattr(kinds, scenario["kind"])), path.stem)
            self.assertTrue(scenario["what"])
            for aim in scenario["aim"]:
                name, _, side = aim.rpartition("_")
                self.assertIn(side, ("max", "min"))
                self.assertIn(f'"{name}"', source, "an aim at what no kind finds is never met")

    def test_aims_are_met_up_to_their_edge_and_missed_where_nothing_was_found(self):
        aims = {"a_max": 2, "b_min": 0.8, "c_min": 1}
        met = [verdict["met"] for verdict in run.judge(aims, {"a": 2, "b": 0.8})]
        self.assertEqual(met, [True, True, False])
        met = [verdict["met"] for verdict in run.judge(aims, {"a": 2.1, "b": 0.79, "c": 5})]
        self.assertEqual(met, [False, False, True])

    def test_a_scenario_that_cannot_run_here_says_why(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "far.toml"
            path.write_text('kind = "incast"\nwhat = "w"\nrate_mbit = 10\n')
            found, network.can_make_links = network.can_make_links, lambda: "no root"
            try:
                self.assertEqual(run.run_one(path, True)["skipped"], "no root")
            finally:
                network.can_make_links = found

    @unittest.skipIf(network.can_make_links(), "no network namespaces here")
    def test_a_link_is_as_slow_as_it_says_and_leaves_nothing(self):
        with network.Link(8, 32) as link:
            seen = network.run("tc", "-n", link.servers, "qdisc", "show", "dev", "servers0")
            self.assertRegex(seen, "tbf .*rate 8Mbit")
            ping = (*link.clients_prefix, "ping", "-c1", "-W5", link.servers_address)
            if subprocess.run(["which", "ping"], capture_output=True).returncode == 0:
                network.run(*ping)
        self.assertNotIn(link.servers, network.run("ip", "netns", "list"))

    @unittest.skipIf(network.can_make_links(), "no network namespaces here")
    def test_what_a_killed_runner_left_goes_with_the_next(self):
        child = subprocess.Popen(["true"])
        child.wait()
        left = f"{network.PREFIX}-{child.pid}-s"
        network.run("ip", "netns", "add", left)
        network.remove_leftovers()
        self.assertNotIn(left, network.run("ip", "netns", "list"))


if __name__ == "__main__":
    unittest.main()
