"""Shapes are read from every form they come in, rendered, and refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from test_data_video import refused

from absynth.data import sets
from absynth.data.voxel_set import VoxelSet
from absynth.data.voxel_views import render


def tables(n: int = 12, side: int = 16) -> np.ndarray:
    """Tables: a plate on four legs; y, the second axis, is up."""
    x = np.zeros((n, side, side, side), np.uint8)
    for i in range(n):
        top = 6 + i % 8
        x[i, 2:14, top : top + 2, 2:14] = 1
        for a in (2, 12):
            for b in (2, 12):
                x[i, a : a + 2, :top, b : b + 2] = 1
    return x


def binvox(x: np.ndarray) -> bytes:
    """A shape in Patrick Min's format; the file's order is x, z, y."""
    flat = x.transpose(0, 2, 1).ravel()
    runs, begin = bytearray(), 0
    while begin < len(flat):
        end = begin
        while end < len(flat) and flat[end] == flat[begin] and end - begin < 255:
            end += 1
        runs += bytes([flat[begin], end - begin])
        begin = end
    head = f"#binvox 1\ndim {' '.join(map(str, x.shape))}\ntranslate 0 0 0\nscale 1\ndata\n"
    return head.encode() + bytes(runs)


def test_every_form_of_shapes_is_the_same_shapes(tmp_path):
    x = tables()
    truth = torch.from_numpy(x)[:, None].float() * 2 - 1
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "b.npz", voxels=x.astype(np.float32))
    packed = np.packbits(x.reshape(len(x), -1), axis=1)
    np.savez(tmp_path / "c.npz", table=packed[:6], desk=packed[6:])
    for i, one in enumerate(x):
        (tmp_path / "shapes").mkdir(exist_ok=True)
        (tmp_path / "shapes" / f"{i:02d}.binvox").write_bytes(binvox(one))
    for source, kind in (("a.npy", ""), ("b.npz", ""), ("c.npz", "voxels"), ("shapes", "")):
        data = sets.open(tmp_path / source, kind=kind)
        assert data.kind == "voxels"
        both = torch.cat([data.all(), data.split("test").all()])
        order = torch.cdist(truth.flatten(1), both.flatten(1)).argmin(1)
        assert torch.equal(both[order], truth), source
        assert len(both) == 12
    classes = sets.open(tmp_path / "c.npz", kind="voxels")
    assert classes.class_names == ("table", "desk")
    assert sets.kind_before_reading(x) == "voxels"


def test_matlab_files(tmp_path):
    io = pytest.importorskip("scipy.io")
    folder = tmp_path / "mat"
    for i, one in enumerate(tables(4)):
        place = folder / ("a" if i % 2 else "b")
        place.mkdir(parents=True, exist_ok=True)
        io.savemat(place / f"{i}.mat", {"instance": one})
    data = sets.open(folder)
    assert data.class_names == ("a", "b")
    assert torch.equal(data.all().sum((1, 2, 3, 4)).sort().values[-1:], torch.tensor([
        float(2.0 * tables(4)[3].sum() - 16**3)]))  # fmt: skip


def test_meshes_are_filled_and_open_ones_refused(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    for i in range(3):
        trimesh.creation.icosphere(subdivisions=2, radius=1 + i).export(tmp_path / f"{i}.off")
    data = sets.open(tmp_path, size=16)
    assert data.shape == (1, 16, 16, 16)
    share = float((data.all() > 0).float().mean())
    assert abs(share - np.pi / 6) < 0.1  # a ball in its cube, filled: its surface alone has a third of that
    holed = trimesh.creation.icosphere(subdivisions=2)
    holed.update_faces(np.arange(len(holed.faces)) > 5)
    holed.export(tmp_path / "open.off")
    refused(lambda: sets.open(tmp_path / "open.off"), "open.off", "closed mesh", "save voxels")


def test_coarser_shapes_keep_thin_parts():
    x = tables(side=16)
    data = sets.open(x, size=8)
    fine = sets.open(x)
    blocks = torch.nn.functional.max_pool3d(fine.all(), 2)
    assert torch.equal(data.all(), blocks)
    refused(lambda: sets.open(x, size=5), "size to divide", "got 5")


def test_a_run_knows_its_shapes_again(tmp_path):
    data = sets.open((tables(), np.arange(12) % 2))
    again = sets.empty(data.description())
    assert isinstance(again, VoxelSet)
    assert again.shape == (1, 16, 16, 16)
    assert again.class_names == data.class_names == ("0", "1")
    for one in again.show(data.all()[:3], tmp_path / "s.png") + again.compare(
        {"a": data.all()[:2], "b": data.all()[:2]}, tmp_path / "c.png"
    ):
        assert Image.open(tmp_path / one["file"]).size[0] > 90


def test_views_show_the_shape():
    x = torch.from_numpy(tables(1))[:, None].float() * 2 - 1
    from_above = render(x.transpose(3, 2), elevation=90.0, azimuth=0.0, up=0)  # the plate fills a square
    seen = from_above[0].mean(0) < 0.99
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    for found in (rows, columns):
        assert abs(int(found.max() - found.min()) + 1 - 96 * 12 / 16 / 1.5) <= 4
    side = render(x.transpose(3, 2), elevation=0.0, azimuth=0.0, up=0)[0].mean(0) < 0.99
    upper, lower = side[:48].float().sum(), side[48:].float().sum()
    assert upper != lower  # the table is not the same upside down
    assert bool((render(-torch.ones(1, 1, 8, 8, 8)) == 1).all())  # nothing but paper
    one, other = (render(x, azimuth=a, up=1) for a in (35.0, 125.0))
    assert float((one - other).abs().mean()) < 0.02  # this table has four equal sides
    assert float((one - render(x, azimuth=80.0, up=1)).abs().mean()) > 0.04


def test_bad_shapes_are_refused_in_one_line(tmp_path):
    whole = binvox(tables(1)[0])
    for name, raw in (("cut", whole[:-40]), ("empty", b""), ("other", b"P6 16 16"), ("long", whole + b"\x01\x09")):
        (tmp_path / f"{name}.binvox").write_bytes(raw)
        refused(lambda name=name: sets.open(tmp_path / f"{name}.binvox"), f"{name}.binvox", "cannot be read")
    refused(lambda: sets.open(np.zeros((4, 8, 8, 8))), "the value 0 everywhere")
    refused(lambda: sets.open(np.full((4, 8, 8, 8), np.nan), kind="voxels"), "finite")
    refused(lambda: sets.open(np.zeros((4, 3)), kind="voxels"), "expected shapes [n, d, h, w]")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "a.binvox").write_bytes(whole)
    (mixed / "b.binvox").write_bytes(binvox(tables(1)[0][:8, :8, :8]))
    refused(lambda: sets.open(mixed), "one size", "16×16×16", "8×8×8", "give size")
