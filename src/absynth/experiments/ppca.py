"""Alternating back-propagation against probabilistic PCA: ``python reproductions/ppca.py``.

With a linear generator the posterior of z and the best likelihood are known in closed form (Tipping and Bishop 1999).
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from absynth import fit, stream
from absynth.algorithms import AlternatingBackprop
from absynth.recipes.abp_linear import ABPLinear
from absynth.results import record
from absynth.samplers import Langevin

PICKED, CHAINS = 6, 3000
LONG = Langevin(2500, 0.03)


def log_likelihood(w: Tensor, b: Tensor, std: float, x: Tensor) -> float:
    """Mean log N(x; b, WWᵀ + σ²I) in nats an example."""
    covariance = w @ w.T + std**2 * torch.eye(len(w), dtype=w.dtype)
    return float(MultivariateNormal(b, covariance).log_prob(x).mean())


def optimum(x: Tensor, latent: int, std: float) -> tuple[Tensor, Tensor]:
    """W and b that maximize the likelihood of x with σ given: W = U (Λ − σ²I)^{1/2}."""
    values, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
    spread = (values[-latent:] - std**2).clamp(min=0).sqrt()
    return vectors[:, -latent:] * spread, x.mean(0)


def largest_z(model: AlternatingBackprop, x: Tensor, seed: int) -> tuple[float, float]:
    """Largest distance of the chains' means and covariances from the closed form's, in standard errors."""
    twin = AlternatingBackprop(model.prior.reference, model.generator, posterior_sampler=LONG)
    w, b = (p.detach() for p in model.generator.net.parameters())  # type: ignore[union-attr]
    precision = torch.eye(w.shape[1], dtype=w.dtype) + w.T @ w / model.generator.std**2  # type: ignore[operator]
    covariance = precision.inverse()
    means, covariances = [0.0], [0.0]
    for i, one in enumerate(x):
        rng = stream(seed, 0, i, 1)
        z = twin.sample_posterior(one.expand(CHAINS, -1), rng=rng)
        mean = covariance @ w.T @ (one - b) / model.generator.std**2  # type: ignore[operator]
        error = (covariance.diag() / CHAINS).sqrt()
        means.append(float(((z.mean(0) - mean) / error).abs().max()))
        # Of a Gaussian's sample covariance, entry jk has variance (S_jk² + S_jj S_kk) / n.
        error = ((covariance**2 + covariance.diag().outer(covariance.diag())) / CHAINS).sqrt()
        covariances.append(float(((torch.cov(z.T) - covariance) / error).abs().max()))
    return max(means), max(covariances)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "ppca.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = ABPLinear()
    train, test = recipe.split("train").double(), recipe.split("test").double()
    best = log_likelihood(*optimum(train, recipe.latent, recipe.std), recipe.std, test)
    flat = log_likelihood(torch.zeros(recipe.dim, recipe.latent, dtype=test.dtype), train.mean(0), recipe.std, test)
    figures: dict[str, list[float]] = {}
    for seed in arguments.seeds:
        found = {}
        for start in ("last", "noise"):
            with tempfile.TemporaryDirectory() as folder:
                model = fit(replace(recipe, seed=seed, start=start), Path(folder) / "run").double()
            assert isinstance(model, AlternatingBackprop)
            w, b = (p.detach() for p in model.generator.net.parameters())  # type: ignore[union-attr]
            gap = best - log_likelihood(w, b, recipe.std, test)
            found["gap, from the last z" if start == "last" else "gap, from noise"] = gap
            if start == "last":
                found["posterior mean"], found["posterior covariance"] = largest_z(model, test[:PICKED], seed)
        print(f"seed {seed}: " + ", ".join(f"{k} {v:.4f}" for k, v in found.items()), flush=True)
        for name, value in found.items():
            figures.setdefault(name, []).append(value)
    within = {"at_most": 4.0, "why": f"{PICKED} examples, {CHAINS} chains each: the largest of many normal deviates"}
    record(
        arguments.out,
        command="python reproductions/ppca.py --seeds " + " ".join(map(str, arguments.seeds)),
        data=f"{recipe.examples} examples of {recipe.dim} numbers from a linear model with {recipe.latent} latent ones "
        "and known noise, as many for the test",
        protocol=f"{recipe.steps} updates, {recipe.posterior_steps} Langevin steps a visit; gap: log likelihood of the "
        "test examples below that of the probabilistic PCA of the training examples, in nats an example; posterior: "
        f"{CHAINS} chains of {LONG.steps} steps for each of {PICKED} test examples on the learned model, largest "
        "distance of the chains' mean and covariance from the closed form in standard errors",
        seeds=arguments.seeds,
        figures=figures,
        baselines={"gap, from the last z/mean and noise alone": [best - flat] * len(arguments.seeds)},
        bars={
            "gap, from the last z": {"at_most": 0.1, "why": "a tenth of a nat of the optimum"},
            "posterior mean": within,
            "posterior covariance": within,
        },
    )


if __name__ == "__main__":
    main()
