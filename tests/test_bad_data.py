"""What users get wrong: each is one line that names what was given and says what to do."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from absynth.data import folder, images, toy
from absynth.data.order import minibatches
from absynth.errors import InputError
from absynth.recipes.bounds import Count, check_bounds


def refused(call, *said: str) -> None:
    """``call`` raises InputError, in one line that holds every one of ``said``."""
    with pytest.raises(InputError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    for text in said:
        assert text in line, f"{text!r} is not in {line!r}"


def picture(path: Path, width: int = 4, height: int = 4, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def array(path: Path, x: np.ndarray, **named: np.ndarray) -> Path:
    if named:
        np.savez(path, x=x, **named)
    else:
        np.save(path, x)
    return path


GOOD = np.random.default_rng(0).random((10, 4, 4)).astype(np.float32)


def test_good_is_not_refused(tmp_path):
    """The array that every case below spoils is read, so it is the spoiling that is refused."""
    assert len(folder.images(array(tmp_path / "x.npy", GOOD), "train")) < 10
    assert folder.images(array(tmp_path / "x.npz", GOOD, y=np.arange(10)), "test").labels is not None


# ------------------------------------------------------------------------------------------------------------ folders


def test_missing_path(tmp_path):
    refused(lambda: folder.images(tmp_path / "nowhere", "train"), "nowhere", "no such file or folder", "expected")


def test_neither_folder_nor_array(tmp_path):
    refused(lambda: folder.images(picture(tmp_path / "one.png"), "train"), "one.png", "expected a folder of images")


@pytest.mark.parametrize("other", [None, "notes.txt", "x.mp3"])
def test_empty_folder(tmp_path, other):
    if other:
        (tmp_path / other).write_text("x")
    refused(lambda: folder.images(tmp_path, "train"), str(tmp_path), "expected images", ".png", "got none")


def test_one_picture(tmp_path):
    picture(tmp_path / "one.png")
    refused(lambda: folder.images(tmp_path, "train"), "at least 2 images", "got 1")


def test_mixed_sizes(tmp_path):
    for i in range(10):
        picture(tmp_path / "train" / f"{i}.png", 4, 4 if i < 7 else 5)
    picture(tmp_path / "test" / "0.png")
    refused(lambda: folder.images(tmp_path, "train"), "4×4 in", "0.png", "4×5 in", "7.png", "size=N resizes")
    assert folder.images(tmp_path, "train", size=3).x.shape == (10, 3, 3, 3)  # the advice works


@pytest.mark.parametrize("spoil", ["text", "truncated", "empty", "flipped"])
def test_corrupt_picture(tmp_path, spoil):
    for i in range(4):
        picture(tmp_path / "train" / f"{i}.png", 64, 64)
    picture(tmp_path / "test" / "0.png", 64, 64)
    path = tmp_path / "train" / "2.png"
    raw = path.read_bytes()
    middle = len(raw) // 2
    path.write_bytes(
        {
            "text": b"<html>not found</html>",
            "truncated": raw[:middle],
            "empty": b"",
            "flipped": raw[:40] + bytes(b ^ 0xFF for b in raw[40:middle]) + raw[middle:],
        }[spoil]
    )
    refused(lambda: folder.images(tmp_path, "train"), str(path), "cannot be read", "repair or remove")
    assert len(folder.images(tmp_path, "test")) == 1


def test_negative_size(tmp_path):
    refused(lambda: folder.images(tmp_path, "train", size=-1), "size 0 (as found)", "got -1")


# ------------------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("shape", [(10,), (10, 4), (10, 2, 3, 4, 4), (10, 5, 6, 7), (10, 2, 6, 6), ()])
def test_wrong_shape(tmp_path, shape):
    path = array(tmp_path / "x.npy", np.random.default_rng(0).random(shape))
    refused(lambda: folder.images(path, "train"), "x.npy", "expected an array [n, H, W]", f"got shape {list(shape)}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(tmp_path, value):
    x = GOOD.copy()
    x[3, 1, 2] = x[3, 1, 3] = x[7, 0, 0] = value
    path = array(tmp_path / "x.npy", x)
    said = ("x.npy", "got 3 that are NaN or infinite", "image 3", "index (3, 0, 1, 2)")
    refused(lambda: folder.images(path, "train"), *said)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.bool_])
def test_constant(dtype):
    refused(lambda: folder.from_array(np.full((10, 4, 4), 1, dtype), "train"), "expected images that vary", "got one")


def test_constant_but_for_alpha():
    x = np.full((10, 4, 5, 6), 0.5)
    x[:, 3] = np.random.default_rng(0).random((10, 5, 6))
    refused(lambda: folder.from_array(x, "train"), "expected images that vary")


def test_empty_array():
    refused(lambda: folder.from_array(np.zeros((0, 4, 4)), "train"), "empty array", "[0, 4, 4]")


@pytest.mark.parametrize("x", [np.zeros((5, 4, 4), complex), np.full((5, 4, 4), "a")])
def test_no_numbers(x):
    refused(lambda: folder.from_array(x, "train"), "expected an array of numbers", str(x.dtype))


class Trap:
    """Unpickled, it leaves a file: so the tests see that it never is."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["object npy", "object npz", "bare pickle"])
def test_pickles_are_never_loaded(tmp_path, kind):
    import pickle

    fuse = tmp_path / "fuse"
    trap = np.array([Trap(fuse)] * 5, dtype=object)
    path = tmp_path / ("x.npz" if kind == "object npz" else "x.npy")
    if kind == "bare pickle":
        path.write_bytes(pickle.dumps(Trap(fuse)))
    elif kind == "object npz":
        np.savez(path, x=trap, allow_pickle=True)
    else:
        np.save(path, trap, allow_pickle=True)
    refused(lambda: folder.images(path, "train"), str(path), "pickled Python objects", "never loaded")
    assert not fuse.exists()
    loaded = np.load(path, allow_pickle=True)  # where it is allowed, the trap does work
    if kind == "object npz":
        loaded["x"]
    assert fuse.exists()


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("keep", [0, 5, 100])
def test_broken_archive(tmp_path, name, keep):
    path = array(tmp_path / name, GOOD, **({"y": np.arange(10)} if name == "x.npz" else {}))
    path.write_bytes(path.read_bytes()[:keep])
    refused(lambda: folder.images(path, "train"), str(path), "expected")


def test_missing_key(tmp_path):
    np.savez(tmp_path / "x.npz", pictures=GOOD, other=GOOD)
    said = ("key x, images, data or arr_0", "got keys pictures [10, 4, 4], other")
    refused(lambda: folder.images(tmp_path / "x.npz", "train"), *said)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (np.arange(9), "got shape [9]"),
        (np.zeros((10, 2)), "got shape [10, 2]"),
        (np.linspace(0, 1, 10), "integers or text"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, y, said):
    refused(lambda: folder.images(array(tmp_path / "x.npz", GOOD, y=y), "train"), "x.npz", said)


# ------------------------------------------------------------------------------------------------------ published sets


@pytest.mark.parametrize(
    ("name", "split", "looked_for"),
    [
        ("mnist", "train", ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "mnist"]),
        ("fashion_mnist", "test", ["t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz", "fashion_mnist"]),
        ("svhn", "test", ["test_32x32.mat", "svhn_fullnumber_crops_subset.npz", "svhn"]),
        ("cifar10", "train", ["data_batch_1.bin", "cifar10_train_jpeg.npz", "cifar-10-batches-bin"]),
        ("celeba", "train", ["img_align_celeba"]),
    ],
)
def test_files_not_there(tmp_path, name, split, looked_for):
    refused(lambda: getattr(images, name)(tmp_path, split), *looked_for, str(tmp_path), "ABSYNTH_DATA", "or data at")


def test_one_cifar10_file_missing(tmp_path):
    for i in (1, 2, 3, 5):
        np.zeros(3073, np.uint8).tofile(tmp_path / f"data_batch_{i}.bin")
    refused(lambda: images.cifar10(tmp_path, "train"), "expected data_batch_4.bin in")


def test_pickled_cifar10_is_not_looked_for(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"\x80\x02")
    refused(lambda: images.cifar10(tmp_path, "train"), "binary version")


def test_cifar10_of_wrong_length(tmp_path):
    np.zeros(3072, np.uint8).tofile(tmp_path / "test_batch.bin")
    refused(lambda: images.cifar10(tmp_path, "test"), "test_batch.bin", "records of 3073 bytes", "got 3072")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"<html>", "expected an idx file"),
        (bytes([0, 0, 13, 3]) + bytes(12), "expected an idx file of bytes"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1]), "expected 8 values, got 1"),
    ],
)
def test_spoilt_idx(tmp_path, raw, said):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(raw)
    refused(lambda: images.mnist(tmp_path, "train"), "train-images-idx3-ubyte", said)


def test_truncated_gzip(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(1000))[:-9])
    refused(lambda: images.mnist(tmp_path, "train"), "train-images-idx3-ubyte.gz", "cannot be read")


def test_spoilt_mat(tmp_path):
    (tmp_path / "train_32x32.mat").write_bytes(b"not a mat file, but long enough" * 20)
    refused(lambda: images.svhn(tmp_path, "train"), "train_32x32.mat", "download it again")


def test_celeba_picture_too_small(tmp_path):
    for i in range(2):
        picture(tmp_path / "img_align_celeba" / f"{i}.jpg", 178, 100)
    refused(lambda: images.celeba(tmp_path, "train"), "0.jpg", "at least 140×140", "got 178×100")


@pytest.mark.parametrize("given", ["explicit", "variable", "nothing"])
def test_no_root(tmp_path, monkeypatch, given):
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.delenv("ABSYNTH_DATA", raising=False)
    explicit = str(tmp_path / "explicit") if given == "explicit" else ""
    said = [f"data={explicit}"]
    if given == "variable":
        monkeypatch.setenv("ABSYNTH_DATA", str(tmp_path / "variable"))
        said = [f"ABSYNTH_DATA={tmp_path / 'variable'}"]
    if given == "nothing":
        said = ["ABSYNTH_DATA (not set)", str(tmp_path / "home/.cache/absynth/data")]
    refused(lambda: images.find_root(explicit, "svhn"), "svhn", *said, "set ABSYNTH_DATA")


# ------------------------------------------------------------------------------------------------------ order and toys


def test_fewer_examples_than_a_batch():
    refused(lambda: minibatches(5, 8, seed=0), "one batch of 8", "got 5", "batch=5 or less")


def test_no_examples():
    refused(lambda: minibatches(0, 8, seed=0), "one batch of 8", "got 0")


@pytest.mark.parametrize("value", ["8", None, 1.5, True])
def test_a_field_that_is_no_whole_number_is_refused(value):
    with pytest.raises(InputError, match="expected batch to be a whole number, got"):
        check_bounds(int, "batch", value, Count)
    check_bounds(int, "batch", 8, Count)


@pytest.mark.parametrize(("batch", "start"), [(0, 0), (-1, 0), (2, -1)])
def test_numbers_out_of_range(batch, start):
    refused(lambda: minibatches(5, batch, seed=0, start=start), f"got batch {batch} and start {start}")


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan"), float("inf")])
def test_spread_that_is_none(std):
    for make in (toy.EightGaussians, toy.FourModes):
        refused(lambda make=make: make(1.0, std), f"expected std to be a positive number, got {std}")
    refused(lambda: toy.Rings((1.0,), std), "std")
    refused(lambda: toy.Moons(std), "std")
    refused(lambda: toy.LinearObservation(torch.eye(2), std), "std")
    refused(lambda: toy.Rings((1.0, -1.0)), "radii[1]")
    refused(lambda: toy.Rings(()), "at least one radius")


def test_helper_sees_what_it_must():
    """The negative control of ``refused`` itself."""

    def two_lines():
        raise InputError("a\nb")

    with pytest.raises(AssertionError):
        refused(two_lines)
    with pytest.raises(AssertionError, match=re.escape("'b' is not in 'a'")):
        refused(lambda: (_ for _ in ()).throw(InputError("a")), "b")
