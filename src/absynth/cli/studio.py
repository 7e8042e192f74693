"""``absynth studio [RUN ...]``: trained models in a browser."""

from __future__ import annotations

from pathlib import Path

from absynth.cli.parser import Parser


def studio(argv: list[str]) -> None:
    """Serve a page that shows runs and pretrained models, until Ctrl-C."""
    from absynth.studio.server import serve

    parser = Parser(
        "absynth studio", "Show trained models in a browser, on this machine alone (needs absynth[studio])."
    )
    parser.add_argument("runs", nargs="*", type=Path, help="Run directories, beside all pretrained models.")
    parser.add_argument("--port", type=int, default=7860, help="Port to listen on.")
    parser.add_argument("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 lets other machines in.")
    serve(**parser.read(argv))
