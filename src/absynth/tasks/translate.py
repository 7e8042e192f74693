"""Translation of images: as a model has learned to, or by chains that start at images of another domain.

Where no map was learned, no pairs are needed: the target's EBM says where its images are, and a short chain from the
source keeps what need not change (the one-sided form of Zhao, Xie, Li, ICLR 2021, CF-EBM, section 3.4). The length of
the chain decides how far it moves; the distance moved is compared with that of random pairs.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms import Chain
from absynth.data import sets
from absynth.data.dataset import Dataset
from absynth.errors import InputError, Unsupported
from absynth.report import TaskResult
from absynth.tasks.learned_translation import has_learned, translate_as_learned
from absynth.tasks.opened import Opened, check_positive, in_chunks, open_run, row_streams
from absynth.types import Rng

TITLE = "Translation"
NEEDS = "a model that learned to translate images, or an EBM of images and source images"
REPORT: dict | None = {"n": 20}


def translate(chain: Chain, x: Float[Tensor, "n *event"], *, rng: Rng) -> Float[Tensor, "n *event"]:
    """Where chains on the target's density end that start at x."""
    return chain.run(chain.density.log_density, x, rng=rng)


def mean_distance(a: Float[Tensor, "n *event"], b: Float[Tensor, "m *event"]) -> float:
    """The mean Euclidean distance between pairs of a and b."""
    return float(torch.cdist(a.flatten(1), b.flatten(1)).mean())


def source_images(opened: Opened, input: str, label: int, n: int) -> Tensor:
    """The images to translate by chains: yours, or those of one class, or both.

    Raises:
        Unsupported: Neither is given.
        InputError: There is no such class.
    """
    if not input and label < 0:
        raise Unsupported("expected source images, got none: give --input FOLDER, or --label L of the run's own data")
    data: Dataset = opened.examples("test")
    if input:
        x = opened.inputs(input, 0)[0]
        if label < 0:
            return x[:n]
        data = sets.open(input, kind="image", size=x.shape[-1])
    labels = data.labels
    if labels is None or not bool((labels == label).any()):
        known = "no labels" if labels is None else f"labels {sorted(set(labels.tolist()))[:20]}"
        raise InputError(f"expected images of label {label}, {data.name} has {known}: choose one of them")
    return data.batch((labels == label).nonzero()[:n, 0]).x


def translate_by_chain(
    opened: Opened, chain: Chain, x: Float[Tensor, "n c h w"], *, seed: int, batch: int
) -> Float[Tensor, "n c h w"]:
    """Translations of all x, each from its own stream of noise, clamped to [-1, 1]."""
    parts = []
    for start, part in in_chunks(x, batch):
        rng = row_streams(seed, range(start, start + len(part)), device=opened.device)
        parts.append(translate(chain, part.to(opened.device), rng=rng).cpu())
    return torch.cat(parts).clamp(-1, 1)


def measure_change(opened: Opened, found: TaskResult, chain: Chain, x: Tensor, there: Tensor, batch: int) -> None:
    """How far images moved, compared with random pairs, and how much log density they gained."""
    target = opened.examples("train")
    some = target.batch(torch.linspace(0, len(target) - 1, min(500, len(target))).long()).x
    moved = float((there - x).flatten(1).norm(dim=1).mean())
    with torch.no_grad():
        score = chain.tempered if chain.temperature else chain.density.log_density
        before, after = (score(v.to(opened.device)).mean() for v in (x[:batch], there[:batch]))
    found.figures |= {"distance moved": moved, "log density gained": float(after - before)}
    found.baselines["distance moved"] = {"random pairs": mean_distance(x, some)}


def command(
    run: Path,
    input: str = "",
    label: int = -1,
    direction: str = "",
    n: int = 100,
    steps: int = 0,
    seed: int = 0,
    batch: int = 250,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Translate images: as the run has learned to, or to its own domain by chains that start at them.

    Args:
        run: Run directory, of the target.
        input: File or folder of source images. Defaults to the test split (by chains: with --label).
        label: By chains, only the source images of this class; -1 takes all.
        direction: For a run that learned both ways: x_to_y (the default) or y_to_x.
        n: Number of images (the first 10 are shown).
        steps: Length of the chains; 0 is as in training. Fewer keep more of the source.
        seed: Seed of the noise.
        batch: Chains that run at once (memory only).
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/translate.
        device: auto, cpu, cuda.
    """
    check_positive(n=n, batch=batch)
    opened = open_run(run, device, task="translate", data=data, out=out)
    if has_learned(opened):
        if steps or label >= 0:
            raise InputError(f"{opened.name} has learned to translate: leave out --steps and --label")
        return translate_as_learned(opened, input, direction, n, seed=seed, batch=batch)
    if direction:
        raise Unsupported(f"--direction needs a run that learned to translate, {run} is {opened.name}")
    opened.require_kind("image")
    chain = opened.data_chain(steps)
    x = source_images(opened, input, label, n)
    there = translate_by_chain(opened, chain, x, seed=seed, batch=batch)
    rows = {"source": x[:10], "translation": there[:10]}
    pictures.rows_with_labels(rows, opened.folder / "translations.png")
    text = (
        f"{len(x)} images of {Path(input).name if input else opened.data.name}; chains of {chain.rounds * chain.steps} "
        f"steps on the run's density start at them, at temperature {chain.temperature:g}; the log density is in units "
        "of that temperature (unscaled if it is 0). Distances are Euclidean on the [-1, 1] scale: moved, and between a "
        "source and a training image of the target."
    )
    found = opened.result(TITLE, text, seed)
    found.pictures.append({"file": "translations.png", "caption": "Sources above, translations below"})
    measure_change(opened, found, chain, x, there, batch)
    return opened.save(found)
