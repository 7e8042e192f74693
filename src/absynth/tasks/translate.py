"""One-sided translation: chains begin at pictures of one domain and climb the density of another.

No map is learned and no pairs are needed: the target's EBM says where its pictures are, and a short chain from the
source keeps what need not change (the one-sided form of Zhao, Xie, Li, ICLR 2021, CF-EBM, section 3.4). How far it goes
is the chain's length; how much is kept is told as the distance moved beside that between random pairs.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.tasks.opened import Chain, in_chunks, open_run, result, row_streams
from absynth.tasks.translators import learned, ways
from absynth.types import Rng


def translate(chain: Chain, x: Float[Tensor, "n *event"], *, rng: Rng) -> Float[Tensor, "n *event"]:
    """Where chains on the target's density end that begin at x."""
    return chain.run(chain.density.log_density, x, rng=rng)


def mean_distance(a: Float[Tensor, "n *event"], b: Float[Tensor, "m *event"]) -> float:
    """The mean Euclidean distance between pairs of a and b."""
    return float(torch.cdist(a.flatten(1), b.flatten(1)).mean())


def command(
    run: Path,
    images: str = "",
    label: int = -1,
    direction: str = "",
    n: int = 100,
    steps: int = 0,
    seed: int = 0,
    batch: int = 250,
    device: str = "auto",
) -> TaskResult:
    """Translate pictures: as the run has learned to, or into what it was trained on, by chains that begin at them.

    Args:
        run: directory of a trained run, of the target.
        images: the source pictures (folder, .npz, .npy); empty: the recipe's test split (by chains: with --label).
        label: by chains, only the source pictures of this label; -1: all.
        direction: of a run that learned both ways: x_to_y (also what is left out) or y_to_x.
        n: how many pictures (the first 10 are shown).
        steps: length of the chains; 0 is as in the run. Fewer keep more of the source.
        seed: of the noise.
        batch: chains that run at once (memory only).
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    if ways(opened):
        if steps or label >= 0:
            raise InputError(f"{opened.recipe.name()} has learned to translate: leave out --steps and --label")
        return learned(opened, images, direction, n, seed=seed, batch=batch)
    if direction:
        raise InputError(f"--direction needs a run that learned to translate, {run} is {opened.recipe.name()}")
    chain = opened.data_chain(steps)
    if not images and label < 0:
        raise InputError("expected source pictures, got none: give --images FOLDER, or --label L of the run's own data")
    data = opened.pictures(images)
    rows = torch.arange(len(data))
    if label >= 0:
        if data.labels is None or not bool((data.labels == label).any()):
            known = "no labels" if data.labels is None else f"labels {sorted(set(data.labels.tolist()))[:20]}"
            raise InputError(f"expected pictures of label {label}, {data.name} has {known}: choose one of them")
        rows = rows[data.labels == label]
    x = data.batch(rows[:n])
    parts = []
    for start, part in in_chunks(x, batch):
        rng = row_streams(seed, range(start, start + len(part)), device=opened.device)
        parts.append(translate(chain, part.to(opened.device), rng=rng).cpu())
    there = torch.cat(parts).clamp(-1, 1)
    target = opened.images("train")
    some = target.batch(torch.linspace(0, len(target) - 1, min(500, len(target))).long())
    moved, apart = float((there - x).flatten(1).norm(dim=1).mean()), mean_distance(x, some)
    with torch.no_grad():
        score = chain.tempered if chain.temperature else chain.density.log_density
        before, after = (score(v.to(opened.device)).mean() for v in (x[:batch], there[:batch]))
    folder = opened.folder("translate")
    pictures.rows_with_labels({"source": x[:10], "translation": there[:10]}, folder / "translations.png")
    text = (
        f"{len(x)} pictures of {data.name}; chains of {chain.rounds * chain.steps} steps on the run's density begin at "
        f"them. It was sampled at temperature {chain.temperature:g}; the log density is told in its units (as it is "
        "where that is 0). Distances are Euclidean on the [-1, 1] scale: moved, beside that between a source and a "
        "training picture of the target."
    )
    found = result("translate", "Translation", seed, text)
    found.pictures.append({"file": "translations.png", "caption": "Sources above, translations below"})
    found.figures |= {"distance moved": moved, "log density gained": float(after - before)}
    found.baselines["distance moved"] = {"random pairs": apart}
    found.save(folder)
    return found
