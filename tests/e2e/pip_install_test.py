"""What a user of Python does: `pip install ./sdk/python` into an environment of his own, then
`import tarn` from there.

It builds in build/wheel with what scripts/deps has put into build/venv and with the compiler's
cache that the tree's own build has filled; nothing is downloaded. The pins of pyproject.toml must
be those that are installed.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import unittest

SOURCE = pathlib.Path(os.environ["TARN_SOURCE_DIR"])
HOME = pathlib.Path(os.environ["TARN_BINARY_DIR"]) / "pip_install"
PYTHON = HOME / "bin" / "python"
BUILD_SECONDS = 1100

USE = """
import hashlib, importlib.metadata, json, sys, tarn
tokens = list(range(8))
words = lambda part: b"".join(token.to_bytes(4, "little") for token in part)
first = hashlib.sha256(words(tokens[:4])).digest()
second = hashlib.sha256(first + words(tokens[4:])).digest()
refusals = {}
for name, options in {
    "credentials": tarn.ClientOptions(endpoint="127.0.0.1:1", credentials=sys.argv[1]),
    "endpoint": tarn.ClientOptions(endpoint="no port", credentials=sys.argv[1]),
}.items():
    try:
        tarn.Client.connect(options)
    except tarn.Error as error:
        refusals[name] = [error.outcome.name, str(error)]
print(json.dumps({
    "file": tarn.__file__,
    "hashes": tarn.Hasher.open("sha256_u32le", "", 4).hash(tokens) == [first, second],
    "refusals": refusals,
    "versions": [importlib.metadata.version("tarn-kv"), tarn.version()],
}))
"""


def run(*command, check=True, **options):
    """Runs it away from the tree, whose own package Python would find else."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**clean, **options}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=HOME,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def pip(*words):
    """The pip of build/venv, working for the new environment, which needs none of its own. The
    compiler goes by the name under which the tree's build has filled its cache."""
    return run(
        *(sys.executable, "-m", "pip", "--python", PYTHON, *words),
        *("--disable-pip-version-check", "--no-input"),
        PYTHONPATH=sysconfig.get_path("purelib"),
        CC="cc",
        CXX="c++",
    )


def import_fails():
    return run(PYTHON, "-I", "-c", "import tarn", check=False).returncode != 0


class PipInstall(unittest.TestCase):
    def setUp(self):
        shutil.rmtree(HOME, ignore_errors=True)
        self.addCleanup(shutil.rmtree, HOME, ignore_errors=True)
        HOME.mkdir(parents=True)
        run(sys.executable, "-m", "venv", "--without-pip", HOME)

    def test_a_fresh_environment_gets_a_package_that_works_and_can_let_go_of_it(self):
        self.assertTrue(import_fails())
        pip(
            *("install", "--no-index", "--no-build-isolation", "--check-build-dependencies"),
            SOURCE / "sdk" / "python",
        )
        found = json.loads(run(PYTHON, "-I", "-c", USE, HOME / "nowhere").stdout)
        self.assertTrue(found["file"].startswith(f"{HOME}/lib/"), found["file"])
        self.assertTrue(found["hashes"])
        installed, built = found["versions"]
        self.assertTrue(built.startswith(installed), found["versions"])
        for name in ("credentials", "endpoint"):
            outcome, words = found["refusals"][name]
            self.assertEqual(outcome, "invalid_argument", words)
            self.assertIn(name, words)
        self.assertIn(str(HOME / "nowhere"), found["refusals"]["credentials"][1])
        pip("uninstall", "--yes", "tarn-kv")
        self.assertTrue(import_fails())
        left = [path for path in HOME.rglob("*tarn*") if "__pycache__" not in path.parts]
        self.assertEqual(left, [])


if __name__ == "__main__":
    unittest.main()
