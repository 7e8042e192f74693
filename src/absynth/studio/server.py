"""Serves the page on this machine until it is stopped."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from absynth.errors import InputError
from absynth.studio.models import Catalogue
from absynth.studio.style import CSS

AT_ONCE = 8
"""Requests of each kind that run at once; others wait for their turn."""


def serve(runs: Sequence[Path] = (), host: str = "127.0.0.1", port: int = 7860) -> None:
    """Serve the page until Ctrl-C.

    Args:
        runs: Run directories, beside the pretrained models.
        host: Address to listen on. Defaults to this machine alone.
        port: Port to listen on.

    Raises:
        InputError: Gradio is not installed, a run is none, or the port is in use.
    """
    require_gradio()
    catalogue = Catalogue(runs)
    page = start(catalogue, host, port)
    shown = f"[{host}]" if ":" in host else host
    print(f"absynth studio: http://{shown}:{port} (Ctrl-C stops it)", flush=True)
    stopped = threading.Event()
    while not stopped.is_set():
        for name in (signal.SIGINT, signal.SIGTERM):  # again and again: rdkit puts a handler of its own in their place
            signal.signal(name, lambda *_: stopped.set())
        stopped.wait(1)
    page.close(verbose=False)


def require_gradio() -> None:
    """Raise an InputError if Gradio is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise InputError("the studio needs the package gradio: pip install 'absynth[studio]'")


def start(catalogue: Catalogue, host: str, port: int) -> Any:
    """Begin to serve; returns the page, whose ``close`` ends it.

    Raises:
        InputError: The port is in use, or the address is none of this machine.
    """
    check_port(host, port)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import: no usage data are sent
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    torch.set_num_threads(1)  # one a request: people share the machine, not one chain
    import gradio as gr  # pyright: ignore[reportMissingImports]

    from absynth.studio import page

    fonts = [gr.themes.Font(name) for name in ("system-ui", "Segoe UI", "Roboto", "sans-serif")]
    mono = [gr.themes.Font(name) for name in ("ui-monospace", "Menlo", "monospace")]
    blocks = page.build(catalogue)
    blocks.queue(default_concurrency_limit=AT_ONCE)
    blocks.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        share=False,
        quiet=True,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=[],
        max_file_size="50mb",
        theme=gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=mono),
        css=CSS,
    )
    return blocks


def check_port(host: str, port: int) -> None:
    """Raise an InputError unless the port is free; the message names the next one that is."""
    if not 1 <= port <= 65535:
        raise InputError(f"expected --port between 1 and 65535, got {port}")
    reason = _refused(host, port)
    if reason is None:
        return
    free = next((p for p in range(port + 1, min(port + 200, 65536)) if _refused(host, p) is None), None)
    if free is None:
        raise InputError(f"cannot listen on {host} port {port} ({reason}): give another --host")
    raise InputError(f"port {port} is in use ({reason}): give --port {free}")


def _refused(host: str, port: int) -> str | None:
    """Why the port cannot be listened on; None where it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None
