"""Depth, range and channels of images: 16 bits, floats, few bits, pages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from test_data_images import pixels, save

from absynth.data import folder, open
from absynth.errors import InputError


def test_sixteen_bits_are_kept_with_the_range_of_the_whole_folder(tmp_path):
    for i in range(12):
        save(tmp_path / f"{i}.png", pixels(8, 8, seed=i).astype(np.uint16) * 16)
    splits = [folder.images(tmp_path, part) for part in ("train", "test")]
    assert len({(s.low, s.high) for s in splits}) == 1
    x = torch.cat([s.all() for s in splits])
    assert (x.min(), x.max()) == (-1, 1)
    assert len(x.unique()) > 200
    data = open(tmp_path)
    assert not data.stored_as_bytes
    assert open(tmp_path, size=4).shape == (1, 4, 4)


def test_float_tiffs_are_kept(tmp_path):
    x = np.random.default_rng(0).normal(size=(5, 8, 8)).astype(np.float32)
    for i in range(5):
        Image.fromarray(x[i]).save(tmp_path / f"{i}.tif")
    found = folder.images(tmp_path, "all")
    assert torch.equal(found.x[:, 0], torch.from_numpy(x))
    bad = x[0].copy()
    bad[2, 3] = np.nan
    Image.fromarray(bad).save(tmp_path / "3.tif")
    with pytest.raises(InputError, match=r"3\.tif: expected finite values"):
        folder.images(tmp_path, "all")


def test_depths_are_not_mixed(tmp_path):
    save(tmp_path / "0.png", pixels(8, 8))
    save(tmp_path / "1.png", pixels(8, 8).astype(np.uint16) * 16)
    with pytest.raises(InputError, match=r"images of one depth, .*0\.png and .*1\.png"):
        folder.images(tmp_path, "all")


def deep_colour(form: str) -> bytes:
    """An 8×8 image of 16 bits per colour and values of 12."""
    import struct
    import zlib

    x = np.random.default_rng(0).integers(0, 4096, (8, 8, 3))
    if form == "png":

        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in x)
        head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    if form == "ppm":
        return b"P6\n# by a scanner\n8 8\n65535\n" + x.astype(">u2").tobytes()
    raw = x.astype("<u2").tobytes()
    short = ((256, 8), (257, 8), (259, 1), (262, 2), (277, 3), (278, 8))
    entries = [(tag, struct.pack("<HHIHH", tag, 3, 1, value, 0)) for tag, value in short]
    entries += [(258, struct.pack("<HHII", 258, 3, 3, 200))]
    entries += [(tag, struct.pack("<HHII", tag, 4, 1, value)) for tag, value in ((273, 256), (279, len(raw)))]
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(e for _, e in sorted(entries)) + bytes(4)
    return head.ljust(200, b"\0") + struct.pack("<HHH", 16, 16, 16).ljust(56, b"\0") + raw


@pytest.mark.parametrize("form", ["png", "tif", "ppm"])
def test_colour_of_sixteen_bits_is_refused_not_cut(tmp_path, form):
    """Pillow would hand out the upper eight bits: nearly black for a 12-bit scan."""
    (tmp_path / f"0.{form}").write_bytes(deep_colour(form))
    assert Image.open(tmp_path / f"0.{form}").mode == "RGB"
    save(tmp_path / "1.png")
    with pytest.raises(InputError, match="16 bits per colour are not supported"):
        folder.images(tmp_path, "all")


def test_pages_beyond_the_first_are_said(tmp_path):
    frames = [Image.fromarray(pixels(8, 8, seed=i)) for i in range(3)]
    frames[0].save(tmp_path / "stack.tif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    save(tmp_path / "a.tif", pixels(8, 8))
    assert folder.images(tmp_path, "all").notes == ("2 files hold several pages or frames: the first of each is used",)


@pytest.mark.parametrize("largest", [1, 15, 63, 64])
def test_bytes_of_few_bits_use_the_whole_range(tmp_path, largest):
    x = (pixels(30, 8, 8) % (largest + 1)).astype(np.uint8)
    for i in range(30):
        save(tmp_path / f"{i}.png", x[i])
    for source in (tmp_path, x):
        train = open(source)
        both = torch.cat([train.all(), train.split("test").all()])
        assert both.min() == -1
        assert both.max() == pytest.approx(1 if largest < 64 else 64 / 127.5 - 1)


def test_a_constant_folder_is_refused(tmp_path):
    for i in range(5):
        save(tmp_path / f"{i}.png", np.full((8, 8), 200, np.uint8))
    with pytest.raises(InputError, match="expected images that vary, got one value everywhere: 200"):
        open(tmp_path)


@pytest.mark.parametrize("given", ["folder", "array"])
def test_channels_are_converted(tmp_path, given):
    x = pixels(12, 8, 8, 3)
    for i in range(12):
        save(tmp_path / f"{i}.png", x[i])
    source = tmp_path if given == "folder" else x
    grey = open(source, channels=1)
    assert grey.shape == (1, 8, 8)
    luma = (x.astype(float) @ [0.299, 0.587, 0.114]).round()
    known = {row.tobytes() for row in luma.astype(np.uint8).reshape(12, -1)}
    assert {row.tobytes() for row in grey.images.x[torch.arange(len(grey))].flatten(1).numpy()} <= known
    again = open(luma.astype(np.uint8), channels=3)
    assert again.shape == (3, 8, 8)
    assert torch.equal(again.head(2)[:, 0], again.head(2)[:, 2])
    with pytest.raises(InputError, match="channels=1"):
        open(source, channels=2)
