"""A file inside a tar, read in place: nothing is unpacked, and only what is asked for is read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple


class Member(NamedTuple):
    """A member of an uncompressed tar.

    >>> str(Member(Path("part-0000.tar"), "000001.jpg", 512, 9000))
    'part-0000.tar/000001.jpg'
    """

    tar: Path
    name: str
    offset: int
    """Where its bytes begin in the tar."""
    size: int

    def __str__(self) -> str:
        return f"{self.tar}/{self.name}"

    def open(self) -> io.BufferedReader:
        """The member as a file of its own; it has its own place in the tar, so threads may read several at once."""
        return io.BufferedReader(_Window(self))

    def read(self) -> bytes:
        """All of its bytes."""
        with self.open() as file:
            return file.read()


def bytes_of(path: Path | Member) -> int:
    """Size of a file or a member."""
    return path.size if isinstance(path, Member) else path.stat().st_size


class _Window(io.RawIOBase):
    """The bytes of a member, seen as a whole file."""

    def __init__(self, member: Member) -> None:
        self.begin, self.length, self.place = member.offset, member.size, 0
        self.file = member.tar.open("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.length}[whence]
        if base + offset < 0:
            raise OSError(f"negative seek position {base + offset}")
        self.place = base + offset
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer) -> int:  # type: ignore[override]
        wanted = max(0, min(len(buffer), self.length - self.place))
        self.file.seek(self.begin + self.place)
        found = self.file.read(wanted) or b""
        buffer[: len(found)] = found
        self.place += len(found)
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self.file.close()
        super().close()
