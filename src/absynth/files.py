"""Files that are written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from absynth.errors import InputError


def write_atomic(path: Path, contents: str | bytes | Callable[[Path], object]) -> None:
    """Make the file beside ``path``, sync it, and rename it into place.

    A reader, a kill or a full disk at any moment meets the old file or the new one, never half of it.

    Args:
        path: the file; its folder is made if need be.
        contents: text, bytes, or a function that writes the file it is given.

    Raises:
        InputError: the disk refused; what stood at ``path`` is untouched.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(contents):
            contents(aside)
        else:
            aside.write_bytes(contents.encode("utf-8") if isinstance(contents, str) else contents)
        sync(aside)
        aside.replace(path)
        sync(path.parent)
    except OSError as error:
        raise refused(path, error) from error
    finally:
        with suppress(NotADirectoryError):  # what should be a folder is a file
            aside.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """``value`` as indented JSON, atomically."""
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, do: str = "absynth train makes run directories") -> dict:
    """The JSON object in a file.

    Raises:
        InputError: the file is missing or damaged; the message names it and ends with ``do``.
    """
    check_file(path, do)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"expected {path}, found none: {do}") from None
    except (ValueError, IsADirectoryError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is damaged, expected a JSON object ({reason}): {do}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged, expected a JSON object, got {type(value).__name__}: {do}")
    return value


def check_file(path: Path, do: str = "move it away") -> None:
    """Raise an InputError where a pipe or a device stands for a file: to read it would wait for ever."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"expected a file, got a pipe or a device at {path}: {do}")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    check_file(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until the disk has a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def refused(path: Path, error: Exception) -> InputError:
    """What to tell when the disk did not take ``path``."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return InputError(f"could not write {path}: a file stands where a folder should be: write elsewhere")
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return InputError(
        f"could not write {path}: {reason}; what was there before is untouched: free some space or write elsewhere"
    )
