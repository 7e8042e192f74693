"""What the recipes of cycle-consistent cooperative networks share."""

from __future__ import annotations

from dataclasses import dataclass

from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm
from absynth.recipes._optimizers import linear_end
from absynth.recipes.bounds import Count, Decay, NonNegative, Positive, Share
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin


@dataclass(frozen=True, kw_only=True)
class CycleRecipe(Recipe):
    """Numbers of two EBMs, two translators and the chains between them."""

    teaching_weight: NonNegative = 1.0
    """Weight of MCMC teaching; 0 is cycle consistency alone."""
    cycle_weight: NonNegative = 10.0
    """Weight of cycle consistency."""
    chain_steps: Count = 20
    """Number of Langevin steps from a translation (K), in an update and in a sample."""
    chain_step_size: Positive = 0.1
    """Step size δ of x + (δ²/2)·score + δ√T·noise."""
    temperature: NonNegative = 1.0
    """Temperature T of the chains; 1 is unadjusted Langevin."""
    energy_lr: Positive = 5e-4
    """Learning rate of both energy networks (Adam)."""
    translator_lr: Positive = 5e-4
    """Learning rate of both translators (Adam)."""
    predictor_lr: Positive = 1e-3
    """Learning rate of both predictors of sequences (Adam)."""
    beta1: Decay = 0.5
    """Adam's β1, for every player."""
    final_share: Share = 0.5
    """Share of the updates, at the end, in which the learning rates fall to 0."""

    def sampler(self) -> Langevin:
        """The chains of both domains."""
        noise = None if self.temperature == 1 else self.chain_step_size * self.temperature**0.5
        return Langevin(self.chain_steps, self.chain_step_size, noise)

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        rates = {"ebm": self.energy_lr, "to": self.translator_lr, "rec": self.predictor_lr}
        betas = (self.beta1, 0.999)
        return {k: Adam(m.parameters(), rates[k.split("_")[0]], betas) for k, m in algorithm.named_children()}

    def schedule(self, step: int) -> float:
        return linear_end(step, self.steps, self.final_share)
