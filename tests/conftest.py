"""Every test runs on one thread, in float64 by default for what it makes itself, with shapes checked at run time."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from shapes import check_in_tests

os.environ.setdefault("MPLBACKEND", "Agg")
check_in_tests()  # never in production
torch.set_num_threads(1)  # two OpenMP threads on a busy machine can be a hundred times slower


@pytest.fixture
def rng() -> torch.Generator:
    """A generator with a fixed seed."""
    from absynth.seeding import stream

    return stream(20210620, 0, 0)


@pytest.fixture
def data_root() -> Path:
    """The folder of real data sets; the test skips where there is none."""
    root = os.environ.get("ABSYNTH_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("ABSYNTH_DATA is not set to a folder of data sets")
    return Path(root)


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, where the machine has one."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page as ``absynth studio`` serves it; stopped by Ctrl-C at the end."""
    if find_spec("gradio") is None:
        pytest.skip("gradio is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "absynth", "studio", "--port", str(port)]
    place = tmp_path_factory.mktemp("studio")
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == f"absynth studio: http://127.0.0.1:{port} (Ctrl-C stops it)\n"
        yield f"http://127.0.0.1:{port}/"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stdout.read() == ""
    assert list(place.iterdir()) == []  # nothing is left where it was started
