"""Every test runs on one thread, in float64 by default for what it makes itself, with shapes checked at run time."""

import os
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
