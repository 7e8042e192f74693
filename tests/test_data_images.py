"""Images as people have them: splits and classes of folders, depth, arrays of known libraries, sets beyond memory."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from absynth.data import folder, open
from absynth.data.image_set import ImageSet
from absynth.data.images import Images
from absynth.data.sets import empty
from absynth.errors import InputError


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, x: np.ndarray | None = None, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(8, 8, 3, seed=seed) if x is None else x).save(path)
    return path


def fill(base: Path, names: dict[str, int]) -> Path:
    """So many images in each sub-folder."""
    for name, n in names.items():
        for i in range(n):
            save(base / name / f"{i}.png", seed=i)
    return base


def sizes(path: Path) -> tuple[int, int]:
    return len(folder.images(path, "train")), len(folder.images(path, "test"))


# --- splits and classes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "held"),
    [("train", "val"), ("train", "valid"), ("Train", "Test"), ("training", "testing"), ("TRAIN", "VALIDATION"),
     ("train", "dev"), ("train", "eval"), ("train_set", "test_set"), ("train2017", "val2017"), ("train", "hold-out")],
)  # fmt: skip
@pytest.mark.parametrize(
    "form", ["{part}/{label}", "{label}/{part}", "data/{part}/{label}", "{part}/images/{label}", "{part}"]
)
def test_names_of_splits(tmp_path, train, held, form):
    for part, n in ((train, 6), (held, 3)):
        for label in ("cat", "dog"):
            name = form.format(part=part, label=label)
            for i in range(n):
                save(tmp_path / name / f"{label}{i}.png", seed=i)
    assert sizes(tmp_path) == (12, 6)
    test = folder.images(tmp_path, "test")
    assert test.class_names == (() if form == "{part}" else ("cat", "dog"))
    assert len(folder.images(tmp_path, "all")) == 18


def test_three_splits_and_what_lies_outside(tmp_path):
    fill(tmp_path, {"train/a": 5, "val/a": 2, "test/a": 3, "extra": 4})
    assert [len(folder.images(tmp_path, part)) for part in ("train", "validation", "test")] == [5, 2, 3]
    assert "4 files outside of the splits left out" in folder.images(tmp_path, "train").notes


def test_a_held_out_split_alone_is_refused(tmp_path):
    fill(tmp_path, {"val/a": 2, "test/a": 3})
    with pytest.raises(InputError, match="expected a folder train beside the held-out one, got test, val"):
        folder.images(tmp_path, "train")


def test_classes_are_the_same_in_every_split(tmp_path):
    fill(tmp_path, {"train/ant": 3, "train/bee": 3, "train/cow": 3, "test/bee": 2, "test/cow": 2, "test/dog": 1})
    train, test = (folder.images(tmp_path, part) for part in ("train", "test"))
    assert train.class_names == test.class_names == ("ant", "bee", "cow", "dog")
    assert set(train.labels.tolist()) == {0, 1, 2}
    assert set(test.labels.tolist()) == {1, 2, 3}


@pytest.mark.parametrize(
    "names",
    [("train/a", "train/b", "unseen/a", "unseen/b"), ("train", "predict"), ("trainA", "trainB", "testA", "testB"),
     ("train/a", "train/b", "train_val/a")],
)  # fmt: skip
def test_folders_that_are_splits_by_half_their_names_are_refused(tmp_path, names):
    fill(tmp_path, dict.fromkeys(names, 3))
    with pytest.raises(InputError, match="expected folders train, val and test, or one folder per class, got"):
        folder.images(tmp_path, "train")


def test_train_may_be_a_class(tmp_path):
    fill(tmp_path, {"bus": 5, "plane": 5, "train": 5})
    assert folder.images(tmp_path, "all").class_names == ("bus", "plane", "train")


def test_classes_of_one_split_are_said_or_refused(tmp_path):
    fill(tmp_path, {"train/a": 3, "train/b": 3, "test/a": 2, "test/c": 2})
    assert folder.images(tmp_path, "test").notes == ("no training files of c",)
    fill(tmp_path, {"test/A ": 2})
    with pytest.raises(InputError, match="got 'a' for training and 'A ' held out: rename one"):
        folder.images(tmp_path, "test")


def test_a_folder_of_unlabelled_images(tmp_path):
    fill(tmp_path, {"cat": 12, "dog": 12, "unlabelled": 12})
    found = folder.images(tmp_path, "all")
    assert found.class_names == ("cat", "dog")
    assert found.labels.tolist() == [0] * 12 + [1] * 12 + [-1] * 12


def test_linked_folders_and_loops(tmp_path):
    fill(tmp_path / "real", {"cat": 6, "dog": 6})
    fill(tmp_path / "d", {"bird": 6})
    for name in ("cat", "dog"):
        (tmp_path / "d" / name).symlink_to(tmp_path / "real" / name)
    (tmp_path / "d" / "bird" / "loop").symlink_to(tmp_path / "d")
    found = folder.images(tmp_path / "d", "all")
    assert len(found) == 18
    assert found.class_names == ("bird", "cat", "dog")


def test_system_folders_runs_and_other_files_are_left_out_and_counted(tmp_path):
    fill(tmp_path, {"a": 12, "b": 12, "__MACOSX/a": 3, ".ipynb_checkpoints": 2, "@eaDir": 1, "b/run/samples": 4})
    (tmp_path / "b" / "run" / "recipe.json").write_text("{}")
    save(tmp_path / "a" / "._0.png")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "a" / "photo.heic").write_bytes(b"x")
    found = folder.images(tmp_path, "all")
    assert len(found) == 24
    assert found.class_names == ("a", "b")
    assert found.notes == ("1 files of other kinds left out (.heic 1)", "a run inside the data left out (b/run)")


def test_loose_files_cost_the_labels_and_it_is_said(tmp_path):
    fill(tmp_path, {"a": 5, "b": 5})
    save(tmp_path / "cover.png")
    found = folder.images(tmp_path, "all")
    assert found.labels is None
    assert found.notes == ("no labels, for 1 of 11 files lie outside of the sub-folders",)


@pytest.mark.parametrize("suffix", ["tif", "TIFF", "ppm", "pgm", "jfif", "tga", "jp2"])
def test_all_suffixes(tmp_path, suffix):
    kind = {"jfif": "JPEG", "pgm": "PPM"}.get(suffix)
    for i in range(3):
        Image.fromarray(pixels(8, 8, seed=i)).save(tmp_path / f"{i}.{suffix}", format=kind)
    assert len(folder.images(tmp_path, "all")) == 3


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path, monkeypatch):
    fill(tmp_path, {"a": 5, "b": 5})
    real = os.scandir

    def scan(path):
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(InputError, match="b: expected a folder that can be read, got Permission denied"):
        folder.images(tmp_path, "all")
    found = folder.images(tmp_path, "all", skip_broken=True)
    assert len(found) == 5
    assert "cannot be read left out (b)" in found.notes[-1]


# --- broken files ---------------------------------------------------------------------------------------------------


def test_broken_files_are_refused_or_left_out_and_listed(tmp_path):
    fill(tmp_path, {"a": 20, "b": 20})
    raw = (tmp_path / "a" / "3.png").read_bytes()
    (tmp_path / "a" / "3.png").write_bytes(raw[: len(raw) // 2])
    (tmp_path / "b" / "5.png").write_bytes(b"")
    (tmp_path / "b" / "6.png").unlink()
    os.mkfifo(tmp_path / "b" / "6.png")
    with pytest.raises(InputError, match=r"cannot be read .*: repair or remove it"):
        folder.images(tmp_path, "all")
    data = open(tmp_path, skip_broken=True)
    assert len(data) + len(data.split("test")) == 37
    assert "3 files that cannot be read left out (3.png, 5.png, 6.png)" in data.summary()
    assert data.class_names == ("a", "b")


def test_nothing_but_broken_files(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(b"x")
    with pytest.raises(InputError, match="expected images that can be read, got none"):
        folder.images(tmp_path, "all", skip_broken=True)


# --- arrays ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test", "labels"),
    [("x_train", "x_test", "y_{}"), ("X_train", "X_test", "y_{}"), ("train_images", "test_images", "{}_labels"),
     ("train_x", "val_x", "{}_y"), ("images_train", "images_test", "labels_{}")],
)  # fmt: skip
def test_keys_of_known_libraries(tmp_path, train, test, labels):
    held = "val" if "val" in test else "test"
    y = {"train": np.arange(20) % 2, held: np.arange(6)[:, None] % 2}
    named = {labels.format(part): value for part, value in y.items()}
    np.savez(tmp_path / "x.npz", **{train: pixels(20, 8, 8), test: pixels(6, 8, 8, seed=1)}, **named)
    assert sizes(tmp_path / "x.npz") == (20, 6)
    assert folder.images(tmp_path / "x.npz", "test").labels.tolist() == [0, 1] * 3
    assert torch.equal(folder.images(tmp_path / "x.npz", "train").x[:, 0], torch.from_numpy(pixels(20, 8, 8)))


def test_validation_of_a_file_and_its_range(tmp_path):
    np.savez(
        tmp_path / "m.npz", train_images=pixels(20, 8, 8) / 300, val_images=pixels(4, 8, 8) / 200,
        test_images=pixels(8, 8, 8) / 100,
    )  # fmt: skip
    data = open(tmp_path / "m.npz")
    assert [len(data), len(data.split("validation")), len(data.split("test"))] == [20, 4, 8]
    assert data.high == data.split("test").high > 2.5


def test_any_key_of_a_single_array(tmp_path):
    np.savez(tmp_path / "x.npz", faces=pixels(20, 8, 8), ids=np.arange(20))
    assert sum(sizes(tmp_path / "x.npz")) == 20


def test_positional_arrays_are_examples_and_labels(tmp_path):
    np.savez(tmp_path / "x.npz", pixels(20, 8, 8), np.arange(20) % 3)
    assert folder.images(tmp_path / "x.npz", "train").class_names == ("0", "1", "2")


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_a_header_that_claims_terabytes(tmp_path, kind):
    head = io.BytesIO()
    claim = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 100, 100)}
    np.lib.format.write_array_header_1_0(head, claim)
    path = tmp_path / f"x.{kind}"
    if kind == "npy":
        path.write_bytes(head.getvalue() + bytes(100))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", head.getvalue() + bytes(100))
    with pytest.raises(InputError, match="cannot be read"):
        folder.images(path, "train")


def test_huge_values_and_nan_name_the_example():
    x = np.random.default_rng(0).normal(size=(20, 8, 8))
    x[7, 2, 3] = 1e300
    with pytest.raises(InputError, match="the first in image 7"):
        open(x)
    x[7, 2, 3] = np.nan
    with pytest.raises(InputError, match="NaN or infinite, the first in image 7"):
        open(x)


def test_names_of_examples_are_those_of_their_files(tmp_path):
    fill(tmp_path, {"a": 5, "b": 5})
    data = open(tmp_path)
    names = data.names(torch.arange(len(data)))
    for i, name in enumerate(names):
        x = np.asarray(Image.open(tmp_path / name)).transpose(2, 0, 1) / 127.5 - 1
        torch.testing.assert_close(data.batch(torch.tensor([i])).x[0], torch.from_numpy(x).float())
    assert data.parse_names(tmp_path, 10) == [f"{c}/{i}.png" for c in "ab" for i in range(5)]


# --- validation and rebuilding --------------------------------------------------------------------------------------


def test_validation_is_part_of_training_and_nothing_is_in_two_splits():
    x = pixels(200, 4, 4)
    plain, data = open(x), open(x, validation=0.2)
    rows = {part: {bytes(p) for p in data.split(part).images.x.numpy()} for part in ("train", "validation", "test")}
    assert not rows["train"] & rows["validation"]
    assert rows["train"] | rows["validation"] == {bytes(p) for p in plain.images.x.numpy()}
    assert rows["test"] == {bytes(p) for p in plain.split("test").images.x.numpy()}
    with pytest.raises(InputError, match="no validation split: give validation"):
        plain.split("validation")


def test_a_run_is_rebuilt_without_the_data(tmp_path):
    fill(tmp_path, {"a": 12, "b": 12})
    data = open(tmp_path)
    again = empty(data.description())
    assert isinstance(again, ImageSet)
    assert (again.shape, again.class_names, again.examples) == (data.shape, ("a", "b"), len(data))
    assert len(again) == 0


def test_held_out_class_by_its_name():
    y = np.arange(60) % 3 * 5000
    data = open((pixels(60, 4, 4), y), anomaly=5000)
    assert data.class_names == ("0", "5000", "10000")
    assert 1 not in data.labels.tolist()
    assert (data.split("test").labels == 1).sum() == 20
    with pytest.raises(InputError, match="must be a label of the data"):
        open((pixels(60, 4, 4), y), anomaly=7)


def test_the_summary_says_what_was_read(tmp_path):
    fill(tmp_path, {"a": 12, "b": 12})
    assert open(tmp_path).summary() == (
        f"{tmp_path.name}: image data, {len(open(tmp_path))} images of shape 3×8×8, 2 classes (a, b), "
        f"{24 - len(open(tmp_path))} for test; values 0 to 255 become -1 to 1"
    )


def test_images_taken_keep_names_and_labels():
    images = Images(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.arange(4), "t", names=tuple("abcd"))
    some = images.take(torch.tensor([2, 0]))
    assert some.names == ("c", "a")
    assert some.labels.tolist() == [2, 0]


@pytest.mark.parametrize("flag", [["--skip-broken"], ["--skip_broken", "true"], ["--skip_broken=true"]])
def test_broken_files_from_the_command_line(tmp_path, capsys, flag):
    from absynth import cli

    fill(tmp_path / "d", {"a": 20})
    (tmp_path / "d" / "a" / "3.png").write_bytes(b"x")
    words = ["train", "latent_prior", "--data", str(tmp_path / "d"), "--out", str(tmp_path / "run"), "--tiny"]
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 2
    assert "3.png" in capsys.readouterr().err
    cli.main([*words, *flag])
    assert "1 files that cannot be read left out (3.png)" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("grey", [True, False])
def test_one_image_is_read_as_a_folder_of_it_is(tmp_path, grey):
    """A model reads a photo by its own path: --input photo.jpg."""
    x = np.random.default_rng(0).integers(0, 256, (30, 9, 9, 3), dtype=np.uint8)
    data = open(x[..., 0] if grey else x)
    (tmp_path / "one").mkdir()
    photo = np.random.default_rng(1).integers(0, 256, (20, 16, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "one" / "a.png")
    found = data.parse(tmp_path / "one" / "a.png")
    assert found.shape == (1, *data.shape)
    assert torch.equal(found, data.parse(tmp_path / "one"))
    assert data.parse_names(tmp_path / "one" / "a.png", 1) == data.parse_names(tmp_path / "one", 1) == ["a.png"]
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.png: expected an image"):
        data.parse(tmp_path / "bad.png")
