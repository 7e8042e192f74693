"""Readers against real files and against files written here, what users bring, the order of examples."""

from __future__ import annotations

import gzip
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from absynth.data import arrays, decode, folder, images
from absynth.data.images import Images
from absynth.data.order import minibatches


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels.astype(np.uint8))
    (picture.convert(mode) if mode else picture).save(path)
    return path


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# ----------------------------------------------------------------------------------------------------------- Images


def test_bytes_become_minus_one_to_one():
    x = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    found = Images(x, torch.arange(4), "ramp")
    assert torch.equal(found.all(), x.float() / 127.5 - 1)
    assert found.all().min() == -1
    assert found.all().max() == 1
    assert torch.equal(found.batch(torch.tensor([2, 0])), found.all()[[2, 0]])
    assert len(found) == 4
    assert repr(found) == "Images(ramp: 4 of 8×8, 1 channel, labelled)"


def test_floats_are_mapped_by_their_range():
    x = np.linspace(-3.0, 7.1, 20 * 3 * 4 * 5, dtype=np.float32).reshape(20, 3, 4, 5)
    train, test = (folder.from_array(x, split) for split in ("train", "test"))
    assert (train.low, train.high) == (test.low, test.high) == (x.min(), x.max())  # one range for both splits
    assert train.x.dtype == torch.float32
    both = torch.cat([train.all(), test.all()]).flatten().sort().values
    assert both[0] == -1
    assert both[-1] == 1  # not a rounding above
    torch.testing.assert_close(both, torch.linspace(-1, 1, len(both)), atol=1e-6, rtol=0)
    assert repr(train).endswith("5×4, 3 channels, values -3 to 7.1)")


def test_find_root(tmp_path, monkeypatch):
    given, variable, home = tmp_path / "given", tmp_path / "variable", tmp_path / "home"
    for place in (given, variable, home / ".cache/absynth/data"):
        place.mkdir(parents=True)
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.setenv("ABSYNTH_DATA", str(variable))
    assert images.find_root(str(given), "mnist") == given
    assert images.find_root("", "mnist") == variable
    monkeypatch.delenv("ABSYNTH_DATA")
    assert images.find_root("", "mnist") == home / ".cache/absynth/data"


# -------------------------------------------------------------------------------------------- readers, the real files


@pytest.mark.parametrize(
    ("name", "split", "n", "shape", "first", "per_class"),
    [
        ("mnist", "train", 60000, (1, 28, 28), [5, 0, 4, 1, 9], {0: 5923, 1: 6742}),
        ("mnist", "test", 10000, (1, 28, 28), [7, 2, 1, 0, 4], {0: 980, 1: 1135}),
        ("fashion_mnist", "test", 10000, (1, 28, 28), [9, 2, 1, 1, 6], {0: 1000, 9: 1000}),
        ("svhn", "train", 554, (3, 32, 32), [1, 9, 2, 3, 2], {}),
        ("svhn", "test", 486, (3, 32, 32), [5, 2, 1, 0, 6], {}),
        ("cifar10", "test", 10000, (3, 32, 32), [], {0: 1000, 9: 1000}),
        ("digits", "train", 1438, (1, 8, 8), [], {0: 142}),
        ("digits", "test", 359, (1, 8, 8), [], {0: 36}),
    ],
)
def test_published_sets(name, split, n, shape, first, per_class, request):
    root = Path() if name == "digits" else request.getfixturevalue("data_root")
    found = getattr(images, name)(root, split)
    assert len(found) == n
    assert found.x.shape[1:] == shape
    assert found.x.dtype == torch.uint8
    assert found.labels.tolist()[: len(first)] == first
    counts = found.labels.bincount(minlength=10)
    assert len(counts) == 10
    assert {k: int(counts[k]) for k in per_class} == per_class
    some = found.batch(torch.arange(min(n, 500)))
    assert some.min() >= -1
    assert some.max() <= 1
    assert some.max() - some.min() > 1.9
    assert name in repr(found)


def test_mnist_pixels(data_root):
    # The mean and standard deviation of the training pixels that everyone normalizes by: 0.1307 and 0.3081.
    counts = images.mnist(data_root, "train").x.flatten().bincount(minlength=256).double()
    values, weights = torch.arange(256) / 255, counts / counts.sum()
    mean = (weights * values).sum()
    assert abs(mean - 0.1307) < 1e-4
    assert abs((weights * (values - mean) ** 2).sum().sqrt() - 0.3081) < 1e-4


def test_cifar10_jpeg_is_the_picture(data_root):
    if not (data_root / "cifar10" / "cifar10_lossless_batch_0.png").exists():
        pytest.skip("no lossless pictures to compare with")
    packed = arrays.load_arrays(data_root / "cifar10" / "cifar10_train_jpeg.npz")
    rows = np.asarray(Image.open(data_root / "cifar10" / "cifar10_lossless_batch_0.png").convert("RGB"))
    truth = torch.from_numpy(rows.copy()).view(1000, 32, 32, 3)[:50].permute(0, 3, 1, 2).float()
    ours = torch.empty(50, 3, 32, 32)
    prefix, jpeg, offsets = (packed[key] for key in ("prefix", "jpeg", "offsets"))
    for i in range(50):
        raw = prefix.tobytes() + jpeg[offsets[i] : offsets[i + 1]].tobytes()
        ours[i] = torch.from_numpy(np.array(Image.open(BytesIO(raw)))).permute(2, 0, 1)
    error = (ours - truth).abs().mean()
    assert error < 10
    assert (ours.roll(1, 0) - truth).abs().mean() > 3 * error  # the picture beside it does not fit


def test_digits_split_keeps_every_picture_once():
    from sklearn.datasets import load_digits

    train, test = (images.digits(Path(), split) for split in ("train", "test"))
    ours = torch.cat([train.x, test.x]).flatten(1)
    truth = (torch.as_tensor(load_digits().data) * 255 / 16).round().to(torch.uint8)
    assert sorted(map(bytes, ours.numpy())) == sorted(map(bytes, truth.numpy()))
    assert ours.max() == 255
    share = test.labels.bincount() / (test.labels.bincount() + train.labels.bincount())
    assert (share - 0.2).abs().max() < 0.004


# --------------------------------------------------------------------------------- readers, files written as official


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("inside", ["mnist", "."])
def test_idx(tmp_path, zipped, inside):
    x, y = noise(7, 5, 4), np.arange(7, dtype=np.uint8)
    for kind, array in (("images-idx3", x), ("labels-idx1", y)):
        raw = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()
        path = tmp_path / inside / f"t10k-{kind}-ubyte{'.gz' if zipped else ''}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(raw) if zipped else raw)
    found = images.mnist(tmp_path, "test")
    assert np.array_equal(found.x[:, 0].numpy(), x)
    assert found.labels.tolist() == list(range(7))


def test_official_svhn(tmp_path):
    from scipy.io import savemat

    x = noise(32, 32, 3, 4)
    savemat(tmp_path / "train_32x32.mat", {"X": x, "y": np.array([[1], [10], [9], [10]], np.uint8)})
    found = images.svhn(tmp_path, "train")
    assert found.name == "svhn"
    assert found.labels.tolist() == [1, 0, 9, 0]
    assert np.array_equal(found.x[2].numpy(), x[..., 2].transpose(2, 0, 1))


def test_official_cifar10(tmp_path):
    inside = tmp_path / "cifar-10-batches-bin"
    inside.mkdir()
    rows = noise(10, 3073) % 10
    for i in range(5):
        rows[2 * i : 2 * i + 2].tofile(inside / f"data_batch_{i + 1}.bin")
    found = images.cifar10(tmp_path, "train")
    assert found.name == "cifar10"
    assert found.labels.tolist() == rows[:, 0].tolist()
    assert found.x[3, 1, 0, 2] == rows[3, 1 + 1024 + 2]  # the green plane comes second, rows first


def test_celeba(tmp_path):
    place = tmp_path / "celeba" / "img_align_celeba"
    for i in range(20):
        pixels = np.zeros((218, 178, 3), np.uint8)
        pixels[39:179, 19:159] = 10 * i  # the central 140×140; what lies outside is black
        save(place / f"{i:06d}.png", pixels).rename(place / f"{i:06d}.jpg")  # lossless, read by content
    train, test = (images.celeba(tmp_path, split) for split in ("train", "test"))
    assert train.x.shape == (18, 3, 64, 64)
    assert test.x.flatten(1).unique(dim=1).tolist() == [[180], [190]]  # the last tenth, and nothing from outside
    listed = "".join(f"{i:06d}.jpg {i % 3}\n" for i in range(20))
    (tmp_path / "celeba" / "list_eval_partition.txt").write_text(listed)
    assert images.celeba(tmp_path, "test").x[:, 0, 0, 0].tolist() == [20, 50, 80, 110, 140, 170]
    assert images.celeba(tmp_path, "train").x[:, 0, 0, 0].tolist() == [0, 30, 60, 90, 120, 150, 180]


# --------------------------------------------------------------------------------------------------- what users bring


def test_folder_splits_labels_and_progress(tmp_path):
    truth = {}
    for i in range(60):
        path = save(tmp_path / ("b", "a", "c")[i % 3] / "deep" / f"{i}.png", noise(6, 5, 3, seed=i))
        truth[np.asarray(Image.open(path)).tobytes()] = (1, 0, 2)[i % 3]
    (tmp_path / "notes.txt").write_text("not a picture")
    save(tmp_path / "a" / "._junk.png", noise(3, 3))
    seen = []
    train = folder.images(tmp_path, "train", progress=lambda done, total: seen.append((done, total)))
    test = folder.images(str(tmp_path), "test")
    assert seen == [(i + 1, len(train)) for i in range(len(train))]
    assert len(train) + len(test) == 60
    assert 1 <= len(test) <= 15
    for found in (train, test):
        for picture, label in zip(found.x, found.labels.tolist()):
            assert truth.pop(picture.permute(1, 2, 0).numpy().tobytes()) == label
    assert not truth  # every picture came exactly once
    assert torch.equal(folder.images(tmp_path, "test").x, test.x)
    names = lambda found: {bytes(p) for p in found.x.flatten(1).numpy()}  # noqa: E731
    save(tmp_path / "a" / "later.png", noise(6, 5, 3, seed=99))
    assert names(train) <= names(folder.images(tmp_path, "train"))  # adding a picture moves no other
    save(tmp_path / "outside.png", noise(6, 5, 3, seed=98))
    assert folder.images(tmp_path, "train").labels is None  # not every picture lies in a sub-folder


def test_folder_with_its_own_split(tmp_path):
    for i in range(5):
        save(tmp_path / ("test" if i == 0 else "train") / f"{i}.png", np.full((2, 2), i))
    assert folder.images(tmp_path, "train").x[:, 0, 0, 0].tolist() == [1, 2, 3, 4]
    assert folder.images(tmp_path, "test").x[:, 0, 0, 0].tolist() == [0]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_neither_split_is_empty(tmp_path, n):
    for i in range(n):
        save(tmp_path / f"{i}.png", noise(4, 4, seed=i))
    assert len(folder.images(tmp_path, "test")) >= 1
    assert len(folder.images(tmp_path, "test")) + len(folder.images(tmp_path, "train")) == n


def test_every_format(tmp_path):
    for i, suffix in enumerate(("png", "JPG", "jpeg", "bmp", "webp")):
        save(tmp_path / "train" / f"{i}.{suffix}", np.full((8, 8, 3), 40 * i + 20))
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "train" / "9.gif", save_all=True, append_images=frames[1:])
    save(tmp_path / "test" / "0.png", noise(8, 8))
    found = folder.images(tmp_path, "train")
    assert (found.x[:5, :, 4, 4].int() - torch.tensor([20, 60, 100, 140, 180])[:, None]).abs().max() <= 2
    assert found.x[5, :, 4, 4].tolist() == [255, 0, 0]  # the first frame


def test_modes(tmp_path):
    pixel = np.zeros((1, 2, 4), np.uint8)
    pixel[0, 0] = (10, 20, 30, 0)  # transparent: white
    pixel[0, 1] = (10, 20, 30, 255)
    assert decode.read_picture(save(tmp_path / "rgba.png", pixel)).tolist() == [[[255, 10]], [[255, 20]], [[255, 30]]]
    assert decode.read_picture(save(tmp_path / "la.png", pixel[..., 2:])).tolist() == [[[255, 30]]]
    Image.fromarray(np.array([[0, 0x1234, 0xFFFF]], np.uint16)).save(tmp_path / "deep.png")
    assert decode.read_picture(tmp_path / "deep.png").tolist() == [[[0, 0x1234, 0xFFFF]]]  # kept as numbers
    assert decode.read_picture(save(tmp_path / "bit.png", np.array([[0, 255]]), "1")).tolist() == [[[0, 255]]]
    rotated = Image.fromarray(np.array([[1, 2]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated.save(tmp_path / "turned.png", exif=exif)
    assert decode.read_picture(tmp_path / "turned.png").shape == (1, 2, 1)


def test_one_colour_picture_makes_all_colour(tmp_path):
    save(tmp_path / "train" / "0.png", np.full((2, 2), 7))
    save(tmp_path / "train" / "1.png", np.full((2, 2, 3), (1, 2, 3)))
    save(tmp_path / "train" / "2.png", np.full((2, 2), 9))
    save(tmp_path / "test" / "0.png", np.full((2, 2), 7))
    assert folder.images(tmp_path, "train").x[:, :, 0, 0].tolist() == [[7, 7, 7], [1, 2, 3], [9, 9, 9]]


def test_resize_keeps_aspect_and_agrees_between_files_and_arrays(tmp_path):
    wide = np.zeros((3, 32, 64), np.uint8)
    wide[:, :, 16:48] = noise(3, 32, 32)  # all that is not black lies in the central square
    for i, pixels in enumerate(wide):
        save(tmp_path / f"{i}.png", pixels)
    np.save(tmp_path / "same.npy", wide)
    files = torch.cat([folder.images(tmp_path, split, size=8).x for split in ("train", "test")]).flatten(1)
    arrays = torch.cat([folder.images(tmp_path / "same.npy", split, size=8).x for split in ("train", "test")])
    arrays = arrays.flatten(1)
    distance = (files[:, None].int() - arrays[None].int()).abs().amax(-1)
    assert distance.min(1).values.max() <= 1  # each file's picture is among the array's, to rounding
    # Antialiasing: 4×4 blocks of noise average out, to a spread far below the 74 that single pixels have.
    assert arrays.float().std() < 35
    means = torch.from_numpy(wide[:, :, 16:48].copy()).float().mean((1, 2))
    assert (arrays.float().mean(1).sort().values - means.sort().values).abs().max() < 6


@pytest.mark.parametrize(
    ("shape", "channels", "size"),
    [
        ((12, 6, 5), 1, (6, 5)),
        ((12, 6, 5, 1), 1, (6, 5)),
        ((12, 6, 5, 3), 3, (6, 5)),
        ((12, 3, 6, 5), 3, (6, 5)),
        ((12, 1, 6, 5), 1, (6, 5)),
        ((12, 6, 5, 4), 3, (6, 5)),
        ((12, 4, 6, 5), 3, (6, 5)),
        ((12, 3, 5, 3), 3, (5, 3)),  # both fit: channels first
        ((12, 4, 5, 3), 3, (4, 5)),  # 3 before 4
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_channels_are_found(tmp_path, shape, channels, size, dtype):
    np.save(tmp_path / "x.npy", noise(*shape).astype(dtype))
    assert folder.images(tmp_path / "x.npy", "train").x.shape[1:] == (channels, *size)


def test_arrays_by_value(tmp_path):
    x = noise(30, 4, 5, 3)
    np.savez(tmp_path / "set.npz", images=x, labels=np.array(["cat", "ant", "bee"] * 10))
    both = [folder.images(tmp_path / "set.npz", split) for split in ("train", "test")]
    at = {bytes(picture): i for i, picture in enumerate(x.transpose(0, 3, 1, 2).reshape(30, -1))}
    rows = [at[bytes(p)] for found in both for p in found.x.flatten(1).numpy()]
    assert sorted(rows) == list(range(30))
    labels = [label for found in both for label in found.labels.tolist()]
    assert labels == [(2, 0, 1)[row % 3] for row in rows]
    assert both[0].name == "set"

    bits = folder.from_array(noise(20, 3, 3) > 127, "train")  # False and True become −1 and 1
    assert bits.all().unique().tolist() == [-1, 1]
    assert folder.from_array(noise(20, 3, 3) // 128, "train").all().unique().tolist() == [-1, 1]
    sixteen = folder.from_array(noise(20, 3, 3).astype(">u2") * 257, "train")
    assert sixteen.high > 60000
    assert sixteen.all().abs().max() == 1

    rgba = np.full((3, 2, 2, 4), 10, np.uint8)
    rgba[..., 3] = np.array([0, 255, 51])[:, None, None]  # transparent, opaque, a fifth: 10/5 + 255·4/5 = 206
    rgba[1, 0, 0, 0] = 12
    found = torch.cat([folder.from_array(rgba, split).x for split in ("train", "test")])[:, 0, 1, 1]
    assert sorted(found.tolist()) == [10, 206, 255]


# -------------------------------------------------------------------------------------------------------------- order


def test_every_index_once_an_epoch():
    drawn = torch.stack(list(islice(minibatches(12, 3, seed=1), 12))).view(3, 12)
    assert all(sorted(epoch) == list(range(12)) for epoch in drawn.tolist())
    assert len({tuple(epoch) for epoch in drawn.tolist()}) == 3  # epochs differ
    assert not torch.equal(next(minibatches(12, 12, seed=1)), next(minibatches(12, 12, seed=2)))


def test_partial_batch_is_dropped():
    drawn = torch.stack(list(islice(minibatches(11, 3, seed=1), 6))).view(2, 9)
    assert all(len(set(epoch)) == 9 for epoch in drawn.tolist())


@pytest.mark.parametrize("start", [0, 1, 2, 3, 4, 7, 30])
def test_start_equals_skipping(start):
    skipped = islice(minibatches(11, 3, seed=5), start, start + 8)
    assert all(torch.equal(a, b) for a, b in zip(skipped, minibatches(11, 3, seed=5, start=start), strict=False))


def test_start_costs_one_permutation():
    first = next(minibatches(1000, 10, seed=0, start=10**15 + 3))  # would not end, were batches drawn to be skipped
    assert len(first.unique()) == 10
