"""A lock on a run directory, so that the same command started twice does not break the first process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from absynth.errors import InputError

try:
    import fcntl
except ImportError:  # not on Windows: runs are not locked there
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"


@contextmanager
def hold(run: Path) -> Iterator[None]:
    """Hold the lock of an existing run directory; it is released when the process ends, however it ends.

    Raises:
        InputError: Another process holds it; the message says which.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(run / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 200).decode("utf-8", "replace").strip() or "another process"
            raise InputError(f"run {run} is in use by {holder}: wait for it, or start another run with --out") from None
        except OSError:  # file systems without locks
            yield
            return
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on host {socket.gethostname()}".encode())
        yield
    finally:
        os.close(handle)
