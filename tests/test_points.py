"""Point clouds: readers, an energy without an order of points, distances, and the tasks of a short run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from absynth import recipes
from absynth.data import points, sets
from absynth.errors import InputError
from absynth.metrics.clouds import chamfer, coverage
from absynth.networks.pointnet import PointF
from absynth.seeding import noise_like, stream
from absynth.tasks import interpolate, reconstruct, sample
from absynth.training import fit


def ball(n: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, 3))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def write_ply(file, x: np.ndarray, form: str) -> None:
    head = f"ply\nformat {form} 1.0\ncomment made here\nelement vertex {len(x)}\nproperty uchar red\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz")
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    if form == "ascii":
        body = "\n".join(f"7 {a:.8g} {b:.8g} {c:.8g}" for a, b, c in x).encode() + b"\n3 0 1 2\n"
    else:
        order = "<" if "little" in form else ">"
        table = np.zeros(len(x), [("red", "u1"), *((axis, f"{order}f4") for axis in "xyz")])
        table["x"], table["y"], table["z"] = x.T
        body = table.tobytes() + b"\x03" + bytes(12)
    file.write_bytes(head.encode() + body)


def test_every_format_reads_the_same_points(tmp_path):
    x = ball(20)
    np.save(tmp_path / "a.npy", x)
    for form in ("ascii", "binary_little_endian", "binary_big_endian"):
        write_ply(tmp_path / f"{form}.ply", x, form)
    lines = [f"{a} {b} {c} 1 2 3" for a, b, c in x]
    (tmp_path / "a.xyz").write_text("\n".join(lines))
    (tmp_path / "b.xyz").write_text("\n".join([str(len(x)), "made here", *(f"C {line}" for line in lines)]))
    for file in tmp_path.iterdir():
        if file.name == "b.xyz":
            continue
        np.testing.assert_allclose(points.read_cloud(file), x, atol=1e-6, err_msg=file.name)


def test_a_folder_has_classes_and_clouds_of_one_size(tmp_path):
    for name, sizes in (("balls", (30, 40)), ("discs", (35, 50))):
        (tmp_path / name).mkdir()
        for i, n in enumerate(sizes):
            np.save(tmp_path / name / f"{i}.npy", 5 + ball(n, i) * [1, 1, name == "balls"])
    data = sets.open(tmp_path, kind="points")
    assert data.shape == (30, 3)
    assert data.class_names == ("balls", "discs")
    assert float(data.all().abs().amax()) <= 1
    assert sets.open(tmp_path, kind="points", points=20).shape == (20, 3)
    assert sets.open(np.stack([ball(100, i) for i in range(6)])).kind == "points"


def test_bad_clouds_are_one_line(tmp_path):
    def refused(x: np.ndarray, match: str, **options) -> None:
        np.save(tmp_path / "bad.npy", x)
        with pytest.raises(InputError, match=match) as error:
            sets.open(tmp_path / "bad.npy", kind="points", **options)
        assert "\n" not in str(error.value)

    refused(ball(4), "at least 16 points, got 4")
    refused(np.where(np.arange(60).reshape(20, 3) == 7, np.nan, ball(20)), "1 points with NaN")
    refused(ball(20)[:, :2], r"shape \[n, 3\]")
    refused(ball(20), "at least points=30 points, got 20", points=30)
    (tmp_path / "cut.ply").write_bytes(b"ply\nformat ascii 1.0\nelement vertex 30\nproperty float x\nend_header\n1\n")
    with pytest.raises(InputError, match="cannot be read"):
        points.read_cloud(tmp_path / "cut.ply")
    (tmp_path / "words.xyz").write_text("1 2 3\n1 2 three\n")
    with pytest.raises(InputError, match="line 2"):
        points.read_cloud(tmp_path / "words.xyz")


def test_the_energy_does_not_see_the_order_of_points_and_takes_any_number():
    torch.manual_seed(0)
    f = PointF(8)
    x = noise_like(torch.empty(3, 40, 3), stream(1))
    f.requires_grad_(False)
    order = torch.randperm(40, generator=stream(2))
    assert float((f(x) - f(x[:, order])).abs().max()) < 1e-5
    assert float((f(x) - f(x + 0.3)).abs().min()) > 1e-5
    torch.testing.assert_close(f(torch.cat([x, x], 1)), 2 * f(x))  # an energy of all points


def test_the_energy_couples_the_points_of_a_cloud():
    """An f that sums over the points alone has a mixed second derivative of 0, and makes clouds without shape."""
    torch.manual_seed(0)
    f = PointF(8)
    f.standardize(0.5 * noise_like(torch.empty(20, 40, 3), stream(3)))
    x, step = 0.5 * noise_like(torch.empty(1, 40, 3), stream(1)), torch.zeros(1, 40, 3)
    one, two = step.clone(), step.clone()
    one[0, 0], two[0, 1] = 0.5, 0.5
    with torch.no_grad():
        mixed = f(x + one + two) - f(x + one) - f(x + two) + f(x)
        alone = f(x + one) - f(x)
    assert float(mixed.abs()) > 0.01 * float(alone.abs())


def test_pooled_waves_are_standardized_by_training_clouds():
    f = PointF(8)
    x = torch.tensor(np.stack([ball(50, i) * (1 + i % 3) for i in range(30)]))
    f.standardize(x)
    z = ((f.pooled(x) - f.mean) / f.spread).detach()
    torch.testing.assert_close(z.mean(0), torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std(0), torch.ones(16), atol=1e-4, rtol=0)
    f.standardize(x[:1].expand(5, -1, -1))  # clouds that are all alike
    assert bool(f(x).isfinite().all())


def test_distances_and_coverage():
    x = torch.tensor(np.stack([ball(50, i) * (1 + i) for i in range(4)]))
    assert float(chamfer(x, x.flip(1)).abs().max()) < 1e-5
    whole, part = coverage(x, x), coverage(x[:1].expand(4, 50, 3), x)
    assert whole.coverage == 1
    assert whole.distance < 1e-5
    assert part.coverage == 0.25
    assert part.distance > whole.distance


def test_the_surface_is_where_a_full_voxel_has_an_empty_neighbour():
    cube = torch.zeros(1, 8, 8, 8)
    cube[:, 1:7, 1:7, 1:7] = 1
    x = points.surface(cube, 400, seed=0)[0]
    assert bool(((x >= 1) & (x <= 7)).all())
    assert bool(((x < 2) | (x > 6)).any(1).all())


def test_from_the_command_line(tmp_path):
    x = np.stack([ball(40, i) * [1, 1, 0.3 + i % 2] for i in range(40)])
    np.savez(tmp_path / "clouds.npz", x=x, y=np.arange(40) % 2)
    run = tmp_path / "run"
    fit(recipes.build("maximum_likelihood", str(tmp_path / "clouds.npz"), tiny=True, kind="points"), run)
    sample.command(run, n=3)
    assert np.load(run / "sample" / "samples.npz")["x"].shape == (3, 32, 3)
    found = reconstruct.command(run, n=2)
    assert {"test MSE", "Chamfer distance"} <= set(found.figures)
    interpolate.command(run, n=2, steps=3)
    assert (run / "interpolate" / "interpolations.png").exists()
