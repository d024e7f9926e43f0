"""The race of Tarn beside its peers: schedule, figures, table, processes."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
PEERS = ROOT / "benchmarks" / "peers"
# What starts, watches and ends processes is shared with the demonstration.
sys.path.append(str(ROOT / "sdk" / "python" / "examples"))
