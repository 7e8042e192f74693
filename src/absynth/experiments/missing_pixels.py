"""Learning from images of which half the pixels are missing.

Alternating back-propagation leaves the missing pixels out of the likelihood (Han et al. 2017, "learning from incomplete
data"); what it generates at the inferred z is their recovery. Nothing here sees a missing pixel but the error.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from absynth import pictures
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.samplers import Langevin
from absynth.seeding import stream
from absynth.tasks.opened import in_chunks

TRAIN, TEST, ROUNDS, RANK = 2000, 2000, 12, 16
POSTERIOR = Langevin(100, 0.1)


def error(x: Tensor, recovered: Tensor, mask: Tensor) -> float:
    """Mean squared error of the missing pixels."""
    return float(((recovered - x) ** 2)[~mask].mean())


def pca_basis(x: Tensor, mask: Tensor, mean: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Mean and basis of PCA with missing entries: fill in, fit, and again (the mean fills first)."""
    filled = torch.where(mask, x, mean)
    basis = torch.empty(0)
    for _ in range(ROUNDS):
        mean = filled.mean(0)
        centred = filled - mean
        double = centred.double()  # pixels that never vary leave many equal eigenvalues, too many for float32
        basis = torch.linalg.eigh(double.T @ double)[1][:, -rank:].to(x)
        filled = torch.where(mask, x, mean + centred @ basis @ basis.T)
    return mean, basis


def pca_recovery(x: Tensor, mask: Tensor, mean: Tensor, basis: Tensor) -> Tensor:
    """The point of the plane that is nearest in the observed pixels, of each image: exact least squares."""
    parts = []
    for (_, part), (_, seen) in zip(in_chunks(x, 200), in_chunks(mask, 200)):
        design = seen[:, :, None] * basis
        target = torch.where(seen, part - mean, 0)
        inner = design.mT @ design + 1e-6 * torch.eye(basis.shape[1])
        coordinates = torch.linalg.solve(inner, design.mT @ target[..., None])
        parts.append(mean + coordinates[..., 0] @ basis.T)
    return torch.cat(parts)


def recover(model: Any, x: Tensor, mask: Tensor, seed: int) -> Tensor:
    """The generator's mode at one draw of p(z | observed pixels)."""
    model.replace_sampler("posterior_sampler", POSTERIOR)
    parts = []
    for start, part in in_chunks(x, 500):
        seen = mask[start : start + 500]
        hidden = torch.where(seen, part, 0.0)  # what is missing is not even passed on
        z = model.posterior_sampler(model.posterior(hidden, None, seen.float()), model.reference.sample(
            len(part), stream(seed, 0, start, 3)), rng=stream(seed, 0, start, 4))  # fmt: skip
        parts.append(model.generate(z))
    return torch.cat(parts)


@experiment(
    data="MNIST, the first 10,000 training images with half the pixels of each missing at random, and the first "
    f"{TEST} test images with others missing",
    protocol=f"alternating back-propagation, preset mnist with --missing 0.5 --steps 600, z of {RANK}; mean squared "
    f"error of the missing pixels on the [-1, 1] scale, at one draw of z by {POSTERIOR.steps} steps from noise given "
    f"the observed pixels; the mean and PCA-{RANK} are learned from the same incomplete images ({ROUNDS} rounds of "
    "filling in and fitting, then least squares on the observed pixels)",
    seeds=(0, 1),
    minutes=3,
    bars={
        "MSE, training images": at_most(0.118, "below the better of mean and PCA"),
        "MSE, test images": at_most(0.117, "below the better of mean and PCA"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("alternating_backprop", "mnist", limit=10_000, missing=0.5, latent=(RANK,), steps=600)
    recipe: Any = opened.full
    train = opened.examples("train").all()
    mask = recipe.mask(torch.arange(len(train)))
    test = opened.examples("test").head(run.few(TEST))
    test_mask = torch.rand(test.shape, generator=stream(seed, 0, 0, 1)) >= 0.5
    flat, seen = train.flatten(1), mask.bool().flatten(1)
    fill = torch.where(seen, flat, 0).sum(0) / seen.sum(0).clamp(min=1)
    mean, basis = pca_basis(flat, seen, fill, RANK)
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    n = run.few(TRAIN)
    for name, x, m in (("training", train[:n], mask[:n].bool()), ("test", test, test_mask)):
        back, pca = recover(opened.model, x, m, seed), pca_recovery(x.flatten(1), m.flatten(1), mean, basis).view_as(x)
        figure = f"MSE, {name} images"
        values[figure] = error(x, back, m)
        baselines[f"{figure}/mean of the observed"] = error(x, fill.view(1, 1, 28, 28).expand_as(x), m)
        baselines[f"{figure}/PCA-{RANK}"] = error(x, pca, m)
        rows = {"image": x, "seen": torch.where(m, x, 0.0), "recovered": torch.where(m, x, back)}
        rows |= {f"PCA-{RANK}": torch.where(m, x, pca.clamp(-1, 1))}
        pictures.rows_with_labels({k: v[:10] for k, v in rows.items()}, run.images / f"missing_pixels_{name}.png")
    return Figures(values, baselines)
