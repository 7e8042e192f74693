"""Cooperative diffusion recovery: an initializer proposes at each noise level, Langevin steps refine, both learn.

Zhu, Xie, Wu, Gao, "Learning Energy-Based Models by Cooperative Diffusion Recovery Likelihood", ICLR 2024,
arXiv:2309.05153. The notation is that of :mod:`absynth.algorithms.diffusion_recovery`.

    ŷ_t = G(x_{t+1}, t)
    y⁻  = K Langevin steps on p(y_t | x_{t+1}) from ŷ_t                                     (1)
    EBM:         E f(y⁻, t) − E f(y⁺, t), weighted as in diffusion recovery                 (2)
    initializer: E ‖G(x_{t+1}, t) − y⁻‖² / 2σ_{t+1}²                                        (3)

Diffusion recovery is the case ŷ_t = x_{t+1}. A proposal near p(y_t | x_{t+1}) leaves less for the chain to do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from absynth.algorithms.chain import Projection
from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.algorithms.noise_levels import StepSchedule, rows
from absynth.distributions import sum_event
from absynth.samplers import Langevin
from absynth.seeding import noise_like, uniform_like
from absynth.types import Batch, Reference, Rng


class CooperativeRecovery(DiffusionRecovery):
    """Players: ``ebm`` and ``initializer``.

    Args:
        net: f(y, t), ``([b, *event], [b]) -> [b]``.
        initializer: G(x_{t+1}, t), ``([b, *event], [b]) -> [b, *event]``.
        reference: N(0, I) over the event.
        noise: s̄_0 < … < s̄_{T−1} < 1.
        sampler: K steps of b = s_t / u_t.
        step_schedule: The unit u_t of the step size.
        proposal_noise: Standard deviation of the noise added to a proposal, in units of u_t. The initializer predicts a
            mean; without noise its chains start too near each other.
    """

    def __init__(
        self,
        net: nn.Module,
        initializer: nn.Module,
        reference: Reference,
        *,
        noise: Sequence[float],
        sampler: Langevin,
        step_schedule: StepSchedule = "level",
        proposal_noise: float = 0.0,
    ) -> None:
        super().__init__(net, reference, noise=noise, sampler=sampler, step_schedule=step_schedule)
        self.initializer = initializer
        self.proposal_noise = proposal_noise

    def propose(self, x_next: Tensor, t: Int[Tensor, "b"], *, rng: Rng) -> Tensor:
        """ŷ_t, with the noise of proposals."""
        with torch.no_grad():
            y = self.initializer(x_next, t)
        return y + self.proposal_noise * rows(self.unit[t], y) * noise_like(y, rng) if self.proposal_noise else y

    def synthesize(self, x_next: Tensor, t: Int[Tensor, "b"], project: Projection | None = None, *, rng: Rng) -> Tensor:
        """y⁻ ~ p(y_t | x_{t+1}), by (1); given an observation of y_t too, if ``project`` projects onto one."""
        with torch.inference_mode(False), torch.no_grad():  # what the log density holds must serve autograd
            x_next, t = x_next.clone(), t.clone()
            recovery, unit = self.recovery(x_next, t), rows(self.unit[t], x_next)
            given = recovery if project is None else lambda y: recovery(project(y))
            start = self.propose(x_next, t, rng=rng) / unit
            u = self.run_chain("ebm", self.sampler, lambda u: given(unit * u), start, rng=rng)
            return unit * u if project is None else project(unit * u)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x = batch.x
        t = (self.levels * uniform_like(x.new_empty(len(x)), rng)).long().clamp(max=self.levels - 1)
        y_pos, x_next = self.diffuse(x, t, rng=rng)
        y_neg = self.synthesize(x_next, t, rng=rng)
        f = self.ebm(t).f
        weight = (self.unit * self.sampler.step_size)[t] ** 2 * self.width[0] / self.width[t]
        error = sum_event((self.initializer(x_next, t) - y_neg) ** 2) / (2 * self.width[t] ** 2)
        return {
            "ebm": (weight * (f(y_neg) - f(y_pos))).mean(),  # (2)
            "initializer": error.mean(),  # (3)
        }

    def explain_metrics(self) -> dict[str, str]:
        return super().explain_metrics() | {
            "initializer": "is its squared distance to the refined samples, in units of the noise: it should fall"
        }
