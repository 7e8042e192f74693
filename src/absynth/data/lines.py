"""Files of lines: decoded, gzipped or not, and cut at real line ends only."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from absynth.errors import InputError

_END = re.compile(r"\r\n|\n|\r")


def read_lines(path: Path, what: str = "text") -> list[str]:
    """The lines of a text file in utf-8 (or utf-16 with its mark), gzipped or not.

    Lines end at ``\\n``, ``\\r\\n`` and ``\\r``; form feeds and Unicode's other separators lie within a line.

    Args:
        path: The file.
        what: What is expected, for the message.

    Raises:
        InputError: The file cannot be read, or it is no text.
    """
    try:
        if not path.is_file():  # a pipe would wait for ever
            raise OSError("no regular file")
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        found = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: expected {what} in utf-8, gzipped or not, got a file that is neither ({reason}): save it as utf-8"
        ) from error
    if "\0" in found:
        raise InputError(f"{path}: expected {what} in utf-8, got a file with zero bytes: save it as text")
    lines = _END.split(found)
    return lines[:-1] if lines[-1] == "" else lines
