"""Fixtures of the end-to-end tests."""

import atexit
import os
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "sdk" / "python" / "examples")]

# Where servers and clients of these tests meet for shared memory; other clusters of this host stay
# out of it.
os.environ["TARN_LOCAL_DIR"] = tempfile.mkdtemp(prefix="tarn-e2e-")
atexit.register(shutil.rmtree, os.environ["TARN_LOCAL_DIR"], ignore_errors=True)
