"""The cached C++ chain: one that was cut short is built anew, and a home that nobody can use stops no run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from absynth.engine import library


@pytest.fixture
def built(monkeypatch):
    """Builds the library under an environment, and says how often the compiler ran (on no source, to be quick)."""
    calls = []
    compile_ = library._compile
    tiny = b'extern "C" void chain_float32() {}'
    monkeypatch.setattr(library, "FLAGS", "-shared -fPIC")
    monkeypatch.setattr(library, "_compile", lambda c, source, folder: calls.append(1) or compile_(c, tiny, folder))

    def build(**environment: str) -> int:
        for name in ("HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        library.build.cache_clear()
        calls.clear()
        assert library.build().chain_float32 is not None
        return len(calls)

    yield build
    library.build.cache_clear()


def put(path: Path, contents: bytes) -> None:
    """Another file at the path: the one that this process has mapped stays as it is."""
    path.unlink()
    path.write_bytes(contents)


def test_a_damaged_library_is_built_anew_and_an_intact_one_is_not(built, tmp_path):
    assert built(XDG_CACHE_HOME=str(tmp_path)) == 1
    assert built(XDG_CACHE_HOME=str(tmp_path)) == 0
    (library,) = tmp_path.glob("absynth/engine/*.so")
    digest = library.with_suffix(".sha256")
    damages = {
        "cut short": lambda: put(library, library.read_bytes()[:5000]),
        "empty": lambda: put(library, b""),
        "flipped": lambda: put(library, library.read_bytes()[:-1] + b"z"),
        "gone": library.unlink,
        "no digest": digest.unlink,
        "digest of bytes": lambda: digest.write_bytes(b"\xff\xfe"),
    }
    for name, damage in damages.items():
        damage()
        assert built(XDG_CACHE_HOME=str(tmp_path)) == 1, name
        assert sorted(p.suffix for p in library.parent.iterdir()) == [".sha256", ".so"], name
        assert built(XDG_CACHE_HOME=str(tmp_path)) == 0, name


@pytest.mark.parametrize("home", ["/dev/null", "/proc/1/nowhere"])
def test_a_home_that_cannot_be_used_stops_nothing(built, home):
    assert built(HOME=home) == 1
    assert built(HOME=home) == 1  # nothing is kept
    assert built(XDG_CACHE_HOME=home) == 1


def test_no_home_at_all(built, monkeypatch):
    monkeypatch.setattr(library.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert built() == 1


def test_a_compiler_that_hangs_or_fails_is_refused(built, monkeypatch, tmp_path):
    def hangs(*_, **__):
        raise subprocess.TimeoutExpired("g++", 60)

    monkeypatch.setattr(library.subprocess, "run", hangs)
    with pytest.raises(library.Refused, match="could not be built"):
        built(XDG_CACHE_HOME=str(tmp_path))
