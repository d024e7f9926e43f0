"""The demonstration of the quickstart, on real programs: its verdict and what it prints."""

import re
import subprocess
import sys

from tarn_cluster import BUILD, ROOT

TURNS = ["1", "2", "3", "4", "fork 0", "fork 1"]


def test_a_session_outlives_its_worker_a_server_and_the_router():
    command = [sys.executable, ROOT / "sdk/python/examples/main_job.py", "--build", BUILD]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "tokens identical: yes" in lines
    assert "kv bytes identical: yes" in lines
    assert not [line for line in lines if line.startswith("NOT SO")]
    for turn in TURNS:
        assert any(line.startswith(f"{turn} ") for line in lines), f"no row of turn {turn}"
    for killed in ("server-[123] killed", "router killed"):
        assert re.search(killed, done.stdout), f"nothing says: {killed}"
    workers = {turn: re.search(rf"(?m)^{turn} +(worker-[ab]) ", done.stdout)[1] for turn in "12"}
    assert workers["1"] != workers["2"]
    assert f"-- {workers['1']} killed after 40 tokens of turn 2" in lines
