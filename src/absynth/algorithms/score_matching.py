"""Score matching: an energy-based model learned from its score ∇ℓ = ∇f + ∇log p_0, without chains.

Vincent, "A Connection Between Score Matching and Denoising Autoencoders", Neural Computation 2011; Song, Garg, Shi,
Ermon, "Sliced Score Matching", UAI 2019, arXiv:1905.07088; Song and Ermon, NeurIPS 2019, arXiv:1907.05600 (several
levels).

    x̃ = x + σ ε:     L = ½ E ‖σ ∇ℓ(x̃) + ε‖²                                     denoising          (1)
    x_t = a_t x + s_t ε, t uniform:  L = ½ E ‖s_t ∇ℓ(x_t, t) + ε‖²               several levels     (2)
    v of ±1:         L = E [½ ‖∇ℓ(x)‖² + vᵀ∇(vᵀ∇ℓ(x))]                           sliced             (3)

* All three differentiate a score, so activations must be smooth (SiLU, GELU, tanh).
* A score knows the shares of well separated modes only through the little mass between them, so these shares come out
  wrong by tens of per cent: use it as a baseline, or as the start of a method that compares log densities.
* (1) learns the density of the data with noise σ.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.algorithms.data_density import DataDensity
from absynth.algorithms.diffused_density import DiffusedDensity
from absynth.algorithms.noise_levels import rows
from absynth.density import EBM
from absynth.distributions import StandardNormal, sum_event
from absynth.errors import InputError
from absynth.samplers import Langevin
from absynth.seeding import noise_like, uniform_like
from absynth.types import Batch, LogDensity, Rng, Sampler

DENOISING = "is half the squared error of the noise that the score predicts, summed over an example: it should fall"


def differentiable_score(log_density: LogDensity, x: Float[Tensor, "b *event"]) -> tuple[Tensor, Tensor]:
    """``(x, ∇ℓ(x))`` with the graph of both, so that the score can be learned."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(log_density(x).sum(), x, create_graph=True)
    return x, gradient


def score_residual(log_density: LogDensity, x: Tensor, noise: Tensor, std: Tensor | float) -> Float[Tensor, "b"]:
    """½ ‖std ∇ℓ(x) + noise‖² of each noisy example."""
    _, gradient = differentiable_score(log_density, x)
    return 0.5 * sum_event((std * gradient + noise) ** 2)


class DenoisingScoreMatching(DataDensity):
    """Player: ``ebm``.

    Args:
        ebm: p_θ(x|c), with smooth activations.
        noise: σ, well below the narrowest structure of the data.
        sampler: Run from p_0 by ``sample``; learning needs none.

    Raises:
        InputError: ``noise`` is not positive.
    """

    def __init__(self, ebm: EBM, *, noise: float, sampler: Sampler, sample_rounds: int = 1) -> None:
        super().__init__(ebm, sampler=sampler, sample_rounds=sample_rounds)
        if not noise > 0:
            raise InputError(f"expected a positive standard deviation of the noise, got {noise:g}: try 0.1")
        self.noise = noise

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        noise = noise_like(batch.x, rng)
        residual = score_residual(self.ebm(batch.c).log_density, batch.x + self.noise * noise, noise, self.noise)
        return {"ebm": residual.mean()}  # (1)

    def explain_metrics(self) -> dict[str, str]:
        return {"ebm": DENOISING}


class SlicedScoreMatching(DataDensity):
    """Player: ``ebm``.

    Args:
        ebm: p_θ(x|c), with smooth activations.
        sampler: Run from p_0 by ``sample``; learning needs none.
        slices: Number of directions v for each example.

    Raises:
        InputError: ``slices`` is not positive.
    """

    def __init__(self, ebm: EBM, *, sampler: Sampler, slices: int = 1, sample_rounds: int = 1) -> None:
        super().__init__(ebm, sampler=sampler, sample_rounds=sample_rounds)
        if slices < 1:
            raise InputError(f"expected one slice or more, got {slices}")
        self.slices = slices

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, gradient = differentiable_score(self.ebm(batch.c).log_density, batch.x)
        loss = 0.5 * sum_event(gradient**2)
        for _ in range(self.slices):
            v = torch.where(uniform_like(x, rng) < 0.5, -1.0, 1.0).to(x.dtype)
            (curvature,) = torch.autograd.grad((gradient * v).sum(), x, create_graph=True)
            loss = loss + sum_event(curvature * v) / self.slices
        return {"ebm": loss.mean()}  # (3)

    def explain_metrics(self) -> dict[str, str]:
        return {"ebm": "is half the squared score plus its divergence: it falls below 0 as the score is learned"}


class MultilevelScoreMatching(DiffusedDensity):
    """Player: ``ebm``, with f conditioned on the noise level.

    Args:
        f: f(x, t), ``([b, *event], [b]) -> [b]``, with smooth activations.
        reference: N(0, I) over the event.
        noise: s_0 … s_{T−1}; s_0 is above 0 and well below the narrowest structure of the data.
        sampler: K Langevin steps at each level, for samples.

    Raises:
        InputError: ``noise`` does not rise from above 0 to below 1.
    """

    def __init__(self, f: nn.Module, reference: StandardNormal, *, noise: Sequence[float], sampler: Langevin) -> None:
        super().__init__(f, reference, noise=noise, sampler=sampler)
        if not noise[0] > 0:
            raise InputError(f"denoising needs noise at every level, got {list(noise)}: start above 0")

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x = batch.x
        t = (self.levels * uniform_like(x.new_empty(len(x)), rng)).long().clamp(max=self.levels - 1)
        x_t, noise = self.diffuse(x, t, rng=rng)
        residual = score_residual(self.ebm(t).log_density, x_t, noise, rows(self.noise[t], x))
        return {"ebm": residual.mean()}  # (2)

    def explain_metrics(self) -> dict[str, str]:
        return {"ebm": DENOISING}
