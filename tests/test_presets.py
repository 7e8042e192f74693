"""Every preset builds and comes back from its record; every method trains, stops, resumes and samples."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from absynth import checkpoint, recipes, results
from absynth.data import sets
from absynth.data.dataset import Dataset
from absynth.data.text import Text
from absynth.data.text_set import TextSet
from absynth.errors import InputError, Unsupported
from absynth.recipes.recipe import OPTIONS, Recipe
from absynth.seeding import stream
from absynth.training import fit

ROWS = [
    (method, kind, key)
    for method in recipes.methods()
    for kind, cls in recipes.classes(method).items()
    for key in recipes.presets(cls)
    if sets.SETS[key.partition("/")[0]].kind == kind
]
METHODS = [(method, kind) for method in recipes.methods() for kind in recipes.classes(method)]
SMILES = ["CCO", "CC(=O)O", "c1ccccc1", "CCN(CC)CC", "C1CCCCC1", "CC(C)O", "OCC", "NCC(=O)O"]
WORDS = ["the cat sat on the mat", "a dog ran", "the dog sat", "a cat ran on the mat", "the mat sat on a dog"]


def images(n: int, side: int, channels: int = 1) -> np.ndarray:
    """Bars of light on noise, bytes."""
    x = np.random.default_rng(0).integers(0, 80, (n, channels, side, side), dtype=np.uint8)
    for i in range(n):
        x[i, :, :, (i % 3) * side // 3 : (i % 3 + 1) * side // 3] += 150
    return x


def tracks_text() -> str:
    """Four walkers in 60 frames: frame, agent, x, y."""
    rng = np.random.default_rng(0)
    speeds = rng.normal(0, 0.3, (4, 2))
    rows = [(10 * t, a, *(speeds[a] * t + 0.05 * rng.normal(size=2))) for a in range(4) for t in range(60)]
    return "\n".join("\t".join(f"{v:.4f}" for v in row) for row in sorted(rows))


def write_data(kind: str, folder: Path) -> str:
    """A few examples of a kind of data in files, as a user has them; the path."""
    folder.mkdir(exist_ok=True)
    if kind == "image":
        for i, x in enumerate(images(60, 16)):
            place = folder / f"class{i % 3}" / f"{i}.png"
            place.parent.mkdir(exist_ok=True)
            Image.fromarray(x[0]).save(place)
        return str(folder)
    if kind == "pairs":
        for i, (x, y) in enumerate(zip(images(10, 64, 3), images(10, 64, 3)[::-1])):
            Image.fromarray(np.concatenate([x, y], 2).transpose(1, 2, 0)).save(folder / f"{i}.png")
        return str(folder)
    if kind == "points":
        x = np.random.default_rng(0).normal(size=(40, 150, 3)).astype(np.float32)
        np.savez(folder / "clouds.npz", x=x, y=np.arange(40) % 2)
        return str(folder / "clouds.npz")
    if kind == "picture":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90), dtype=np.uint8)).save(folder / "a.png")
        return str(folder / "a.png")
    if kind == "video":
        frames = [Image.fromarray(np.roll(x, t, 1)) for x in images(1, 16)[0] for t in range(32)]
        frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:], duration=80, loop=0)
        return str(folder / "a.gif")
    if kind == "voxels":
        x = np.zeros((60, 16, 16, 16), np.uint8)
        for i in range(60):
            x[i, 2 : 6 + i % 8, 3:12, 4 : 8 + i % 5] = 1
        np.save(folder / "a.npy", x)
        return str(folder / "a.npy")
    if kind == "table":
        x = np.random.default_rng(0).normal(size=(80, 5))
        lines = [",".join(["a", "b", "c", "d", "e", "class"])]
        lines += [",".join([*(f"{v:.4f}" for v in row), "yes" if row[0] > 0 else "no"]) for row in x]
        (folder / "t.csv").write_text("\n".join(lines))
        return str(folder / "t.csv")
    if kind == "tracks":
        for i in range(5):
            (folder / f"scene{i}.txt").write_text(tracks_text())
        return str(folder)
    lines, name = (SMILES, "m.smi") if kind == "smiles" else (WORDS, "t.txt")
    (folder / name).write_text("\n".join(lines * 12))
    return str(folder / name)


def labelled_text(**options: Any) -> TextSet:
    """Sentences of two classes."""
    rare = " ".join(a + b for a in "abcdefghijkl" for b in "mnopqrst")
    text = Text([*WORDS, rare] * 12, torch.tensor([0, 1, 1, 0, 1, 0] * 12), "words")
    return TextSet(lambda part: text, "words", **options)


@cache
def stand_in(kind: str, name: str, shape: tuple[int, ...], options: tuple[tuple[str, Any], ...]) -> Dataset:
    """A data set of this kind and shape without the data: toys as they are, images empty, all else tiny."""
    import tempfile

    if kind == "toy":
        return sets.open(name)
    if kind == "image":
        details = {"low": 0.0, "high": 255.0, "bytes": True}
        known = {"kind": kind, "name": name, "source": name, "shape": list(shape), "examples": 1000, "details": details}
        return sets.empty(known | {"class_names": [str(k) for k in range(10)], "fingerprint": ""})
    if kind == "text":
        return labelled_text(**{k: v for k, v in options if k in ("unit", "vocabulary_size", "length")})
    with tempfile.TemporaryDirectory() as folder:
        path = write_data(kind, Path(folder))
        if kind == "table":
            options = (*options, ("target", "class"))
        known = sets.options_of(path, kind)
        given = {k: v for k, v in options if k in known and k not in ("limit", "scene", "side", "piece")}
        if kind == "picture":
            given |= {"side": 90, "piece": 80}
        return sets.open(path, kind=kind, **given)


def of_preset(cls: type[Recipe], kind: str, key: str) -> Recipe:
    """The recipe of a preset on a stand-in of its data."""
    known, preset = sets.SETS[key.partition("/")[0]], recipes.presets(cls)[key]
    options = tuple((k, v) for k, v in preset.fields.items() if k in OPTIONS)
    data = stand_in(kind, key.partition("/")[0], known.shape or (), options)
    return cls(data=key.partition("/")[0], preset=key, dataset=data, **preset.fields).resolve()


@pytest.mark.parametrize(("method", "kind", "key"), ROWS, ids=lambda v: v)
def test_every_preset_builds_and_comes_back_from_its_record(method: str, kind: str, key: str):
    cls = recipes.classes(method)[kind]
    recipe = of_preset(cls, kind, key)
    entry = json.loads(json.dumps(recipe.entry()))
    again = Recipe.from_entry(entry)
    assert again.fields() == recipe.fields()
    assert type(again) is cls
    torch.manual_seed(0)
    algorithm = recipe.algorithm()
    optimizers = recipe.optimizers(algorithm)
    assert optimizers
    assert all(list(algorithm.get_submodule(player).parameters()) for player in optimizers)
    assert all(0 <= recipe.schedule(step) <= 1 for step in (0, recipe.steps // 2, recipe.steps - 1))
    torch.manual_seed(0)
    rebuilt = again.algorithm()  # from the stand-in: networks follow from what a run records
    for (name, p), (same, q) in zip(algorithm.named_parameters(), rebuilt.named_parameters(), strict=True):
        assert name == same
        # The bias of a bag of words begins at the words' frequencies, which a record does not hold; weights replace it.
        counted = (method, kind, name) == ("symbol_vector", "text", "generator.net.2.bias")
        assert p.shape == q.shape if counted else torch.equal(p, q)


def test_the_record_and_the_figure_that_a_preset_names_exist():
    folder = results.records_folder()
    if not folder.is_dir():
        pytest.skip("no records beside this installation")
    named = {p.recorded for method, kind in METHODS for p in recipes.presets(recipes.classes(method)[kind]).values()}
    records = results.load_all(folder)
    pairs = [name.partition(".") for name in named - {""}]
    assert {name for name, _, _ in pairs} <= set(records)
    assert all(figure in records[name].figures for name, _, figure in pairs if figure)


@pytest.mark.parametrize(("method", "kind"), METHODS, ids=lambda v: v)
def test_every_method_has_a_preset_for_its_kind_and_fields_that_exist(method: str, kind: str):
    cls = recipes.classes(method)[kind]
    assert cls.__doc__
    alike = ("toy", "table") if kind == "table" else (kind,)  # the nearest toy serves a table where there is none
    own = [p for key, p in recipes.presets(cls).items() if sets.SETS[key.partition("/")[0]].kind in alike]
    assert own, f"{method} has no preset of {kind} data: yours would train with numbers for another kind"
    assert {k for p in own for k in p.fields} <= {f.name for f in dataclasses.fields(cls)}


class StopsAt:
    """Ends a training after the checkpoint that is due before an update."""

    def __init__(self, step: int) -> None:
        self.step = step

    def begin(self, recipe: Recipe, step: int) -> None: ...

    def log(self, row: dict) -> None:
        if row["step"] == self.step:
            raise KeyboardInterrupt

    def say(self, text: str) -> None: ...

    def end(self) -> None: ...


def tiny(method: str, kind: str, folder: Path) -> Recipe:
    """The ``--tiny`` recipe of a method on a few examples of a kind."""
    if kind == "toy":
        keys = recipes.presets(recipes.classes(method)[kind])
        data = next(key.partition("/")[0] for key in keys if sets.SETS[key.partition("/")[0]].kind == kind)
    else:
        data = write_data(kind, folder / "data")
    if method == "symbol_vector" and kind == "text":
        return recipes.build(method, labelled_text(unit="letters"), tiny=True)
    options = {"target": "class"} if kind == "table" else {}
    return recipes.build(method, data, kind="" if kind == "toy" else kind, tiny=True, **options)


@pytest.mark.parametrize(("method", "kind"), METHODS, ids=lambda v: v)
def test_every_method_trains_stops_resumes_and_samples(method: str, kind: str, tmp_path: Path):
    recipe = tiny(method, kind, tmp_path)
    assert recipe.steps <= 8
    whole = fit(recipe, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, tmp_path / "parts", callbacks=[StopsAt(recipe.steps - 1)])
    parts = fit(recipe, tmp_path / "parts")
    for (name, mine), theirs in zip(parts.named_parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, theirs), f"{name} differs after a stop"
    model = checkpoint.load(tmp_path / "parts")
    if method == "detector":  # it scores, and draws none
        with pytest.raises(Unsupported, match="draws none"):
            model.sample(3, rng=stream(1))
        return
    x = model.sample(3, recipe.conditions(3), rng=stream(1))
    assert len(x) == 3
    assert not x.is_floating_point() or x.isfinite().all()


def test_a_method_says_which_data_it_takes(tmp_path: Path):
    with pytest.raises(InputError, match="cooperative takes image, toy, video, voxels data, got picture data"):
        recipes.build("cooperative", write_data("picture", tmp_path / "one"), kind="picture")


@pytest.mark.parametrize(
    ("method", "kind"), [(m, kind) for m, kind in METHODS if kind == "toy" and m not in ("cycle", "cycle_sequences")]
)
@pytest.mark.parametrize("name", ["moons", "linear_factors"])
def test_a_borrowed_preset_leaves_what_only_its_own_data_have(method, kind, name):
    recipe = recipes.build(method, name, tiny=True)
    recipe.algorithm()  # known generators, and chains of examples without end, are of one set


def test_posterior_chains_go_on_where_examples_come_back():
    starts = {name: recipes.build("alternating_backprop", name, tiny=True).posterior_start for name in ("ring", "wine")}
    assert starts == {"ring": "noise", "wine": "last"}
    with pytest.raises(InputError, match="needs a finite data set"):
        recipes.build("alternating_backprop", "ring", posterior_start="last").algorithm()
