"""Who is next: a newer request of a session stops its older ones, and nobody else's."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable


class Turns:
    """The latest request of each session and tab: an older one stops when a newer one comes."""

    def __init__(self) -> None:
        self._latest: dict[tuple[str, str], int] = {}
        self._count = itertools.count()
        self._lock = threading.Lock()

    def begin(self, session: str, tab: str) -> Callable[[], bool]:
        """Begin a request; the function that is returned says whether it is still the latest."""
        number = next(self._count)
        with self._lock:
            self._latest[session, tab] = number
        return lambda: self._latest.get((session, tab)) == number

    def end(self, session: str) -> None:
        """Forget a session that was closed: what still runs for it stops."""
        with self._lock:
            for key in [key for key in self._latest if key[0] == session]:
                del self._latest[key]
