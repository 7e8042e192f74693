"""Damaged files of every kind: each is read or refused in one line, and what is read is finite."""

from __future__ import annotations

import gzip
import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from absynth.data import open
from absynth.errors import InputError

WORDS = [b"1e300", b"nan", b"inf", b"-1", b"\0", b"\xff\xfe", b'"', b",", b";", b"\n", b"\r", b"1,234", b"?", b"9" * 40,
         b"\xe2\x80\xa8", b"[", b"{", b"1e-300", b" "]  # fmt: skip
KINDS = ["", "", "", "image", "table", "text", "smiles", "tracks", "pairs", "picture"]


def originals() -> dict[str, bytes]:
    """An intact file of each kind."""
    rng = np.random.default_rng(0)

    def pixels(*shape: int) -> np.ndarray:
        return rng.integers(0, 256, shape, dtype=np.uint8)

    def saved(write, *args, **named) -> bytes:
        file = io.BytesIO()
        write(file, *args, **named)
        return file.getvalue()

    rows = [(i, *rng.normal(size=2).round(3), "yes" if i % 2 else "no") for i in range(40)]
    table = "a,b,y\n" + "".join(f"{a},{b},{y}\n" for _, a, b, y in rows)
    tracks = "".join(f"{i} {k} {k + i / 5} {i * k / 9:.4f}\n" for k in range(3) for i in range(150))
    return {
        "a.csv": table.encode(),
        "a.csv.gz": gzip.compress(table.encode()),
        "b.csv": table.replace(",", ";").replace(".", ",").encode(),
        "t.txt": tracks.encode(),
        "t.csv": ("t,id,x,y\n" + tracks.replace(" ", ",")).encode(),
        "s.txt": "".join(f"the sentence number {i} is here\n" for i in range(40)).encode(),
        "m.smi": "".join(f"CC(=O)N{'C' * (i % 5)} m{i}\n" for i in range(40)).encode(),
        "x.npy": saved(np.save, pixels(20, 8, 8)),
        "f.npy": saved(np.save, rng.normal(size=(40, 3))),
        "x.npz": saved(np.savez, x=pixels(20, 8, 8), y=np.arange(20) % 2),
        "c.npz": saved(np.savez_compressed, x_train=pixels(20, 8, 8), x_test=pixels(9, 8, 8)),
        **{f"i.{name}": saved(Image.fromarray(pixels(16, 16, 3)).save, format=name) for name in ("png", "jpeg", "bmp")},
        "i.tiff": saved(Image.fromarray(pixels(16, 16).astype(np.uint16) * 16).save, format="tiff"),
    }


ORIGINALS = originals()


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them changed, left out, put in, or cut off."""
    out = bytearray(raw)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        at, way = rng.randrange(len(out) + 1), rng.randrange(5)
        if way == 0:
            out[at : at + 1] = bytes([rng.randrange(256)])
        elif way == 1:
            out[at : at + rng.choice([0, 0, 1, 4])] = rng.choice(WORDS)
        elif way == 2:
            del out[at : at + rng.choice([1, 3, 50])]
        elif way == 3:
            out = out[:at]
        else:
            out[at:at] = out[: rng.randrange(1, 200)]
    return bytes(out)


def read(source: Path, **options) -> bool:
    """Whether the data can be read; refusals must be one line, and what is read must be finite."""
    refusal = ""
    try:
        data = open(source, **options)
        assert "\n" not in data.summary()
        assert data.fingerprint
        assert next(data.batches(2, seed=0)).x.float().isfinite().all()
        data.split("test").head(3)
    except InputError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert len(refusal) < 1500
    return not refusal


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", sorted(ORIGINALS))
def test_damaged_files(name, tmp_path):
    rng = random.Random(name)
    if not name.startswith("i."):
        (tmp_path / name).write_bytes(ORIGINALS[name])
        assert read(tmp_path / name)  # it is the damage that is refused
    for _ in range(12):
        (tmp_path / name).write_bytes(damaged(ORIGINALS[name], rng))
        read(tmp_path / name, kind=rng.choice(KINDS))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("suffix", ["png", "jpeg", "bmp", "tiff"])
def test_a_damaged_image_of_a_folder_is_refused_or_left_out(suffix, tmp_path):
    rng = random.Random(suffix)
    for i in range(6):
        (tmp_path / f"{i}.{suffix}").write_bytes(ORIGINALS[f"i.{suffix}"])
    assert read(tmp_path)
    for _ in range(8):
        (tmp_path / f"3.{suffix}").write_bytes(damaged(ORIGINALS[f"i.{suffix}"], rng))
        if not read(tmp_path):
            said = ""
            try:  # left out, unless it is whole and of another size
                said = open(tmp_path, skip_broken=True).summary()
            except InputError as error:
                said = str(error)
            assert any(words in said for words in ("1 files that cannot be read left out", "one size", "one depth"))


def test_the_checks_can_fail(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(40, 3)))
    assert read(tmp_path / "x.npy")
    assert not read(tmp_path / "nowhere.npy")
