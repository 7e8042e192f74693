"""The amortized latent EBM prior where the truth is known: the problem of latent_prior_toy, and no chain in learning.

z in the plane from four modes, x = A z + 0.3 ε in R^10 with A known. The prior, q_φ(z|x) and the flow q_ψ(z) are
learned; what the flow misses of the prior is a sum over a grid (``reproductions/amortized_latent_prior.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import nn
from torch.optim import Adam, Optimizer

from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.distributions import GaussianInference
from absynth.networks.flow import CouplingFlow
from absynth.networks.mlp import mlp
from absynth.recipes.latent_prior_toy import LatentPriorToy
from absynth.recipes.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class AmortizedLatentPriorToy(LatentPriorToy):
    """Latent-space EBM prior, amortized by an inference network and a flow, on a problem whose truth is known."""

    steps: int = 3000
    checkpoint_every: int = 500
    layers: int = 8
    """Couplings of the flow."""
    width: int = 64
    """Hidden units of each coupling and of the inference network."""
    inference_lr: float = 1e-3
    """Adam's rate for the inference network."""
    flow_lr: float = 2e-3
    """Adam's rate for the flow: an actor that lags behind its critic makes both swing."""

    def algorithm(self) -> AmortizedLatentPrior:
        plain = super().algorithm()
        return AmortizedLatentPrior(
            plain.prior,
            plain.generator,
            GaussianInference(mlp([10, self.width, self.width, 4], "silu")),
            CouplingFlow(2, layers=self.layers, width=self.width),
            prior_sampler=plain.prior_sampler,
            posterior_sampler=plain.posterior_sampler,
        )

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        rates = {"prior": self.prior_lr, "inference": self.inference_lr, "flow": self.flow_lr}
        return {k: Adam(algorithm.get_submodule(k).parameters(), lr, (0.5, 0.999)) for k, lr in rates.items()}

    def schedule(self, step: int) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * min(step / self.steps, 1.0)))

    def tiny(self) -> Recipe:
        return replace(super().tiny(), layers=2, width=8)  # type: ignore[type-var]
