"""Diffusive classification: an energy-based model learned by guessing the noise level of an example.

arXiv:2601.21025 (diffusive classification), Yadin, Elata, Michaeli, "Classification Diffusion Models", NeurIPS 2024,
arXiv:2402.10095, and multi-level noise contrastive estimation (Rhodes, Xu, Gutmann, NeurIPS 2020).

    x_t = a_t x + s_t ε,  0 = s_0 < … < s_T = 1, t uniform on 0 … T
    L₁ = − E log softmax(f(x_t, ·))_t,  f(x, T) = 0                                        (1)
    L₂ =   E ‖s_t (∇f(x_t, t) − x_t) + ε‖²  over t with s_t > 0                            (2)

At the optimum of (1), f(x, t) = log p_t(x) − log p_T(x), and p_T is N(0, I), or in whitened coordinates a Gaussian of
the data: ℓ_0 = f(·, 0) + log p_T is the log density of the data, **normalized**, from one pass of f. |log Z| on
a grid or by annealed importance sampling is a check that is free. (2) is denoising score matching; a small weight of it
sharpens the scores.

* Neighbouring levels must overlap, or the classifier is right without knowing the density in between.
* Use smooth activations where the score is used (samples, or a weight of (2)).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from absynth.algorithms.diffused_density import DiffusedDensity
from absynth.algorithms.noise_levels import rows
from absynth.algorithms.score_matching import score_residual
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.gaussian import Gaussian
from absynth.networks.level_heads import LevelHeads
from absynth.samplers import Langevin
from absynth.seeding import uniform_like
from absynth.types import Batch, Rng


class DiffusiveClassification(DiffusedDensity):
    """Player: ``ebm``.

    Args:
        f: f(x, t) of all levels t < T in one pass.
        reference: p_T, N(0, I) over the event or a Gaussian of the data.
        noise: s_0 … s_{T−1}; start at 0 for the density of the data themselves.
        sampler: K Langevin steps at each level, for samples.
        copies: Number of levels at which each example is used in an update.
        score_weight: Weight of (2) beside (1); 0 learns by classification alone, without second derivatives.

    Raises:
        InputError: ``copies`` is not positive or ``score_weight`` is negative.
    """

    def __init__(
        self,
        f: LevelHeads,
        reference: StandardNormal | Gaussian,
        *,
        noise: Sequence[float],
        sampler: Langevin,
        copies: int = 1,
        score_weight: float = 0.0,
    ) -> None:
        super().__init__(f, reference, noise=noise, sampler=sampler)
        if copies < 1 or score_weight < 0:
            raise InputError(
                f"expected copies of at least 1 and a score_weight of at least 0, got {copies} and {score_weight:g}"
            )
        self.f = [f]  # not registered again: it is a part of ``ebm``
        self.copies = copies
        self.score_weight = score_weight

    def logits(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b classes"]:
        """f(x, t) for t = 0 … T: log odds of each level against the last, at ``x`` as :meth:`diffuse` returns it."""
        f = self.f[0].at_all_levels(x)
        return torch.cat([f, torch.zeros_like(f[:, :1])], 1)

    def draw_levels(self, x: Tensor, rng: Rng) -> Int[Tensor, "b"]:
        """One level for each example, all of them equally often (up to one) in every batch."""
        shift = int((self.levels + 1) * float(uniform_like(x.new_empty(1), rng)))
        return (torch.arange(len(x), device=x.device) + shift) % (self.levels + 1)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x = batch.x.repeat_interleave(self.copies, 0)
        t = self.draw_levels(x, rng)
        x_t, noise = self.diffuse(x, t, rng=rng)
        loss = nn.functional.cross_entropy(self.logits(x_t), t)  # (1)
        if self.score_weight:
            some = ((t < self.levels) & (self.noise[t] > 0)).nonzero()[:, 0]
            s = rows(self.noise[t[some]], x)
            residual = score_residual(self.ebm(t[some]).log_density, x_t[some], noise[some], s)
            loss = loss + self.score_weight * residual.mean()  # (2)
        return {"ebm": loss}

    def explain_metrics(self) -> dict[str, str]:
        return {"ebm": "is the cross entropy of guessing the noise level, in nats: it levels off above 0"}
