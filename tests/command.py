"""One command of the shell, run in the process of the tests."""

from __future__ import annotations

from absynth import cli


def run(*argv: object) -> int:
    """Exit status of one command."""
    try:
        cli.main([str(a) for a in argv])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
