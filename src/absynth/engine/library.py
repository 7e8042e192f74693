"""The C++ functions of the engine, built with the machine's own compiler at first use and kept in a cache folder."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import lru_cache
from importlib import resources
from pathlib import Path

from absynth.engine.trace import Refused
from absynth.errors import InputError
from absynth.files import file_digest, write_atomic

FLAGS = "-O3 -march=native -std=c++17 -ffp-contract=fast -fno-math-errno -fno-trapping-math -shared -fPIC -pthread"
SOURCES = ("functions.cpp", "noise.cpp", "fused.cpp")
"""One after another they are one source."""


@lru_cache(maxsize=1)
def build() -> ctypes.CDLL:
    """The C++ functions, compiled if this machine has not done so before.

    Raises:
        Refused: there is no compiler, or it fails. (Not cached: a later call tries again.)
    """
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    if compiler is None:
        raise Refused("there is no C++ compiler")
    folder = resources.files("absynth.engine")
    source = b"\n".join(folder.joinpath(name).read_bytes() for name in SOURCES)
    try:
        version = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=60).stdout
        name = hashlib.sha256(repr((source, FLAGS, version, _processor())).encode()).hexdigest()[:16]
        kept = _kept(f"fused-{name}.so")
        if kept is not None and _intact(kept):
            with suppress(OSError):  # a folder whose files cannot be run
                return ctypes.CDLL(str(kept))
        with tempfile.TemporaryDirectory(prefix="absynth-") as temporary:
            made = _compile(compiler, source, Path(temporary))
            if kept is not None:
                with suppress(InputError, OSError):  # a home that cannot be written: for this process alone
                    write_atomic(kept, made.read_bytes())
                    write_atomic(kept.with_suffix(".sha256"), file_digest(made))
            return ctypes.CDLL(str(made))
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"the C++ chain could not be built: {error}") from error


def _kept(name: str) -> Path | None:
    """Where a library is kept, or None without a home."""
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(cache) if cache else Path.home() / ".cache") / "absynth" / "engine" / name
    except RuntimeError:
        return None


def _intact(kept: Path) -> bool:
    """Whether the cached library is what its digest says: to load one that was cut short kills the process."""
    try:
        return kept.with_suffix(".sha256").read_text() == file_digest(kept)
    except (OSError, UnicodeDecodeError, InputError):
        return False


def _compile(compiler: str, source: bytes, folder: Path) -> Path:
    made = folder / "fused.so"
    (folder / "fused.cpp").write_bytes(source)
    command = [compiler, *FLAGS.split(), "-o", str(made), str(folder / "fused.cpp")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise Refused(f"{compiler} failed: {' '.join(done.stderr.split())[:120]}")
    return made


def _processor() -> str:
    """What ``-march=native`` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return " ".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
