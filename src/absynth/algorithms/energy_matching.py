"""Energy matching: one energy that carries noise to the data as a flow does, and is a log density among the data.

Balcerak, Amiranashvili, Terpin, Shit, Kaltenbach, Koumoutsakos, Menze, "Energy Matching: Unifying Flow Matching and
Energy-Based Models for Generative Modeling", NeurIPS 2025, arXiv:2504.10612.

    V = −ε ℓ,  x_t = (1 − t) x₀ + t x₁,  x₀ ~ p_0 and data x₁ paired by optimal transport within the batch
    L₁ = E w(t) ‖−∇V(x_t) − (x₁ − x₀)‖²,  w = 1 up to t = gate, falling to 0 at t = 1                  (1)
    L₂ = E V(x₁) − E V(x⁻),  x⁻ by Langevin dynamics on ℓ from p_0 and from the data, half each        (2)

The first share of the updates minimizes (1), the rest (1) + λ (2). Far from the data −∇V is then the velocity of
optimal transport; at the data V / ε = −ℓ is an energy. Time t is a number of steps: a step of δ on ℓ is one of dt = δ²
/ 2ε on V, so a sweep of K steps without noise from p_0 covers the time K dt, which must reach 1.

* exp(ℓ) is a density after the second phase alone; the flow and ε fix its scale.
* (1) differentiates a score: activations must be smooth. The pairing costs O(b³).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from absynth.algorithms.algorithm import ENERGY_DIFFERENCE
from absynth.algorithms.data_density import DataDensity
from absynth.algorithms.noise_levels import rows
from absynth.algorithms.score_matching import differentiable_score
from absynth.density import EBM
from absynth.distributions import sum_event
from absynth.errors import InputError
from absynth.samplers import Langevin
from absynth.samplers.ramped import RampedLangevin
from absynth.seeding import noise_like, uniform_like
from absynth.types import Batch, Rng


def transport_pairs(x0: Float[Tensor, "b *event"], x1: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
    """x0 in the order that minimizes Σ ‖x0_i − x1_i‖²: optimal transport between two sets of b examples."""
    cost = torch.cdist(x1.flatten(1).double(), x0.flatten(1).double()).square()
    order = linear_sum_assignment(cost.cpu().numpy())[1]
    return x0[torch.as_tensor(order, device=x0.device)]


class EnergyMatching(DataDensity):
    """Player: ``ebm``.

    Args:
        ebm: p_θ(x), with smooth activations; its reference is the noise x₀.
        temperature: ε, the scale of V = −ε ℓ.
        sampler: The sweep from p_0 that draws samples and half of x⁻.
        data_sampler: Steps from the data, the other half of x⁻.
        flow_share: Share of the updates that minimize (1) alone.
        contrast_weight: λ.
        gate: Time up to which (1) has weight 1.
        data_noise: Standard deviation of noise added to the data.

    Raises:
        InputError: A number is out of its range.
    """

    def __init__(
        self,
        ebm: EBM,
        *,
        temperature: float,
        sampler: RampedLangevin,
        data_sampler: Langevin,
        flow_share: float = 0.3,
        contrast_weight: float = 1.0,
        gate: float = 0.8,
        data_noise: float = 0.0,
    ) -> None:
        super().__init__(ebm, sampler=sampler)
        if not (temperature > 0 and 0 <= flow_share <= 1 and contrast_weight >= 0 and 0 <= gate < 1):
            raise InputError(
                "expected temperature > 0, flow_share in [0, 1], contrast_weight >= 0 and gate in [0, 1), got "
                f"{temperature:g}, {flow_share:g}, {contrast_weight:g} and {gate:g}"
            )
        self.data_sampler = data_sampler
        self.temperature = temperature
        self.flow_share = flow_share
        self.contrast_weight = contrast_weight
        self.gate = gate
        self.data_noise = data_noise
        self.contrastive = flow_share == 0

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, data_sampler={self.data_sampler}\ntemperature={self.temperature:g}, "
            f"flow_share={self.flow_share:g}, contrast_weight={self.contrast_weight:g}, gate={self.gate:g}"
        )

    def samplers(self):
        return {**super().samplers(), "data_sampler": self.data_sampler}

    def set_progress(self, share: float) -> None:
        self.contrastive = share >= self.flow_share

    def flow_loss(self, x: Tensor, *, rng: Rng) -> Float[Tensor, ""]:
        """(1)."""
        x0 = transport_pairs(self.ebm.reference.sample(len(x), rng), x)
        time = uniform_like(x.new_empty(len(x)), rng)
        t = rows(time, x)
        _, gradient = differentiable_score(self.ebm().log_density, (1 - t) * x0 + t * x)
        weight = ((1 - time) / (1 - self.gate)).clamp(max=1)
        return (weight * sum_event((self.temperature * gradient - (x - x0)) ** 2)).mean()

    def synthesize(self, x: Tensor, *, rng: Rng) -> Tensor:
        """x⁻ ``[b, *event]``: one half by the sweep from p_0, the other by steps from the data."""
        log_density, half = self.ebm().log_density, len(x) // 2
        near = self.run_chain("ebm", self.data_sampler, log_density, x[half:], rng=rng)
        if not half:
            return near
        far = self.run_chain("ebm", self.sampler, log_density, self.ebm.reference.sample(half, rng), rng=rng)
        return torch.cat([far, near])

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x = batch.x + self.data_noise * noise_like(batch.x, rng) if self.data_noise else batch.x
        loss = self.flow_loss(x, rng=rng)
        if self.contrastive:
            x_neg = self.synthesize(x, rng=rng)
            f = self.ebm().log_density
            contrast = self.temperature * (f(x_neg).mean() - f(x).mean())
            loss = loss + self.contrast_weight * contrast  # (1) + λ (2)
        return {"ebm": loss}

    def explain_metrics(self) -> dict[str, str]:
        return {
            "ebm": f"is the flow's squared error, then with λε times the energy difference, which {ENERGY_DIFFERENCE}"
        }
