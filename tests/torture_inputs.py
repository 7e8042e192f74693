"""Malformed inputs for ``torture.py``: flags, damaged runs, data.

Each maker returns a label, a command, and whether it must be refused, because what it is given makes no sense.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import pkgutil
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import get_type_hints

import numpy as np

Made = tuple[str, list[str], bool]
Make = Callable[[Path, random.Random], Made]

TRAIN = ["--tiny", "--steps", "1", "--device", "cpu", "--threads", "1"]


def load_everything() -> None:
    """Import what commands import, so that children need not."""
    import PIL.Image  # noqa: F401
    import torch

    import absynth

    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(absynth.__path__, "absynth."):
        if not module.name.endswith(("__main__", "studio.page")):  # the page needs gradio, and no command its import
            importlib.import_module(module.name)
    load(["pandas", "pyarrow.parquet", "rdkit.Chem", "sklearn.datasets"])


def load(names: list[str]) -> None:
    """Import modules, as far as there are any of the name."""
    for name in names:
        with suppress(Exception):
            importlib.import_module(name)


# Flags ---------------------------------------------------------------------------------------------------------------

ABSURD = ("abc", "nan", "inf", "-inf", "1e400", "[1,", "{}", "1e", "--", "0y10", "one", "1;2", "None,", "1 2", "-1e30")
ODD = ("", "0", "-1", "-0.5", "1e-300", "99999999999", "1e30", "true", "1.5", "null", "é\u202e", "~", "/", "a" * 5000)


def flags(root: Path, rng: random.Random) -> Made:
    """A flag with a value that is no number, or an odd one."""
    from absynth import recipes

    method = rng.choice(recipes.methods())
    kind, cls = rng.choice(list(recipes.classes(method).items()))
    data = {
        "toy": "wide_ring", "image": "digits", "table": "wine", "text": "sentences", "smiles": "molecules",
        "tracks": "walks", "picture": "picture", "pairs": "pairs",
        "video": "clip", "voxels": "shapes",
    }.get(kind, "digits")  # fmt: skip
    made = {"sentences": text, "molecules": smiles, "walks": tracks, "picture": picture, "clip": clip, "shapes": shapes}
    source = made.get(data)
    given = str(source(root)) if source else data
    hints = get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls) if f.name not in ("dataset", "dataset_y", "data")]
    name = rng.choice([*names, "minutes", "device", "engine"])
    number = hints.get(name) in (int, float) or name == "minutes"
    absurd = rng.random() < 0.6
    value = rng.choice(ABSURD if absurd else ODD)
    argv = ["train", method, "--data", given, *TRAIN, "--out", "run", f"--{name.replace('_', '-')}={value}"]
    if name in ("steps", "minutes") and not absurd:
        argv.append("--dry-run")  # many updates make sense, and nobody waits for them here
        argv = [word for word in argv if name != "minutes" or word not in ("--steps", "1")]
    return "flag", argv, number and absurd


def tasks(whole: Path) -> Make:
    """A task with odd flags."""

    def make(root: Path, rng: random.Random) -> Made:
        from absynth.tasks import tasks

        out = root / "run"
        shutil.copytree(whole, out)
        words = rng.choice(
            (["--n"], ["--seed"], ["--steps"], ["--out"], ["--device"], ["--data"], ["--input"], ["--x"])
        )
        value = rng.choice(ABSURD + ODD)
        return "task flag", [rng.choice(list(tasks())), str(out), f"{words[0]}={value}"], False

    return make


# Runs ----------------------------------------------------------------------------------------------------------------


def spoil(path: Path, rng: random.Random) -> str:
    """Damage a file; what was done."""
    whole = path.read_bytes()
    way = rng.choice(("cut", "empty", "flip", "zeros", "noise", "folder", "gone", "fifo", "link", "longer"))
    if way in ("cut", "flip", "zeros") and not whole:
        way = "noise"
    path.unlink()
    if way == "cut":
        path.write_bytes(whole[: rng.randrange(len(whole))])
    elif way == "empty":
        path.write_bytes(b"")
    elif way == "flip":
        spoiled = bytearray(whole)
        for _ in range(rng.choice((1, 1, 20))):
            spoiled[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(spoiled)
    elif way == "zeros":
        begin = rng.randrange(len(whole))
        path.write_bytes(whole[:begin] + bytes(len(whole) - begin))
    elif way == "noise":
        path.write_bytes(rng.randbytes(rng.choice((3, 500, 5000))))
    elif way == "folder":
        path.mkdir()
    elif way == "fifo":
        os.mkfifo(path)
    elif way == "link":
        path.symlink_to(path)
    elif way == "longer":
        path.write_bytes(whole + rng.randbytes(100))
    return way


def reshape_json(path: Path, rng: random.Random) -> str:
    """Damage the values of a JSON file, which stays one."""
    value = json.loads(path.read_text())
    holder = value
    while True:
        key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        inner = holder[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
            holder = inner
            continue
        break
    if isinstance(holder, dict) and rng.random() < 0.3:
        del holder[key]
    else:
        holder[key] = rng.choice((None, "x", -1, 1e300, [], {}, {"a": [1]}, True, 10**40, "\u0000", [[1], 2]))
    path.write_text(json.dumps(value))
    return f"value {key}"


def damaged_run(whole: Path) -> Make:
    """A command on a run of which one file is damaged."""

    def make(root: Path, rng: random.Random) -> Made:
        out = root / "run"
        shutil.copytree(whole, out)
        files = sorted(p for p in out.rglob("*") if p.is_file())
        path = rng.choice(files)
        way = reshape_json(path, rng) if path.suffix == ".json" and rng.random() < 0.6 else spoil(path, rng)
        train = ["train", "latent_prior", "--data", "digits", *TRAIN, "--steps", "14", "--out", str(out)]
        argv = rng.choice((train, ["sample", str(out), "--n", "4"], ["reconstruct", str(out), "--n", "4"],
                           ["sample", str(out), "--n", "4", "--json"], ["compare", str(out), str(out)]))  # fmt: skip
        weights = path.name == "model.safetensors" and argv[0] in ("sample", "reconstruct")
        return f"run, {argv[0]}", argv, weights and way != "longer"

    return make


# Data ----------------------------------------------------------------------------------------------------------------


def table(root: Path) -> Path:
    rows = np.random.default_rng(0).normal(size=(60, 4)).round(3)
    path = root / "table.csv"
    path.write_text("a,b,c,d\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


def text(root: Path) -> Path:
    path = root / "lines.txt"
    path.write_text(
        "\n".join(f"the {w} sat on the {v}" for w in ["cat", "dog", "cow", "hen"] for v in ["mat", "hat", "bed"])
    )
    return path


def smiles(root: Path) -> Path:
    path = root / "molecules.smi"
    path.write_text("\n".join("C" * i + "O" * (1 + j) + "N" for i in range(1, 8) for j in range(3)))
    return path


def tracks(root: Path) -> Path:
    path = root / "walk.txt"
    path.write_text("\n".join(f"{10 * t}\t{p}\t{0.3 * t + p}\t{0.1 * t * p}" for t in range(40) for p in range(5)))
    return path


def array(root: Path) -> Path:
    path = root / "x.npy"
    np.save(path, np.random.default_rng(0).random((40, 8, 8)).astype(np.float32))
    return path


def arrays(root: Path) -> Path:
    path, rng = root / "x.npz", np.random.default_rng(0)
    np.savez(path, x_train=rng.integers(0, 255, (40, 8, 8), dtype=np.uint8), y_train=np.arange(40) % 4,
             x_test=rng.integers(0, 255, (8, 8, 8), dtype=np.uint8), y_test=np.arange(8) % 4)  # fmt: skip
    return path


def images(root: Path) -> Path:
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / "images" / name).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "images" / name / f"{i}.png")
    return root / "images"


def clip(root: Path) -> Path:
    from PIL import Image

    frames = [Image.fromarray(np.roll(np.arange(256, dtype=np.uint8).reshape(16, 16), t, 1)) for t in range(32)]
    frames[0].save(root / "a.gif", save_all=True, append_images=frames[1:], duration=80, loop=0)
    return root / "a.gif"


def shapes(root: Path) -> Path:
    x = np.zeros((30, 16, 16, 16), np.uint8)
    for i in range(30):
        x[i, 2 : 6 + i % 8, 3:12, 4:9] = 1
    np.save(root / "a.npy", x)
    return root / "a.npy"


def picture(root: Path) -> Path:
    from PIL import Image

    path = root / "brick.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80), dtype=np.uint8)).save(path)
    return path


def parquet(root: Path) -> Path:
    import pandas

    path = root / "table.parquet"
    pandas.read_csv(table(root)).to_parquet(path)
    return path


DATA: dict[str, tuple[Callable[[Path], Path], str]] = {
    "table": (table, "latent_prior"), "text": (text, "latent_prior"), "smiles": (smiles, "latent_prior"),
    "tracks": (tracks, "latent_prior"), "npy": (array, "vae"), "npz": (arrays, "vae"), "images": (images, "vae"),
    "picture": (picture, "texture"), "parquet": (parquet, "maximum_likelihood"),
}  # fmt: skip
BINARY = ("npy", "npz", "parquet")
CELLS = ("1e300", "nan", "", "inf", "x", "-", "1,5", '"', "\x00", "9" * 400, "é" * 300, "=1+1", "\t", "1e-400", "None")


def data(root: Path, rng: random.Random) -> Made:
    """Training on a damaged file or folder."""
    kind = rng.choice(list(DATA))
    maker, method = DATA[kind]
    try:
        path = maker(root)
    except ImportError:
        kind, (maker, method) = "table", DATA["table"]
        path = maker(root)
    target = rng.choice(sorted(p for p in path.rglob("*") if p.is_file())) if path.is_dir() else path
    refused = False
    if kind in ("table", "text", "smiles", "tracks") and rng.random() < 0.6:
        lines = target.read_text().split("\n")
        row = rng.randrange(len(lines))
        way = rng.choice(("cell", "column", "long", "repeat"))
        separator = {"table": ",", "tracks": "\t"}.get(kind, " ")
        cells = lines[row].split(separator)
        column, cell = rng.randrange(len(cells)), rng.choice(CELLS)
        if way == "cell":
            cells[column] = cell
            lines[row] = separator.join(cells)
        elif way == "column":
            lines = [separator.join([*cells[:column], cell, *cells[column + 1 :]]) for cells in
                     (line.split(separator) for line in lines)]  # fmt: skip
        elif way == "long":
            lines[row] = lines[row] + (separator + cell) * rng.choice((1, 3, 1000))
        else:
            lines = lines[:1] * rng.choice((1, 2, 3))
        target.write_text("\n".join(lines), "utf-8")
        refused = way == "cell" and cell in ("1e300", "inf") and kind in ("table", "tracks") and row > 0
    elif kind in ("npy", "npz") and rng.random() < 0.5:
        bad = rng.choice((np.zeros((0, 8, 8)), np.full((40, 8, 8), np.nan), np.full((40, 8, 8), 1e300), np.zeros(5),
                          np.array([{}] * 5, object), np.zeros((40, 8, 8, 8, 8, 2)), np.array(["a"] * 9),
                          np.zeros((40, 8, 8), complex), np.full((40, 8, 8), np.inf)))  # fmt: skip
        np.save(path, bad) if kind == "npy" else np.savez(path, x_train=bad, y_train=np.zeros(3))
        way, refused = "array", True
        if bad.ndim in (1, 6) and bad.dtype == np.float64:
            refused = kind == "npz"  # a vector may be a table of one column
    else:
        way = spoil(target, rng)
        refused = way in ("empty", "noise", "folder", "gone", "fifo", "link") and not path.is_dir()
        refused = refused and not (way == "noise" and kind in ("text", "table", "smiles", "tracks"))
        refused |= kind in BINARY and way == "cut"
    argv = rng.choice((["data", str(path)], ["train", method, "--data", str(path), *TRAIN, "--out", "run"]))
    return f"data, {kind}", argv, refused


def makes(whole: Path) -> list[Make]:
    """The makers, in the proportion in which they are tried."""
    return [flags, data, damaged_run(whole), data, flags, tasks(whole), data, damaged_run(whole)]
