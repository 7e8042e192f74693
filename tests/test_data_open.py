"""Opening data: the kind is found without reading all of it, and what cannot be opened is one line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from absynth.data import SETS, Dataset, open
from absynth.data.find_kind import kind_of
from absynth.data.order import set_aside
from absynth.data.sets import empty
from absynth.errors import InputError

NUMBERS = np.random.default_rng(0).normal(size=(40, 3))


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)).save(path)


def lines(path: Path, text: str, n: int = 20) -> Path:
    path.write_text(
        "".join(text.format(i=i, x=i * 0.5, y=i * 0.25, w="no" if i % 2 else "yes") + "\n" for i in range(n))
    )
    return path


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.txt", "a sentence with {i} words", "text"),
        ("a.csv", "{x},{y},{w}", "table"),
        ("a.csv", "{x};{y};{w}", "table"),
        ("a.tsv", "{x}\t{y}\t{w}", "table"),
        ("a.txt", "{x} {y} 0.25", "table"),
        ("a.txt", "{i} 1 {x} {y}", "tracks"),
        ("a.csv", "{i},1,{x},{y}", "tracks"),
        ("a.smi", "CCO", "smiles"),
        ("a.txt", "CC(=O)NCC{i}C{i}", "smiles"),
        ("a.ndjson", '{{"track": {{}}}}', "tracks"),
    ],
)
def test_kinds_of_files(tmp_path, name, text, kind):
    path = lines(tmp_path / name, text, 9)
    assert kind_of(path) == kind
    gzipped = tmp_path / f"{name}.gz"
    if name.endswith(("txt", "csv")):
        import gzip

        gzipped.write_bytes(gzip.compress(path.read_bytes()))
        assert kind_of(gzipped) == kind


def test_a_column_called_smiles_makes_molecules(tmp_path):
    (tmp_path / "a.csv").write_text("id,smiles\n" + "".join(f"{i},CCO\n" for i in range(20)))
    assert kind_of(tmp_path / "a.csv") == "smiles"
    (tmp_path / "a.csv").write_text("id,smiles\n" + "".join(f"{i},{i}\n" for i in range(20)))
    assert kind_of(tmp_path / "a.csv") == "table"  # how often somebody smiles


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (NUMBERS, "table"), (np.zeros((9, 8, 8)), "image"), (np.zeros((9, 3, 8, 8)), "image"), (["a b"] * 20, "text"),
        ((NUMBERS, np.zeros(40)), "table"), (torch.zeros(9, 8, 8), "image"), (np.zeros((9, 100, 3)), "points"),
        (["CC(=O)NC", "c1ccccc1"] * 9, "smiles"), (np.zeros((9, 16, 32, 32)), "video"), ([b"a b", None] * 9, "text"),
        (np.zeros(9, [("a", "f8"), ("b", "U2")]), "table"), (np.array([[1.5, "a"]] * 9, dtype=object), "table"),
    ],
)  # fmt: skip
def test_kinds_of_arrays(source, kind):
    assert kind_of(source) == kind


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ((NUMBERS, 1, 2), r"a pair \(x, y\) .* a tuple of 3"),
        ([{"a": 1}] * 20, r"a list of dict: give pandas.DataFrame"),
        (np.zeros((32, 32, 3, 50)), "which has them last: give np.moveaxis"), ([[1], [1, 2]], "several shapes"),
        (np.zeros((9, 16, 16, 2)), "1, 3 or 4 channels, got 2"),
        ((["a b"] * 20, [0] * 20), "got a pair: give the lines"),
        (["a b"] * 20 + [3], "expected lines of text, got int '3': give text"),
    ],
)  # fmt: skip
def test_sources_that_could_be_misread_are_refused(source, said):
    with pytest.raises(InputError, match=said):
        open(source)


def test_lines_and_tensors_in_memory():
    import pandas as pd

    assert open([b"a cat", None] * 20, limit=0).vocabulary.texts(open([b"a cat"] * 20).head(1)) == ["a cat"]
    assert "20 empty lines left out" in open([b"a cat", None] * 20).notes
    assert open(torch.rand(12, 1, 8, 8, requires_grad=True).bfloat16()).shape == (1, 8, 8)
    frame = pd.DataFrame({"t": ["a b"] * 20})
    with pytest.raises(InputError, match="got a DataFrame with the columns t: give one column"):
        open(frame, kind="text")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", '{"text": "a cat"}', "expected lines of text, got JSON: save its texts"),
        ("a.jsonl", '{"text": "a cat"}', "got JSON: save its texts as .txt"), ("a.zip", "PK", "unpack it"),
    ],
)  # fmt: skip
def test_files_of_other_kinds_say_what_to_do(tmp_path, name, text, said):
    (tmp_path / name).write_text(f"{text}\n" * 20)
    with pytest.raises(InputError, match=said):
        open(tmp_path / name)


def test_a_table_is_no_text_and_may_hold_molecules(tmp_path):
    (tmp_path / "a.tsv").write_text("id\tsmiles\n" + "".join(f"m{i}\tCCO\n" for i in range(20)))
    assert open(tmp_path / "a.tsv").kind == "smiles"
    with pytest.raises(InputError, match="expected a text file, got a table: save the column"):
        open(tmp_path / "a.tsv", kind="text")


def test_a_stack_is_not_one_image(tmp_path):
    frames = [Image.fromarray(np.full((8, 8), i, np.uint8)) for i in (1, 200)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="expected one image, got several pages"):
        open(tmp_path / "a.tif")


def test_one_animation_among_images_is_an_image(tmp_path):
    for i in range(9):
        picture(tmp_path / f"{i}.png")
    frames = [Image.fromarray(np.full((8, 8), i, np.uint8)) for i in (1, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert kind_of(tmp_path) == "image"


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_kinds_of_array_files(tmp_path, suffix):
    for x, kind in ((NUMBERS, "table"), (np.zeros((9, 8, 8)), "image")):
        if suffix == "npy":
            np.save(tmp_path / "x.npy", x)
        else:
            np.savez(tmp_path / "x.npz", x_train=x, y_train=np.zeros(len(x)), x_test=x, y_test=np.zeros(len(x)))
        assert kind_of(tmp_path / f"x.{suffix}") == kind


def test_kinds_of_folders(tmp_path):
    picture(tmp_path / "i" / "a" / "0.png")
    (tmp_path / "i" / "labels.csv").write_text("a,b\n")
    assert kind_of(tmp_path / "i") == "image"
    (tmp_path / "t").mkdir()
    lines(tmp_path / "t" / "0.txt", "{i} 1 {x} {y}")
    assert kind_of(tmp_path / "t") == "tracks"
    for name, shape in (("points", (40, 3)), ("voxels", (6, 6, 6))):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "0.npy", np.zeros(shape))
        assert kind_of(tmp_path / name) == name
    (tmp_path / "clouds").mkdir()
    np.savetxt(tmp_path / "clouds" / "0.xyz", np.zeros((20, 3)))
    assert kind_of(tmp_path / "clouds") == "points"
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "0.npy", np.zeros((6, 7)))
    with pytest.raises(InputError, match=r"got \[6, 7\] in 0.npy: .* give kind voxels or points"):
        kind_of(tmp_path / "arrays")
    (tmp_path / "n").mkdir()
    lines(tmp_path / "n" / "0.txt", "a sentence")
    for folder, got in ((tmp_path / "n", "1 .txt"), (tmp_path / "e", "no files")):
        folder.mkdir(exist_ok=True)
        with pytest.raises(InputError, match=f"expected images .* tracks .*, got {got}: give .* or kind"):
            kind_of(folder)


def test_a_suffix_that_says_nothing(tmp_path):
    (tmp_path / "a.dat").write_bytes(b"abc")
    with pytest.raises(InputError, match=r"tracks .* got the suffix \.dat: rename it, or give kind"):
        kind_of(tmp_path / "a.dat")
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="got the suffix none: rename it, or give kind image, table"):
        kind_of(tmp_path / "bytes")
    (tmp_path / "README").write_text("a sentence\n" * 20)
    assert kind_of(tmp_path / "README") == "text"
    for nothing in (None, {"x": [1, 2]}):
        with pytest.raises(InputError, match=f"DataFrame or a path, got {type(nothing).__name__}"):
            kind_of(nothing)
    with pytest.raises(InputError, match="give kind"):
        kind_of(np.zeros((2, 2, 2, 2, 2, 2)))


def test_a_large_array_is_not_read_for_its_kind(tmp_path):
    with (tmp_path / "x.npy").open("wb") as file:
        claim = {"descr": "<f8", "fortran_order": False, "shape": (10**9, 64, 64)}
        np.lib.format.write_array_header_1_0(file, claim)
    assert kind_of(tmp_path / "x.npy") == "image"


@pytest.mark.parametrize("source", ["x" * 300, "a/" + "x" * 300, "a\0b", "~nobody-of-this-name/x", "", "no/such/file"])
def test_what_is_not_there(source):
    with pytest.raises(InputError) as error:
        open(source)
    assert "\n" not in str(error.value)
    assert "x" * 100 not in str(error.value)


@pytest.mark.parametrize("kind", ["", "image", "text", "table", "tracks", "smiles"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, kind):
    os.mkfifo(tmp_path / "f.csv")
    with pytest.raises(InputError, match="got a pipe or a device"):
        open(tmp_path / "f.csv", kind=kind)
    with pytest.raises(InputError):
        open(tmp_path, kind=kind)  # a folder that holds one


@pytest.mark.parametrize(
    "name", ["x.csv", "x.npy", "x.npz", "x.txt", "x.smi", "x.png", "x.parquet", "x.txt.gz", "x.ndjson"]
)
@pytest.mark.parametrize(
    "raw",
    [b"", b"\0" * 64, b"\xff\xfe" * 33, bytes(range(256)), b"\x1f\x8b\x08" + b"x" * 40, b"PK\x03\x04" + b"x" * 40],
)
def test_bytes_that_are_nothing(tmp_path, name, raw):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(InputError) as error:
        open(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["ring", "grid25", "digits", "wine", "linear_factors", "foliage"])
def test_every_kind_has_a_summary_and_is_rebuilt(name):
    data = open(name)
    assert isinstance(data, Dataset)
    assert "\n" not in data.summary()
    again = empty(data.description())
    assert (again.shape, again.class_names, again.name) == (data.shape, data.class_names, data.name)


def test_an_option_that_the_kind_has_not():
    with pytest.raises(
        InputError, match=r"^target is an option of table data, got it with digits \(image data, which takes size"
    ):
        open("digits", target="y")
    assert all(found.about for found in SETS.values())


def test_pairs_with_validation(tmp_path):
    for i in range(20):
        path = tmp_path / f"{i}.png"
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 16, 3), dtype=np.uint8)).save(path)
    data = open(tmp_path, kind="pairs", size=8, validation=0.25)
    plain = open(tmp_path, kind="pairs", size=8)
    assert len(data) + 2 * len(data.split("validation")) == len(plain)  # training pairs are mirrored
    assert len(data.split("test")) == len(plain.split("test"))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("digits", {"limit": -1}, "expected limit of at least 0, got -1"),
        ("digits", {"size": 1.5}, "expected size to be a whole number, got 1.5"),
        ("digits", {"limit": True}, "expected limit to be a whole number, got True"),
        ("digits", {"validation": float("nan")}, "expected validation to be a number, got nan"),
        ("digits", {"anomaly": -2}, "expected anomaly of at least -1, got -2"),
        ("nci5k", {"tokens": "foo"}, "expected tokens to be one of atoms, characters, got 'foo'"),
        ("nci5k", {"length": 1}, "expected length of at least 2, got 1"),
        ("wine", {"limit": "3"}, "expected limit to be a whole number, got '3'"),
    ],
)
def test_options_out_of_range_are_refused(name, options, said):
    with pytest.raises(InputError, match=said):
        open(name, **options)


@pytest.mark.parametrize("share", [-0.1, 1.0, 0.001, 0.999])
def test_shares_that_leave_nothing(share):
    with pytest.raises(InputError, match="validation"):
        set_aside(100, share)


def test_set_aside_is_a_partition_that_repeats():
    kept, held = set_aside(1000, 0.2)
    assert len(held) == 200
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(1000))
    assert torch.equal(held, set_aside(1000, 0.2)[1])


def test_a_fingerprint_sees_every_change():
    import pandas as pd

    from absynth.data import dataset

    table = pd.DataFrame(NUMBERS, columns=["a", "b", "c"])
    same = open(table).fingerprint
    assert open(table.copy()).fingerprint == same
    assert open(table.rename(columns={"b": "x"})).fingerprint != same
    for row in range(len(table)):  # of every split
        other = table.copy()
        other.iloc[row, 1] += 1e-12
        assert open(other).fingerprint != same
    large = torch.arange(1000.0)
    for place in (0, 999, 252):  # the ends, and a row between that is looked at
        changed = large.clone()
        changed[place] += 1
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dataset, "HASHED_BYTES", 1000)
            kept, found = (torch.cat(dataset._sampled(x)) for x in (large, changed))
        assert not torch.equal(kept, found)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.xyz", "3\nwater\nO 0 0 0\nH 0 0 1\n", "got the atoms of a molecule"),
        ("a.xyz", "hello world\n", "x y z in a line, got 'hello world'"),
    ],
)
def test_files_of_points_that_hold_none(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=says):
        open(tmp_path / name)


def test_arrays_of_objects_are_named(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="pickled Python objects, which are never loaded"):
        open(tmp_path / "a.npy")


def test_a_short_recording_is_tested_on_other_agents(tmp_path):
    rows = [f"{10 * t} {a} {a + t} {0.5 * t + a}" for a in range(10) for t in range(21)]
    (tmp_path / "a.txt").write_text("\n".join(rows))
    data = open(tmp_path / "a.txt")
    assert set(data.windows.agent.tolist()).isdisjoint(data.split("test").windows.agent.tolist())
    assert len(data.split("test")) == 2 * 2
    assert "2 agents held out" in data.summary()
