"""What recipes of cycle-consistent cooperative networks share."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.optim import Adam, Optimizer

from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin


@dataclass(frozen=True, kw_only=True)
class CycleRecipe(Recipe):
    """Numbers of two EBMs, two translators and the chains between them."""

    teach: float = 1.0
    """Weight of teaching; 0 is cycle consistency alone."""
    cycle: float = 10.0
    """Weight of cycle consistency."""
    chain_steps: int = 20
    """K, Langevin steps from a translation, in an update and in a sample."""
    step_size: float = 0.1
    """δ of x + (δ²/2)·score + δ√T·noise."""
    temperature: float = 1.0
    """T, the temperature of the chains; 1 is true Langevin."""
    ebm_lr: float = 5e-4
    """Adam's rate for both f."""
    translator_lr: float = 5e-4
    """Adam's rate for both translators."""
    predictor_lr: float = 1e-3
    """Adam's rate for both predictors, where there are sequences."""
    beta1: float = 0.5
    """Adam's first β, for every player."""
    decay: float = 0.5
    """Share of the updates, at the end, in which the rates fall to 0."""

    def sampler(self) -> Langevin:
        """The chains of both domains."""
        noise = None if self.temperature == 1 else self.step_size * self.temperature**0.5
        return Langevin(self.chain_steps, self.step_size, noise)

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        rates = {"ebm": self.ebm_lr, "to": self.translator_lr, "rec": self.predictor_lr}
        betas = (self.beta1, 0.999)
        return {k: Adam(m.parameters(), rates[k.split("_")[0]], betas) for k, m in algorithm.named_children()}

    def schedule(self, step: int) -> float:
        return min(1.0, (self.steps - step) / max(self.decay * self.steps, 1.0))
