"""The amortized latent EBM prior where the truth is known: the problem of latent_prior_toy, and no chain in learning.

z in the plane from four modes, x = A z + 0.3 ε in R^10 with A known. The prior, q_φ(z|x) and the flow q_ψ(z) are
learned; what the flow misses of the prior is a sum over a grid (``reproductions/amortized_latent_prior.py``).

Purely adversarial learning (``--revision_steps 0``) swings here: as the modes sharpen the flow falls behind, the prior
learns from where the flow is and not from where its own mass is, and both run away. Ten Langevin steps from the flow's
draws, before the prior learns from them, hold it.
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
from absynth.samplers import Langevin


@dataclass(frozen=True, kw_only=True)
class AmortizedLatentPriorToy(LatentPriorToy):
    """Latent-space EBM prior, amortized by an inference network and a flow, on a problem whose truth is known."""

    steps: int = 6000
    checkpoint_every: int = 1000
    prior_lr: float = 5e-4
    revision_steps: int = 10
    """Langevin steps from the flow's draws, before the prior learns from them; 0: none, as in the paper."""
    layers: int = 12
    """Couplings of the flow."""
    width: int = 32
    """Hidden units of each coupling."""
    hidden: int = 2
    """Hidden layers of each coupling."""
    inference_lr: float = 1e-3
    """Adam's rate for the inference network."""
    flow_lr: float = 3e-3
    """Adam's rate for the flow: an actor that lags behind its critic makes both swing."""

    def algorithm(self) -> AmortizedLatentPrior:
        plain = super().algorithm()
        return AmortizedLatentPrior(
            plain.prior,
            plain.generator,
            GaussianInference(mlp([10, 2 * self.width, 2 * self.width, 4], "silu")),
            CouplingFlow(2, layers=self.layers, width=self.width, hidden=self.hidden),
            prior_sampler=plain.prior_sampler,
            posterior_sampler=plain.posterior_sampler,
            revision=Langevin(self.revision_steps, self.prior_step_size) if self.revision_steps else None,
        )

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        rates = {"prior": self.prior_lr, "inference": self.inference_lr, "flow": self.flow_lr}
        return {k: Adam(algorithm.get_submodule(k).parameters(), lr, (0.5, 0.999)) for k, lr in rates.items()}

    def schedule(self, step: int) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * min(step / self.steps, 1.0)))

    def tiny(self) -> Recipe:
        return replace(super().tiny(), layers=2, width=8)  # type: ignore[type-var]
