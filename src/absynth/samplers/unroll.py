"""The short run as a function: K Langevin steps that can be differentiated.

Every other chain here leaves no graph behind. This one does: with its noise fixed, the map x_K = M(z, ε_1 … ε_K) of

    x_{t+1} = x_t + (δ²/2) ∇ log p(x_t) + τ ε_t

is a generator with z as its latent vector (Nijkamp et al. 2019, arXiv:1904.09770, section 4): its noise can be
interpolated, and a picture x reconstructed by descending ‖x − M(z)‖². The gradient through the last step alone is what
improved contrastive divergence needs (Du et al. 2021).

The states are those of the sampler bit for bit, and only they are kept: the backward pass goes through ∇ log p anew,
step by step, so memory grows by one state a step and not by one network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.density import score
from absynth.distributions import sum_event
from absynth.errors import InputError
from absynth.samplers.langevin import Langevin
from absynth.seeding import noise_like
from absynth.types import LogDensity, Rng


class _Score(torch.autograd.Function):
    """x ↦ ∇_x log p(x), whose own derivative is the Hessian times a vector, computed on demand."""

    @staticmethod
    def forward(ctx, x: Tensor, log_density: LogDensity, *parameters: Tensor) -> Tensor:  # type: ignore[override]
        ctx.log_density = log_density
        ctx.save_for_backward(x, *parameters)
        return score(log_density, x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, v: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, *parameters = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(ctx.log_density(x).sum(), x, create_graph=True)
            if not gradient.requires_grad:  # log p is linear in x and in its parameters: the score is a constant
                return torch.zeros_like(x), None, *[None] * len(parameters)
            found = torch.autograd.grad(gradient, [x, *parameters], v, allow_unused=True)
        return found[0], None, *found[1:]


def noise_tape(sampler: Langevin, x: Float[Tensor, "b *event"], *, rng: Rng) -> Float[Tensor, "steps b *event"]:
    """ε_1 … ε_K, in the order in which the sampler itself would draw them from ``rng``."""
    return torch.stack([noise_like(x, rng) for _ in range(sampler.steps)])


def unroll(
    sampler: Langevin,
    log_density: LogDensity,
    x: Float[Tensor, "b *event"],
    noise: Float[Tensor, "steps b *event"],
    parameters: Sequence[Tensor] = (),
) -> Float[Tensor, "b *event"]:
    """M(x, noise): the sampler's chain with the autograd graph from x, the noise and ``parameters`` to its end.

    Args:
        sampler: Langevin of K steps.
        log_density: of the target.
        x: first states.
        noise: the K draws, of standard deviation 1 (:func:`noise_tape`); zeros run it without noise.
        parameters: those of ``log_density`` that the result shall be differentiated with respect to; all others are
            constants, whether they ask for a gradient or not.

    Raises:
        InputError: ``noise`` has not one entry a step.

    >>> from absynth.seeding import stream
    >>> p, x = lambda x: -0.5 * (x**2).sum(1), torch.ones(1, 2)
    >>> move = Langevin(3, 0.5)
    >>> tape = noise_tape(move, x, rng=stream(0))
    >>> torch.equal(unroll(move, p, x, tape), move(p, x, rng=stream(0)))
    True
    """
    if len(noise) != sampler.steps:
        raise InputError(
            f"noise must have one entry for each of the {sampler.steps} steps, got {len(noise)}: noise_tape draws it"
        )
    drift = 0.5 * sampler.step_size**2
    noise_scale = sampler.step_size if sampler.noise_scale is None else sampler.noise_scale
    for epsilon in noise:
        x = torch.add(x, _Score.apply(x, log_density, *parameters), alpha=drift)  # type: ignore[arg-type]
        if noise_scale > 0:
            x = x.add(epsilon, alpha=noise_scale)
    return x


def interpolate_normal(
    a: Float[Tensor, "b *event"], b: Float[Tensor, "b *event"], ratio: float
) -> Float[Tensor, "b *event"]:
    """ρ a + √(1 − ρ²) b: for a, b ~ N(0, s² I) again N(0, s² I), whatever the ratio ρ in [0, 1].

    A straight line would pass through vectors shorter than any that the short run has seen.
    """
    return ratio * a + math.sqrt(1.0 - ratio**2) * b


def interpolate_uniform(
    a: Float[Tensor, "b *event"], b: Float[Tensor, "b *event"], ratio: float, low: float = -1.0, high: float = 1.0
) -> Float[Tensor, "b *event"]:
    """The same for a, b uniform on a box: they are taken to normal variables, interpolated, and taken back."""
    edge = torch.finfo(a.dtype).eps  # a draw may be ``low`` itself, whose normal variable is infinite

    def normal(x: Tensor) -> Tensor:
        return torch.special.ndtri(((x - low) / (high - low)).clamp(edge, 1 - edge))

    return low + (high - low) * torch.special.ndtr(interpolate_normal(normal(a), normal(b), ratio))


def reconstruct(
    generate: Callable[[Tensor], Tensor], x: Float[Tensor, "b *event"], z: Tensor, steps: int = 200, rate: float = 0.05
) -> Tensor:
    """argmin_z ‖x − M(z)‖², each row its own, by Adam.

    Args:
        generate: M, for instance ``lambda z: unroll(sampler, log_density, z, noise)``.
        x: what to reconstruct.
        z: where the descent begins.
        steps: of Adam.
        rate: of Adam; it falls to 0 linearly.

    Returns:
        z, without a graph: ``generate(z)`` is the reconstruction.
    """
    z = z.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=rate)
    with torch.enable_grad():
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
            (z.grad,) = torch.autograd.grad(sum_event((x - generate(z)) ** 2).sum(), z)
            optimizer.step()
    return z.detach()
