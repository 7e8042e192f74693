"""Image sets larger than memory give the same minibatches: arrays read in place, folders decoded on demand."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from absynth.data import arrays, decode, open
from absynth.data.listing import split_by_name


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, x: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(x).save(path)


def fill(base: Path, names: dict[str, int]) -> None:
    """So many images in each sub-folder."""
    for name, n in names.items():
        for i in range(n):
            save(base / name / f"{i}.png", pixels(8, 8, 3, seed=i))


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(arrays, "COPIED", 0)
    monkeypatch.setattr(decode, "IN_MEMORY", 0)


@pytest.mark.parametrize("form", ["NHW", "NCHW", "NHWC", "float", "> u2", "bool"])
def test_a_large_array_gives_what_a_small_one_gives(tmp_path, form, monkeypatch):
    x = pixels(40, 6, 6, 3)
    x = {
        "NHW": x[..., 0], "NCHW": x.transpose(0, 3, 1, 2), "NHWC": x, "float": x / 7, "> u2": x.astype(">u2"),
        "bool": x > 99,
    }[form]  # fmt: skip
    np.save(tmp_path / "x.npy", x)
    y = np.arange(40) % 3
    small, batches = open((x, y)), []
    for data in (small, None, None):
        if data is None:
            monkeypatch.setattr(arrays, "COPIED", 0)
            data = open((x, y)) if not batches[1:] else open(tmp_path / "x.npy")
            assert not isinstance(data.images.x, torch.Tensor)
        batches.append(next(data.batches(8, seed=3)))
        assert (data.low, data.high, data.shape) == (small.low, small.high, small.shape)
    assert all(torch.equal(b.x, batches[0].x) for b in batches[1:])
    assert torch.equal(batches[1].y, batches[0].y)
    assert batches[2].y is None
    limited = open((x, y), limit=10, validation=0.25)
    assert [len(limited), len(limited.split("validation"))] == [10, round(len(small) / 4)]


def test_a_mapped_array_is_not_read_as_a_whole(tmp_path, little_memory):
    np.save(tmp_path / "x.npy", pixels(40, 8, 8))
    data = open(tmp_path / "x.npy")
    assert isinstance(data.images.x, arrays.ArrayRows)
    base = data.images.x.array
    while not isinstance(base, np.memmap):
        base = base.base
    assert Path(base.filename).name == "x.npy"
    assert data.fingerprint == open(tmp_path / "x.npy").fingerprint
    np.save(tmp_path / "x.npy", pixels(40, 8, 8, seed=1))
    assert data.fingerprint != open(tmp_path / "x.npy").fingerprint


def test_splitting_takes_a_few_bytes_a_row():
    tracemalloc.start()
    try:
        rows = split_by_name(range(20_000), "train")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 * 20_000  # a text and an integer for each row are more than a hundred
    named = [str(i) for i in range(20_000)]
    assert np.array_equal(rows, split_by_name(named, "train"))


def test_a_large_folder_is_decoded_on_demand(tmp_path, monkeypatch):
    fill(tmp_path, {"train/a": 15, "train/b": 15, "test/a": 5})
    save(tmp_path / "train" / "b" / "grey.png", pixels(8, 8))
    whole = open(tmp_path)
    monkeypatch.setattr(decode, "IN_MEMORY", 8 * 8 * 3 * 10)
    data = open(tmp_path)
    store = data.images.x
    assert isinstance(store, decode.DecodedImages)
    assert torch.equal(data.all(), whole.all())
    store.cache = 8 * 8 * 3 * 10
    for one, other in zip(range(6), zip(data.batches(8, seed=1), whole.batches(8, seed=1))):
        assert torch.equal(other[0].x, other[1].x), one
        assert store._bytes <= store.cache
    assert store._bytes > 0
    read = []
    real = decode.read_picture
    monkeypatch.setattr(decode, "read_picture", lambda *a, **k: read.append(a) or real(*a, **k))
    last = torch.tensor(list(store._kept))
    data.batch(last)
    assert not read  # they were kept
    assert len(data.split("test")) == 5
    assert open(tmp_path, validation=0.2).split("validation").images.x.paths


@pytest.mark.slow
def test_memory_of_a_mapped_array_is_its_minibatches(tmp_path):
    """Of 200 MB, 12 minibatches are read: resident memory must not grow by the array."""
    import subprocess
    import sys

    np.save(tmp_path / "x.npy", np.broadcast_to(np.arange(64, dtype=np.uint8), (20_000, 64, 64)))
    code = (
        "import resource, sys, torch; from absynth.data import open; from absynth.data.arrays import ArrayRows\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        f"before = peak(); data = open({str(tmp_path / 'x.npy')!r})\n"
        "assert isinstance(data.images.x, ArrayRows)\n"
        "[next(data.batches(100, seed=k)) for k in range(12)]; data.split('test').fingerprint\n"
        "print((peak() - before) / (20_000 * 64 * 64))"
    )
    ratio = float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert ratio < 1.2
