"""Alternating back-propagation against probabilistic PCA.

With a linear generator the posterior of z and the best likelihood are known in closed form (Tipping and Bishop 1999).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from absynth.algorithms import AlternatingBackprop
from absynth.data import sets
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.samplers import Langevin
from absynth.seeding import stream

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


def largest_z(model: Any, x: Tensor, seed: int) -> tuple[float, float]:
    """Largest distance of the chains' means and covariances from the closed form's, in standard errors."""
    twin = AlternatingBackprop(model.reference, model.generator, posterior_sampler=LONG)
    w, b = (p.detach() for p in model.generator.net.parameters())
    precision = torch.eye(w.shape[1], dtype=w.dtype) + w.T @ w / model.generator.std**2
    covariance = precision.inverse()
    means, covariances = [0.0], [0.0]
    for i, one in enumerate(x):
        rng = stream(seed, 0, i, 1)
        z = twin.sample_posterior(one.expand(CHAINS, -1), rng=rng)
        mean = covariance @ w.T @ (one - b) / model.generator.std**2
        error = (covariance.diag() / CHAINS).sqrt()
        means.append(float(((z.mean(0) - mean) / error).abs().max()))
        # Of a Gaussian's sample covariance, entry jk has variance (S_jk² + S_jj S_kk) / n.
        error = ((covariance**2 + covariance.diag().outer(covariance.diag())) / CHAINS).sqrt()
        covariances.append(float(((torch.cov(z.T) - covariance) / error).abs().max()))
    return max(means), max(covariances)


GAP = "gap, from the last z"
WITHIN = at_most(4.0, f"{PICKED} examples, {CHAINS} chains each: the largest of many normal deviates")


@experiment(
    data="2,000 examples of 10 numbers from a linear model with 2 latent ones and known noise, as many for the test",
    protocol="3,000 updates, 10 Langevin steps per visit; gap: log likelihood of the test examples below that of the "
    f"probabilistic PCA of the training examples, in nats per example; posterior: {CHAINS} chains of {LONG.steps} "
    f"steps for each of {PICKED} test examples on the learned model, largest distance of the chains' mean and "
    "covariance from the closed form in standard errors",
    seeds=(0, 1),
    minutes=1,
    bars={
        GAP: at_most(0.1, "a tenth of a nat of the optimum"),
        "posterior mean": WITHIN,
        "posterior covariance": WITHIN,
    },
)
def measure(seed: int, run: Run) -> Figures:
    data = sets.open("linear_factors")
    train, test, (dim,) = data.all().double(), data.split("test").all().double(), data.shape
    latent, std = 2, 0.5
    best = log_likelihood(*optimum(train, latent, std), std, test)
    flat = log_likelihood(torch.zeros(dim, latent, dtype=test.dtype), train.mean(0), std, test)
    values: dict[str, float] = {}
    for start, name in (("last", GAP), ("noise", "gap, from noise")):
        opened = run.fit("alternating_backprop", "linear_factors", label=start, posterior_start=start)
        model: Any = opened.model.double()
        w, b = (p.detach() for p in model.generator.net.parameters())
        values[name] = best - log_likelihood(w, b, std, test)
        if start == "last":
            values["posterior mean"], values["posterior covariance"] = largest_z(model, test[:PICKED], seed)
    return Figures(values, {f"{GAP}/mean and noise alone": best - flat})
