"""Reconstruction: infer z from a picture by the posterior chain, generate the picture back."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms import LatentPrior
from absynth.metrics.ranking import pca_reconstruction_error
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import in_chunks, open_run, result
from absynth.types import Rng


def reconstruct(model: LatentPrior, x: Float[Tensor, "n *event"], *, rng: Rng) -> Float[Tensor, "n *event"]:
    """The generator's mode at one draw of the posterior, for each x."""
    return model.decode(model.sample_posterior(x, rng=rng))


def reconstruction_error(
    model: LatentPrior, x: Float[Tensor, "n *event"], *, seed: int, batch: int, device: torch.device
) -> float:
    """Mean squared error of reconstructions, a pixel, on the [-1, 1] scale (Pang et al. 2020, Table 1)."""
    total = 0.0
    for start, part in in_chunks(x, batch):
        part = part.to(device)
        total += float(((reconstruct(model, part, rng=stream(seed, 0, start, device=device)) - part) ** 2).sum())
    return total / x.numel()


def command(
    run: Path, n: int = 1000, images: str = "", seed: int = 0, batch: int = 500, device: str = "auto"
) -> TaskResult:
    """Reconstruct pictures that were not trained on, with their mean squared error.

    Args:
        run: directory of a trained run.
        n: how many pictures to measure on (the first 10 are shown).
        images: your own pictures (folder, .npz, .npy); empty: the recipe's test split.
        seed: of the noise.
        batch: chains that run at once.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    model, data = opened.latent(), opened.pictures(images)
    x = data.batch(torch.arange(min(n, len(data))))
    mse = reconstruction_error(model, x, seed=seed, batch=batch, device=opened.device)
    shown = x[:10].to(opened.device)
    folder = opened.folder("reconstruct")
    back = reconstruct(model, shown, rng=stream(seed, 0, 0, device=opened.device)).cpu()
    pictures.rows_with_labels({"picture": x[:10], "reconstruction": back}, folder / "reconstructions.png")
    train = opened.images("train").all().flatten(1)
    rank = min(model.prior.reference.sample(1, stream(0, device=opened.device)).numel(), train.shape[1])
    text = (
        f"z inferred by the posterior chain, then generated. Mean squared error a pixel on the [-1, 1] scale, over "
        f"{len(x)} pictures of {data.name} that were not trained on. PCA keeps as many numbers as z has, {rank}."
    )
    found = result("reconstruct", "Reconstruction", seed, text)
    found.pictures.append({"file": "reconstructions.png", "caption": "Pictures above, reconstructions below"})
    found.figures["test MSE"] = mse
    found.baselines["test MSE"] = {
        "mean picture": float(((x.flatten(1) - train.mean(0)) ** 2).mean()),
        f"PCA-{rank}": float(pca_reconstruction_error(train, x.flatten(1), rank).mean()) / x[0].numel(),
    }
    found.save(folder)
    return found
