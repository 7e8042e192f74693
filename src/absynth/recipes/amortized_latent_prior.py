"""The latent-space EBM prior without chains in learning (Pang et al. 2020, section 2.6): an inference network and a
flow.

Examples are inferred and drawn in one pass each. The paper gives no numbers. A few Langevin steps refine the flow's
draws before the prior learns from them: purely adversarial learning (``--refinement-steps 0``) oscillates where the
truth is known (``absynth reproduce amortized_latent_prior``): as the modes sharpen the flow falls behind, the prior
learns from where the flow is and not from where its own mass is, and both diverge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from absynth.algorithms import Algorithm, LatentPrior
from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.density import EBM
from absynth.distributions import GaussianInference
from absynth.networks.encoder import mlp_encoder
from absynth.networks.flow import CouplingFlow
from absynth.networks.mlp import mlp
from absynth.recipes._fields import PriorChain, half_cosine
from absynth.recipes.bounds import Count, Natural, Positive
from absynth.recipes.latent_prior.images import PRESETS as IMAGES
from absynth.recipes.latent_prior.images import LatentPriorImages
from absynth.recipes.latent_prior.vectors import PRESETS as VECTORS
from absynth.recipes.latent_prior.vectors import LatentPriorVectors
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin

PRESETS = {
    **{
        name: Preset(minutes=2, **IMAGES[name].fields | {"energy_lr": 2e-4})
        for name in ("mnist", "fashion_mnist", "digits")
    },
    "ring": Preset(minutes=2, **VECTORS["ring"].fields | {"steps": 3000}),
    "linear_modes": Preset(
        minutes=4,
        recorded="amortized_latent_prior",
        **VECTORS["linear_modes"].fields | {"steps": 6000, "checkpoint_every": 1000, "energy_lr": 5e-4},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Amortized:
    """Numbers of the flow that draws from the prior, and of the chain that refines its draws."""

    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "latent": 2, "flow_layers": 2, "flow_width": 8}

    refinement_steps: Natural = 10
    """Langevin steps from the flow's draws, before the prior learns from them; 0: none, as in the paper."""
    flow_layers: Count = 8
    """Couplings of the flow."""
    flow_width: Count = 64
    """Hidden units of each coupling."""
    flow_hidden: Count = 1
    """Hidden layers of each coupling."""
    flow_lr: Positive = 1e-3
    """Learning rate of the flow (Adam): a flow that lags behind the prior makes both oscillate."""

    def _amortized(self, plain: Algorithm, encoder: nn.Module) -> AmortizedLatentPrior:
        """The algorithm with the players of the plain method, an inference network and a flow."""
        assert isinstance(self, PriorChain)
        assert isinstance(plain, LatentPrior)
        assert isinstance(plain.prior, EBM)
        steps = self.refinement_steps
        return AmortizedLatentPrior(
            plain.prior, plain.generator, GaussianInference(encoder),
            CouplingFlow(self.latent, layers=self.flow_layers, width=self.flow_width, hidden=self.flow_hidden),
            prior_sampler=self.prior_sampler(), posterior_sampler=self.posterior_sampler(),
            refinement_sampler=Langevin(steps, self.prior_step_size) if steps else None,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AmortizedImages(Amortized, LatentPriorImages):
    """Latent-space EBM prior of images, amortized by an inference network and a flow."""

    kinds = ("image",)

    def algorithm(self) -> AmortizedLatentPrior:  # type: ignore[override]
        plain = super().algorithm()
        return self._amortized(plain, mlp_encoder(self.shape, self.latent, self.generator_width))


@dataclass(frozen=True, kw_only=True)
class AmortizedVectors(Amortized, LatentPriorVectors):
    """Latent-space EBM prior of vectors, amortized by an inference network and a flow."""

    kinds = ("toy",)

    flow_layers: Count = 12
    flow_width: Count = 32
    """Hidden units of each coupling; the inference network has twice as many."""
    flow_hidden: Count = 2
    inference_lr: Positive = 1e-3
    """Learning rate of the inference network (Adam)."""
    flow_lr: Positive = 3e-3

    def algorithm(self) -> AmortizedLatentPrior:  # type: ignore[override]
        plain, (dim,), width = super().algorithm(), self.shape, 2 * self.flow_width
        return self._amortized(plain, mlp([dim, width, width, 2 * self.latent], "silu"))

    def schedule(self, step: int) -> float:
        return half_cosine(step, self.steps)
