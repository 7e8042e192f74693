"""The amortized latent EBM prior on MNIST: pictures are inferred and drawn in one pass each, without a chain.

The networks of latent_prior_mnist, with a fully connected q(z|x) and a coupling flow beside them (Pang et al. 2020,
section 2.6, gives no numbers). A few steps revise the flow's draws before the prior learns from them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn
from torch.optim import Adam, Optimizer

from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.distributions import GaussianInference
from absynth.networks.encoder import mlp_encoder
from absynth.networks.flow import CouplingFlow
from absynth.recipes.latent_prior_mnist import LatentPriorMNIST
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin


@dataclass(frozen=True, kw_only=True)
class AmortizedLatentPriorMNIST(LatentPriorMNIST):
    """Latent-space EBM prior on MNIST, amortized by an inference network and a flow."""

    revision_steps: int = 10
    """Langevin steps from the flow's draws, before the prior learns from them; 0: none, as in the paper."""
    layers: int = 8
    """Couplings of the flow."""
    width: int = 64
    """Hidden units of each coupling."""
    prior_lr: float = 2e-4
    inference_lr: float = 1e-3
    """Adam's rate for the inference network."""
    flow_lr: float = 1e-3
    """Adam's rate for the flow."""

    def algorithm(self) -> AmortizedLatentPrior:
        plain = super().algorithm()
        shape = (self.channels, self.size, self.size)
        return AmortizedLatentPrior(
            plain.prior,
            plain.generator,
            GaussianInference(mlp_encoder(shape, self.latent, self.ngf)),
            CouplingFlow(self.latent, layers=self.layers, width=self.width),
            prior_sampler=plain.prior_sampler,
            posterior_sampler=plain.posterior_sampler,
            revision=Langevin(self.revision_steps, self.prior_step_size) if self.revision_steps else None,
        )

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        rates = {"inference": self.inference_lr, "flow": self.flow_lr}
        betas = (self.beta1, 0.999)
        more = {k: Adam(algorithm.get_submodule(k).parameters(), lr, betas) for k, lr in rates.items()}
        return super().optimizers(algorithm) | more

    def tiny(self) -> Recipe:
        return replace(super().tiny(), layers=2, width=8)  # type: ignore[type-var]
