"""The second reader: the preset `clang`, with thread-safety annotations and clang-tidy."""

import os
import shutil
import subprocess
import sys

TOOLS = ("clang++-14", "clang-tidy-14")
# What a test returns that could not run.
SKIPPED = 77


def targets(root, folder):
    """The build's targets of all modules in `folder`; all of the tree's for an empty one."""
    if not folder:
        return ["all"]
    lists = sorted((root / folder).glob("**/CMakeLists.txt"))
    return [f"{path.parent.relative_to(root).as_posix()}/all" for path in lists]


def check(root, folder):
    """Builds with every finding an error, and goes on after one. Returns: the exit status."""
    wanted = targets(root, folder.rstrip("/"))
    if not wanted:
        print(f"tidy: {folder}: no module (a folder with a CMakeLists.txt) in it", file=sys.stderr)
        return 2
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        print(f"tidy: {', '.join(missing)}: missing: scripts/deps --check", file=sys.stderr)
        return SKIPPED
    build = ["cmake", "--build", "build/clang", "--parallel", str(os.cpu_count())]
    for command in (
        ["cmake", "--preset", "clang", "-DTARN_TIDY=ON"],
        [*build, "--target", *wanted, "--", "-k", "0"],
    ):
        status = subprocess.run(command, cwd=root, check=False).returncode
        if status != 0:
            return 1
    return 0
