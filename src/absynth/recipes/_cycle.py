"""What the recipes of cycle-consistent cooperative networks share."""

from __future__ import annotations

from dataclasses import dataclass

from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm
from absynth.recipes._fields import FinalShare, TemperedChain
from absynth.recipes.bounds import Count, NonNegative, Positive, Share
from absynth.recipes.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class CycleRecipe(FinalShare, TemperedChain, Recipe):
    """Numbers of two EBMs, two translators and the chains between them."""

    teaching_weight: NonNegative = 1.0
    """Weight of MCMC teaching; 0 is cycle consistency alone."""
    cycle_weight: NonNegative = 10.0
    """Weight of cycle consistency."""
    chain_steps: Count = 20
    chain_step_size: Positive = 0.1
    temperature: NonNegative = 1.0
    energy_lr: Positive = 5e-4
    translator_lr: Positive = 5e-4
    """Learning rate of both translators (Adam)."""
    predictor_lr: Positive = 1e-3
    """Learning rate of both predictors of sequences (Adam)."""
    final_share: Share = 0.5

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        rates = {"ebm": self.energy_lr, "to": self.translator_lr, "rec": self.predictor_lr}
        betas = (self.beta1, 0.999)
        return {k: Adam(m.parameters(), rates[k.split("_")[0]], betas) for k, m in algorithm.named_children()}
