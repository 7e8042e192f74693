"""Images in tars and in folders of arrays are those of the same images as files; damaged ones end in one line."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from absynth.data import arrays, decode, joined, open, tars
from absynth.data.find_kind import kind_of
from absynth.errors import InputError

N = 24
X = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
WORDS = ["ant", "bee", "cat"]


def png(x: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(x).save(out, "png")
    return out.getvalue()


def write_tar(path: Path, members: dict[str, bytes] | list[tuple[str, bytes]], format=tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as archive:
        for name, contents in dict(members).items() if isinstance(members, dict) else members:
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    return path


def pairs(rows: range, suffix: str = "cls", label=lambda i: str(i % 3)) -> dict[str, bytes]:
    """Images and labels as WebDataset names them."""
    found = {}
    for i in rows:
        found[f"{i:06d}.png"] = png(X[i])
        if suffix:
            found[f"{i:06d}.{suffix}"] = label(i).encode()
    return found


def shards(folder: Path, suffix: str = "cls", label=lambda i: str(i % 3)) -> Path:
    """Three tars of eight images each."""
    for k in range(3):
        write_tar(folder / f"part-{k:04d}.tar", pairs(range(8 * k, 8 * k + 8), suffix, label))
    return folder


def everything(data) -> dict[bytes, int]:
    """Every image of every split, with its label."""
    found = {}
    for part in ("train", "test"):
        some = data.split(part)
        y = [-1] * len(some) if some.labels is None else some.labels.tolist()
        found |= {x.numpy().tobytes(): label for x, label in zip(some.all(), y, strict=True)}
    return found


def scaled(i: int) -> bytes:
    x = torch.from_numpy(X[i].transpose(2, 0, 1).copy()).float()
    return ((x - 0.0) / 127.5 - 1).float().numpy().tobytes()


def refused(source: Path, *said: str, **options) -> None:
    with pytest.raises(InputError) as error:
        open(source, **options).split("test")
    message = str(error.value)
    assert "\n" not in message
    for text in (str(source), *said):
        assert text in message, message


# ----------------------------------------------------------------------------------------------------------------- tars


@pytest.mark.parametrize("memory", ["large", "small"])
@pytest.mark.parametrize(
    ("suffix", "label", "names"),
    [
        ("cls", lambda i: str(i % 3), ("0", "1", "2")),
        ("cls", lambda i: WORDS[i % 3] + "\n", ("ant", "bee", "cat")),
        ("json", lambda i: json.dumps({"width": 8, "label": i % 3}), ("0", "1", "2")),
        ("txt", lambda i: WORDS[i % 3], ("ant", "bee", "cat")),
    ],
)
def test_tars_give_their_images_and_labels(tmp_path, monkeypatch, memory, suffix, label, names):
    if memory == "small":
        monkeypatch.setattr(decode, "IN_MEMORY", 8 * 8 * 3 * 5)
    data = open(shards(tmp_path / "s", suffix, label))
    assert isinstance(data.images.x, decode.DecodedImages) == (memory == "small")
    assert (data.kind, data.shape, data.class_names) == ("image", (3, 8, 8), names)
    assert everything(data) == {scaled(i): i % 3 for i in range(N)}
    assert f"classes from members .{suffix}" in data.summary()
    assert len(data.split("test")) > 0
    assert data.names(torch.arange(1))[0].startswith("part-000")


def test_minibatches_of_tars_are_those_of_files_in_their_order(tmp_path):
    """A minibatch names its examples by number; what is read for it is those and no others."""
    data = open(shards(tmp_path))
    batch = next(data.batches(6, seed=4))
    index = {x.numpy().tobytes(): i for i, x in enumerate(data.all())}
    assert [index[x.numpy().tobytes()] for x in batch.x] == batch.index.tolist()


def test_one_tar_is_read_without_a_folder(tmp_path):
    tar = write_tar(tmp_path / "all.tar", pairs(range(N)))
    assert everything(open(tar)) == {scaled(i): i % 3 for i in range(N)}
    assert open(tar).fingerprint == open(tar).fingerprint
    before = open(tar).fingerprint
    write_tar(tar, pairs(range(N), label=lambda i: str(i % 2)))
    assert open(tar).fingerprint != before


def test_unlabelled_images_and_captions(tmp_path):
    assert open(shards(tmp_path / "bare", "")).labels is None
    captions = open(shards(tmp_path / "captions", "txt", lambda i: f"photo number {i}"))
    assert captions.labels is None
    assert "24 captions left out (.txt)" in captions.summary()
    facts = open(shards(tmp_path / "facts", "json", lambda i: json.dumps({"width": i})))
    assert facts.labels is None
    assert "24 members .json without a label left out" in facts.summary()
    some = open(shards(tmp_path / "some", "cls", lambda i: "-1" if i % 2 else str(i % 4)))
    assert some.class_names == ("0", "2")
    assert sorted(set(everything(some).values())) == [-1, 0, 1]
    assert "12 unlabelled (marked" in some.summary()


def test_numbered_classes_keep_the_order_of_numbers(tmp_path):
    data = open(shards(tmp_path, "cls", lambda i: str(i % 12)))
    assert data.class_names == tuple(map(str, range(12)))
    assert everything(data) == {scaled(i): i % 12 for i in range(N)}


@pytest.mark.parametrize("where", ["name", "folder", "inside"])
def test_splits_of_tars(tmp_path, where):
    held = {"name": "birds-val-0.tar", "folder": "val/part-0.tar", "inside": "part-1.tar"}[where]
    train = {"name": "birds-train-0.tar", "folder": "train/part-0.tar", "inside": "part-0.tar"}[where]
    folder = {"inside": "val/"}.get(where, "")
    write_tar(tmp_path / train, {f"{folder and 'train/'}{name}": x for name, x in pairs(range(16)).items()})
    write_tar(tmp_path / held, {f"{folder}{name}": x for name, x in pairs(range(16, N)).items()})
    data = open(tmp_path)
    assert (len(data), len(data.split("validation")), len(data.split("test"))) == (16, 8, 8)
    assert data.split("validation").labels.tolist() == [i % 3 for i in range(16, N)]


def test_a_folder_of_images_in_a_tar_keeps_its_classes(tmp_path):
    members = {f"./{'train' if i < 16 else 'test'}/{WORDS[i % 3]}/{i}.v1.png": png(X[i]) for i in range(N)}
    members |= {"._x.png": b"", "__MACOSX/y.png": b"", "train/readme.md": b"notes"}
    data = open(write_tar(tmp_path / "all.tar", members))
    assert (len(data), data.class_names) == (16, ("ant", "bee", "cat"))
    assert everything(data) == {scaled(i): i % 3 for i in range(N)}
    assert "1 files of other kinds left out (.md 1)" in data.summary()


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_forms_of_tar(tmp_path, format):
    long = "a" * 120 if format != tarfile.USTAR_FORMAT else "a" * 90
    members = {f"{long}/{i}.png": png(X[i]) for i in range(N)}
    assert len(everything(open(write_tar(tmp_path / "x.tar", members, format)))) == N


GOOD = pairs(range(N))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"000003.cls": None}, ("000003.png: expected a label, 000003.cls, as other images have",)),
        ({"000003.png": None}, ("000003.cls: expected an image of the same key, got a label alone",)),
        ({"000003.cls": b" \n"}, ("000003.cls: expected a label, got an empty file: write -1",)),
        ({"000003.cls": b"\xff\xfe"}, ("000003.cls: expected a label as text (UTF-8)",)),
        ({"000003.left.png": GOOD["000003.png"]}, ("expected one image for a label, got 000003.png",)),
        ({"more.tar": b"x"}, ("more.tar: expected images, got an archive inside a tar",)),
        ({"more.TGZ": b"x"}, ("more.TGZ: expected images, got an archive",)),
        ({"000003.png": b"no image"}, ("000003.png: expected an image, got a file that cannot be read",)),
        ({"000003.png": png(np.zeros((9, 9, 3), np.uint8))}, ("expected images of one size, got 8×8",)),
    ],
)
def test_members_that_are_refused(tmp_path, spoil, said):
    tar = write_tar(tmp_path / "x.tar", GOOD)
    assert open(tar).labels is not None  # it is the spoiling that is refused
    members = {name: x for name, x in (GOOD | spoil).items() if x is not None}
    refused(write_tar(tar, members), *said)


def test_a_json_without_the_label_that_others_have(tmp_path):
    members = pairs(range(N), "json", lambda i: json.dumps({} if i == 5 else {"class": "a" if i % 2 else "b"}))
    refused(write_tar(tmp_path / "x.tar", members), "000005.png: expected a label, a field label, class")
    members["000005.json"] = b'{"class": [1, 2]}'
    refused(write_tar(tmp_path / "x.tar", members), "000005.json: expected a label as text", "[1, 2]")


def test_a_name_that_occurs_twice(tmp_path):
    twice = [*GOOD.items(), ("000003.png", GOOD["000004.png"])]
    refused(write_tar(tmp_path / "x.tar", twice), "000003.png: expected each name once in a tar, got it twice")


def test_tars_that_are_damaged(tmp_path):
    tar = write_tar(tmp_path / "x.tar", GOOD)
    whole = tar.read_bytes()
    with tarfile.open(tar) as archive:
        last = archive.getmembers()[-1]
        middle = archive.getmembers()[9]
        end = archive.offset
    assert len(open(tar)) > 0
    cases = {
        "cut in a member": whole[: last.offset_data],
        "cut between members": whole[: middle.offset],
        "cut in a header": whole[: middle.offset + 200],
        "without an end": whole[:end],
        "empty": b"",
        "no tar": b"hello " * 300,
        "a damaged header": whole[: middle.offset] + b"?" * 512 + whole[middle.offset + 512 :],
        "two in a row": whole + whole,
    }
    for name, contents in cases.items():
        tar.write_bytes(contents)
        refused(tar, "tar" if name != "two in a row" else "several tars in a row")
    tar.write_bytes(gzip.compress(whole))
    refused(tar, "expected an uncompressed tar", "got gzip: unpack it")
    for name in ("x.tgz", "x.tar.gz", "folder/b.tar.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(gzip.compress(whole))
        refused(tmp_path / name, f"{name}: expected an uncompressed tar")
    write_tar(tmp_path / "folder" / "a.tar", GOOD)
    refused(tmp_path / "folder", "b.tar.gz: expected an uncompressed tar")  # not left out beside one that is read


def test_names_in_several_tars(tmp_path):
    """Numbers may begin anew in each tar, and a tar may be there twice: the summary says so."""
    write_tar(tmp_path / "a.tar", GOOD)
    assert "several tars" not in open(tmp_path).summary()
    write_tar(tmp_path / "b.tar", GOOD)
    assert "names in several tars (000000.png in a.tar, b.tar)" in open(tmp_path).summary()
    images = {name: value for name, value in GOOD.items() if name.endswith(".png")}
    write_tar(tmp_path / "a.tar", images)
    refused(tmp_path, "a.tar/000000.png: expected a label", "b.tar holds one of this name")


def test_labels_that_are_all_alike_are_no_classes(tmp_path):
    same = {name: b"7" if name.endswith(".cls") else value for name, value in GOOD.items()}
    data = open(write_tar(tmp_path / "x.tar", same))
    assert data.class_names == ()
    assert "no classes, for all members .cls say 7" in data.summary()


def test_arrays_that_are_cut_off_say_by_how_much(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20, 8, 8), np.uint8))
    whole = (tmp_path / "x.npy").read_bytes()
    for n, said in ((1000, "it has 1000 bytes, its header claims 1408"), (50, "cut off"), (0, "an empty file")):
        (tmp_path / "x.npy").write_bytes(whole[:n])
        refused(tmp_path / "x.npy", said, "copy or save it again")


def test_links_and_other_contents(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "b.png"
        archive.addfile(link)
    refused(tmp_path / "x.tar", "a.png: expected a file, got a link")
    refused(write_tar(tmp_path / "x.tar", {"a.wav": b"1", "b.wav": b"2"}), "expected images", "got 2 .wav")
    refused(write_tar(tmp_path / "x.tar", {}), "got no members")
    refused(write_tar(tmp_path / "train-val.tar", GOOD), "expected one split in the name of a tar")


def test_broken_images_of_tars_can_be_left_out(tmp_path):
    shards(tmp_path)
    spoiled = pairs(range(8, 16)) | {"000009.png": b"no image"}
    write_tar(tmp_path / "part-0001.tar", spoiled)
    data = open(tmp_path, skip_broken=True)
    assert everything(data) == {scaled(i): i % 3 for i in range(N) if i != 9}
    assert "1 files that cannot be read left out (000009.png)" in data.summary()


def test_a_model_reads_further_images_from_a_tar(tmp_path):
    data = open(shards(tmp_path / "s"))
    tar = write_tar(tmp_path / "more.tar", pairs(range(3), ""))
    assert [x.numpy().tobytes() for x in data.parse(tar)] == [scaled(i) for i in range(3)]
    assert data.parse_names(tar, 3) == [f"more.tar:{i:06d}.png" for i in range(3)]


def test_pairs_are_not_read_from_tars(tmp_path):
    refused(shards(tmp_path), "expected a folder of image files, got tars", kind="pairs")


@pytest.mark.slow
def test_memory_of_tars_is_their_cache(tmp_path):
    """Of 3,000 images, 96 MB decoded, with a cache of 4 MB: memory must not grow by the images."""
    import subprocess
    import sys

    x = np.random.default_rng(0).integers(0, 256, (104, 104, 3), dtype=np.uint8)
    contents = png(x)
    for k in range(3):
        write_tar(tmp_path / f"part-{k}.tar", {f"{i:05d}.png": contents for i in range(1000)})
    code = (
        "import resource; from absynth.data import decode, open\n"
        "decode.IN_MEMORY = 4 << 20\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "open('digits').head(3); before = peak()\n"
        f"data = open({str(tmp_path)!r}); data.images.x.cache = 4 << 20\n"
        "batches = data.batches(100, seed=0)\n"
        "for k in range(27): next(batches)\n"
        "print((peak() - before) / (3000 * 104 * 104 * 3))"
    )
    ratio = float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert ratio < 0.9


# --------------------------------------------------------------------------------------------------- folders of arrays


def save_shards(folder: Path, x: np.ndarray, *, name: str = "x", y: np.ndarray | None = None, label: str = "y") -> Path:
    """Arrays of 10, 10 and 4 examples."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, begin in enumerate(range(0, len(x), 10)):
        np.save(folder / f"{name}-{k:03d}.npy", x[begin : begin + 10])
        if y is not None:
            np.save(folder / f"{label}-{k:03d}.npy", y[begin : begin + 10])
    return folder


FORMS = {
    "NHWC": X, "NCHW": X.transpose(0, 3, 1, 2), "NHW": X[..., 0], "float": X[..., 0] / 7, "dark": X[..., 0] % 10,
    "> u2": X[..., 0].astype(">u2"), "bool": X[..., 0] > 99, "fortran": np.asfortranarray(X[..., 0]),
    "float alpha": np.concatenate([X, X[..., :1]], 3) / 7,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [0, 4])
def test_arrays_of_a_folder_give_what_one_array_gives(tmp_path, monkeypatch, form, size):
    monkeypatch.setattr(arrays, "COPIED", 0)
    monkeypatch.setattr(arrays, "RESIZED", 0)
    monkeypatch.setattr(joined, "OPEN", 2)
    x, y = FORMS[form], np.arange(N) % 3
    whole, data = open((x, y), size=size), open(save_shards(tmp_path, x, y=y), size=size)
    assert isinstance(data.images.x, arrays.ArrayRows)
    assert (data.shape, data.low, data.high, len(data)) == (whole.shape, whole.low, whole.high, len(whole))
    one, other = next(data.batches(8, seed=3)), next(whole.batches(8, seed=3))
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.y, other.y)
    for part in ("train", "test"):
        assert torch.equal(data.split(part).all(), whole.split(part).all())
        assert torch.equal(data.split(part).labels, whole.split(part).labels)
    assert data.fingerprint == open(tmp_path, size=size).fingerprint


def test_arrays_stay_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "COPIED", 0)
    monkeypatch.setattr(joined, "OPEN", 2)
    data = open(save_shards(tmp_path, X))
    mapped = data.images.x.array
    assert mapped._opened.cache_info().currsize <= 2
    base = mapped._opened(mapped.paths[0])
    while not isinstance(base, np.memmap):
        base = base.base
    assert Path(base.filename).name == "x-000.npy"
    with pytest.raises(InputError, match="expected arrays of 1 or 3 channels in a folder, got 4"):
        open(save_shards(tmp_path / "alpha", np.concatenate([X, X[..., :1]], 3)))


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("x", "y")),
        (("images", "labels")),
        (("part", "part-labels")),
        (("train_x", "train_y")),
        (("a.data", "a.target")),
    ],
)
def test_names_of_labels(tmp_path, names, labels):
    y = np.arange(N) % 2
    data = open(save_shards(tmp_path, X, name=names, y=y, label=labels))
    assert sorted([*data.labels.tolist(), *data.split("test").labels.tolist()]) == sorted(y.tolist())


def test_splits_of_arrays(tmp_path):
    save_shards(tmp_path / "a" / "train", X, y=np.arange(N) % 2)
    save_shards(tmp_path / "a" / "val", X[:5], y=np.arange(5) % 2)
    save_shards(tmp_path / "b", X, name="train-x")
    save_shards(tmp_path / "b", X[:5], name="test-x")
    for folder in ("a", "b"):
        data = open(tmp_path / folder)
        assert (len(data), len(data.split("test"))) == (N, 5)
    assert open(tmp_path / "a").split("validation").labels.tolist() == [0, 1, 0, 1, 0]


def test_kinds_of_folders_of_arrays(tmp_path):
    cases = {
        "image": [(10, 8, 8), (4, 8, 8)], "colour": [(10, 8, 8, 3)], "cube": [(8, 8, 8), (4, 8, 8)],
        "voxels": [(8, 8, 8), (8, 8, 8)], "points": [(40, 3), (30, 3)],
    }  # fmt: skip
    for name, shapes in cases.items():
        (tmp_path / name).mkdir()
        for k, shape in enumerate(shapes):
            np.save(tmp_path / name / f"x{k}.npy", np.zeros(shape))
            np.save(tmp_path / name / f"label{k}.npy", np.zeros(shape[0]))
        assert kind_of(tmp_path / name) == (name if name in ("voxels", "points") else "image"), name
    for shape in ((28, 28), (64, 64, 3), (9, 9, 8, 7)):
        folder = tmp_path / "x".join(map(str, shape))
        folder.mkdir()
        np.save(folder / "0.npy", np.zeros(shape))
        with pytest.raises(InputError, match=r"got \[.*\] in 0.npy: save such arrays"):
            kind_of(folder)


def test_arrays_that_are_refused(tmp_path):
    def case(name: str, y: np.ndarray | None = None, **arrays_: np.ndarray | bytes) -> Path:
        folder = save_shards(tmp_path / name, X[..., 0], y=y)
        for file, x in arrays_.items():
            path = folder / f"{file.replace('_', '-')}.npy"
            path.write_bytes(x) if isinstance(x, bytes) else np.save(path, x)
        return folder

    y = np.arange(N) % 2
    assert len(open(case("good", y))) > 10
    refused(case("shape", x_001=X[:4, :7, :, 0]), "differ in their first axis alone", "[4, 7, 8] in x-001.npy")
    refused(case("type", x_001=X[:4, ..., 0] / 2), "uint8 [10, 8, 8] in x-000.npy and float64 [4, 8, 8] in x-001.npy")
    refused(case("few", y, y_001=y[:7]), "y-001.npy: expected one label for each of the 10 examples", "got [7]")
    refused(case("alone", y, y_009=y[:7]), "y-009.npy: expected a file of examples of this number")
    refused(case("bare", y, x_009=X[:7, ..., 0]), "x-009.npy: expected a file of labels beside it")
    refused(case("twice", images_001=X[:7, ..., 0]), "expected one file of this name and number, got")
    refused(case("splits", train_x=X[..., 0]), "expected the name of a split in it, as in those of other files")
    cut = (tmp_path / "good" / "x-000.npy").read_bytes()[:300]
    refused(case("cut", x_002=cut), "x-002.npy: expected a whole .npy or .npz file")
    (tmp_path / "nan").mkdir()
    spoiled = X[..., 0] / 7
    spoiled[13, 2, 3] = np.nan
    refused(save_shards(tmp_path / "nan", spoiled), "got 1 that are NaN or infinite, the first in image 13")
    both = save_shards(tmp_path / "both", X)
    write_tar(both / "x.tar", GOOD)
    refused(both, "expected images in files of one form, got 1 .tar and 3 .npy")


def test_what_is_no_example_is_left_out(tmp_path):
    """Notes beside tars or arrays are no other form of data."""
    (shards(tmp_path / "t") / "README.txt").write_text("Photos of 2019, by shard.")
    assert len(everything(open(tmp_path / "t"))) == N
    (save_shards(tmp_path / "a", X) / "README.txt").write_text("Photos of 2019, by shard.")
    assert len(everything(open(tmp_path / "a"))) == N
    assert tars.is_tar(tmp_path / "t" / "part-0000.tar")
