"""What the recipes of text and molecules share: a posterior of fixed rate, clipping, a last stretch for the prior."""

from __future__ import annotations

from dataclasses import dataclass

from torch.optim import Optimizer

from absynth.algorithms import Algorithm
from absynth.distributions import GaussianInference
from absynth.networks.recurrent import RecurrentEncoder
from absynth.recipes._teaching import clip_gradients
from absynth.recipes.bounds import Decay, NonNegative
from absynth.recipes.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class SequenceRecipe(Recipe):
    """How a latent prior of sequences is trained so that an LSTM does not ignore z, at no cost in likelihood."""

    share: Decay = 0.0
    """Share γ of z's standard deviation that x decides, in q(z|x) = N(γ·BN(m(x)), (1 − γ²) I). The KL of q to N(0, I)
    is then −½ log(1 − γ²) nats a coordinate, whatever is learned; 0: q as the paper has it."""
    prior_after: Decay = 0.0
    """Share of the updates in which the prior is N(0, I) and does not learn yet, which saves its chain."""
    prior_alone: Decay = 0.0
    """Share of the updates, at the end, in which the prior learns alone, from the final q(z|x)."""
    clip: NonNegative = 0.0
    """Largest gradient norm of the generator and of the inference network; 0 does not clip."""

    def posterior_network(self, size: int, *, embedding: int, hidden: int, latent: int) -> GaussianInference:
        """q(z|x), freshly initialized, for sequences of so many different tokens."""
        out = latent if self.share else 2 * latent
        net = RecurrentEncoder(size, embedding=embedding, hidden=hidden, out=out)
        return GaussianInference(net, share=self.share, latent=latent)

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        found = super().optimizers(algorithm)
        if self.clip:
            clip_gradients(found, {"generator": self.clip, "inference": self.clip})
        return found

    def joint_updates(self) -> int:
        """Number of updates in which all players learn."""
        return self.steps - int(self.prior_alone * self.steps)

    def rate(self, step: int, player: str) -> float:
        """The schedule over the joint updates; the prior's rate stays up there, and falls to 0 in its own stretch."""
        joint = self.joint_updates()
        if player == "prior" and (self.prior_after or joint < self.steps):
            end = (self.steps - step) / max(self.steps - joint, 1)
            return float(step >= int(self.prior_after * self.steps)) * min(end, 1.0)
        return self.schedule(step * self.steps // joint) if step < joint else 0.0
