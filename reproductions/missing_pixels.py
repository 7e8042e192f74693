"""Learning from pictures of which half the pixels are missing: ``python reproductions/missing_pixels.py``.

Alternating back-propagation leaves the missing pixels out of the likelihood (Han et al. 2017, "learning from incomplete
data"); what it generates at the inferred z is their recovery. Nothing here ever sees a missing pixel but the error.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from absynth import fit, pictures, stream
from absynth.algorithms import AlternatingBackprop
from absynth.recipes.abp_mnist import ABPMNIST
from absynth.results import record
from absynth.samplers import Langevin
from absynth.tasks.opened import in_chunks

TRAIN, TEST, ROUNDS = 2000, 2000, 12
POSTERIOR = Langevin(100, 0.1)


def error(x: Tensor, recovered: Tensor, mask: Tensor) -> float:
    """Mean squared error of the missing pixels."""
    return float(((recovered - x) ** 2)[~mask].mean())


def mean_of_observed(x: Tensor, mask: Tensor) -> Tensor:
    """The mean of each pixel over the pictures in which it was observed."""
    return torch.where(mask, x, 0).sum(0) / mask.sum(0).clamp(min=1)


def pca_basis(x: Tensor, mask: Tensor, mean: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Mean and basis of PCA with missing entries: fill in, fit, and again (the mean fills first)."""
    filled = torch.where(mask, x, mean)
    basis = torch.empty(0)
    for _ in range(ROUNDS):
        mean = filled.mean(0)
        centred = filled - mean
        basis = torch.linalg.eigh(centred.T @ centred)[1][:, -rank:]
        filled = torch.where(mask, x, mean + centred @ basis @ basis.T)
    return mean, basis


def pca_recovery(x: Tensor, mask: Tensor, mean: Tensor, basis: Tensor) -> Tensor:
    """The point of the plane that is nearest in the observed pixels, of each picture: exact least squares."""
    parts = []
    for (_, part), (_, seen) in zip(in_chunks(x, 200), in_chunks(mask, 200)):
        design = seen[:, :, None] * basis
        target = torch.where(seen, part - mean, 0)
        coordinates = torch.linalg.solve(
            design.mT @ design + 1e-6 * torch.eye(basis.shape[1]), design.mT @ target[..., None]
        )
        parts.append(mean + coordinates[..., 0] @ basis.T)
    return torch.cat(parts)


def recover(model: AlternatingBackprop, x: Tensor, mask: Tensor, seed: int) -> Tensor:
    """The generator's mode at one draw of p(z | observed pixels)."""
    model.posterior_sampler = POSTERIOR
    parts = []
    for start, part in in_chunks(x, 500):
        seen = mask[start : start + 500]
        hidden = torch.where(seen, part, 0.0)  # what is missing is not even handed over
        z = model.sample_posterior(hidden, None, seen.float(), rng=stream(seed, 0, start, 3))
        parts.append(model.decode(z))
    return torch.cat(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--limit", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "missing_pixels.json")
    parser.add_argument("--picture", type=Path, default=None, help="where to draw ten recoveries")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rank = 16
    values: dict[str, list[float]] = {}
    for seed in arguments.seeds:
        recipe = replace(ABPMNIST(seed=seed, limit=arguments.limit, missing=0.5, latent=(rank,)), steps=arguments.steps)
        with tempfile.TemporaryDirectory() as folder:
            model = fit(recipe, Path(folder) / "run", chains="planned")
        assert isinstance(model, AlternatingBackprop)
        resolved = replace(recipe, size=28, channels=1)
        train = recipe.images("train").all()
        mask = resolved.mask(torch.arange(len(train)))
        assert mask is not None
        test = recipe.held_out(TEST)
        test_mask = torch.rand(test.shape, generator=stream(seed, 0, 0, 1)) >= recipe.missing
        flat, seen = train.flatten(1), mask.bool().flatten(1)
        fill = mean_of_observed(flat, seen)
        mean, basis = pca_basis(flat, seen, fill, rank)
        for name, x, m in (("training", train[:TRAIN], mask[:TRAIN].bool()), ("test", test, test_mask)):
            back = recover(model, x, m, seed)
            pca = pca_recovery(x.flatten(1), m.flatten(1), mean, basis).view_as(x)
            found = {
                f"MSE, {name} pictures": error(x, back, m),
                f"MSE, {name} pictures/mean of the observed": error(x, fill.view(1, 1, 28, 28).expand_as(x), m),
                f"MSE, {name} pictures/PCA-{rank}": error(x, pca, m),
            }
            for key, value in found.items():
                values.setdefault(key, []).append(value)
                print(f"seed {seed}: {key} {value:.4f}", flush=True)
            if arguments.picture and seed == arguments.seeds[0] and name == "test":
                rows = {"picture": x, "seen": torch.where(m, x, 0.0), "recovered": torch.where(m, x, back)}
                rows |= {f"PCA-{rank}": torch.where(m, x, pca.clamp(-1, 1))}
                pictures.rows_with_labels({k: v[:10] for k, v in rows.items()}, arguments.picture)
    record(
        arguments.out,
        command="python reproductions/missing_pixels.py --seeds " + " ".join(map(str, arguments.seeds)),
        data=f"MNIST, the first {arguments.limit} training pictures with half the pixels of each missing at random, "
        f"and the first {TEST} test pictures with others missing",
        protocol=f"recipe abp_mnist with --missing 0.5 --steps {arguments.steps}, z of {rank}; mean squared error of "
        f"the missing pixels on the [-1, 1] scale, at one draw of z by {POSTERIOR.steps} steps from noise given the "
        f"observed pixels; the mean and PCA-{rank} are learned from the same incomplete pictures ({ROUNDS} rounds of "
        "filling in and fitting, then least squares on the observed pixels)",
        seeds=arguments.seeds,
        figures={k: v for k, v in values.items() if "/" not in k},
        baselines={k: v for k, v in values.items() if "/" in k},
        bars={
            name: {"at_most": round(min(values[f"{name}/PCA-{rank}"]), 5), "why": "below the better of mean and PCA"}
            for name in ("MSE, training pictures", "MSE, test pictures")
        },
    )


if __name__ == "__main__":
    main()
