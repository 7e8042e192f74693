"""Models that draw through several levels: their finest density as a chain, and completions through all levels.

A ladder of noise (diffusion recovery) and a pyramid of resolutions (multi-grid, coarse to fine) draw a picture by a
chain a level, each from where the one before it ended. Two things can be asked of them besides samples:

* the density of the finest level, as any EBM's: level 0 of a ladder, in the picture's own units, which is a law of the
  data with the little noise of that level; the finest grid of a pyramid. Chains on it begin where the coarser levels
  end, so a chain of the trained length draws as the model does, but for the ladder's recovery term.
* pictures that agree with an observation. A ladder is told at every level what was seen, with that level's noise; a
  pyramid what can be seen of it at that resolution. The last chain is on the finest density given the observation, so
  with its length the law becomes the conditional one; all before it is a start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from absynth.algorithms import Algorithm
from absynth.algorithms.coarse_to_fine import CoarseToFine
from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.algorithms.multigrid import MultiGrid
from absynth.density import Density
from absynth.distributions import Uniform
from absynth.errors import InputError
from absynth.samplers import Langevin
from absynth.samplers.multiscale import coarsen, refine
from absynth.seeding import noise_like
from absynth.types import Rng, Sampler

Fill = Callable[[Tensor], Tensor]
"""``x [b, *event]`` to the nearest point that agrees with what was observed of each row."""


@dataclass(frozen=True)
class Origin:
    """Where chains on the finest density begin: what ``draw(n, rng)`` makes of the coarser levels."""

    draw: Callable[[int, Rng], Tensor]

    def sample(self, n: int, rng: Rng) -> Tensor:
        """First states of n chains."""
        return self.draw(n, rng)

    def log_prob(self, x: Tensor) -> Tensor:
        """Unknown: these are ends of chains."""
        raise InputError("the law of the coarser levels' chains has no density that could be computed")


def finest(model: Algorithm) -> tuple[Density, Origin, Sampler] | None:
    """The density of a model's finest level, where chains on it begin, and their sampler; None for other models.

    Raises:
        InputError: a coarse-to-fine model that has not grown to its finest resolution.
    """
    if isinstance(model, DiffusionRecovery):
        return _ladder(model)
    if isinstance(model, MultiGrid):
        size, last = model.sizes[-1], len(model.sizes) - 1

        def from_coarser(n: int, rng: Rng) -> Tensor:
            if not last:
                raise InputError("a pyramid of one grid has no coarser one to begin at: train one of two or more")
            coarser = model.synthesize(model.histogram.sample(n, rng), last, rng=rng)
            return refine(coarser[-1].clamp(-1, 1), size)

        return model.get_submodule(f"ebm_{last}")(), Origin(from_coarser), getattr(model, f"sampler_{last}")
    if isinstance(model, CoarseToFine):
        last = len(model.sizes) - 1
        if int(model.grown) < last:
            raise InputError(
                f"the model has grown to {model.sizes[int(model.grown)]} pixels a side, its finest density is that of "
                f"{model.sizes[last]}: go on with the training"
            )

        def from_stage(n: int, rng: Rng) -> Tensor:
            coarser = model.synthesize(n, last - 1, rng=rng) if last else model.ebm.reference.sample(n, rng)
            return refine(coarser.clamp(-1, 1), model.sizes[-1])

        return model.ebm(), Origin(from_stage), getattr(model, f"sampler_{last}")
    return None


def _ladder(model: DiffusionRecovery) -> tuple[Density, Origin, Sampler]:
    """p_0(y) with y = a x: log p(x) = log p_0(a x) up to a constant, and a step of s in y is one of s / a in x."""
    a = float(model.shrink[0] * model.signal[0])

    def f(x: Tensor) -> Tensor:
        return model.ebm(torch.zeros(len(x), dtype=torch.long, device=x.device)).log_density(a * x)

    first = model.ebm.reference.sample(1, torch.Generator(model.signal.device).manual_seed(0))
    flat = Uniform(*first.shape[1:]).to(first)
    step = float(model.unit[0]) * model.sampler.step_size / a
    origin = Origin(lambda n, rng: model.descend(n, 1, rng=rng) / a)
    return Density(f, flat), origin, Langevin(model.sampler.steps, step)


def complete(model: Algorithm, fill: Fill, n: int, steps: int = 0, *, rng: Rng) -> Tensor | None:
    """n examples that agree with an observation, through all of a model's levels; None for models without levels.

    Args:
        model: the model.
        fill: the observation.
        n: rows of the observation.
        steps: length of the last chain; 0 is as in the run.
        rng: source of randomness, a stream a row if wanted.
    """
    found = finest(model)
    if found is None:
        return None
    density, _, last = found
    last = replace(last, steps=steps) if steps else last  # type: ignore[type-var]
    if isinstance(model, DiffusionRecovery):
        x = model.descend(n, 0, _seen(model, fill, model.ebm.reference.sample(n, rng), rng), rng=rng)
        return fill(last(_given(density, fill), fill(x / model.signal[0]), rng=rng))
    sizes: tuple[int, ...] = model.sizes  # type: ignore[assignment]
    if isinstance(model, MultiGrid):
        x = refine(model.histogram.sample(n, rng), sizes[0])
        x = x + model.start_noise * noise_like(x, rng)
        densities = [model.get_submodule(f"ebm_{s}")() for s in range(len(sizes))]
    else:
        x = model.ebm.reference.sample(n, rng)  # type: ignore[union-attr,operator]
        densities = [density] * len(sizes)
    samplers = [*(getattr(model, f"sampler_{s}") for s in range(len(sizes) - 1)), last]
    for s, size in enumerate(sizes):
        at = _coarse(fill, size, sizes[-1])
        x = at(refine(x.clamp(-1, 1) if s else x, size))
        x = at(samplers[s](_given(densities[s], at), x, rng=rng))
    return x


def _given(density: Density, fill: Fill) -> Callable[[Tensor], Tensor]:
    return lambda x: density.log_density(fill(x))


def _coarse(fill: Fill, size: int, whole: int) -> Fill:
    """What can be seen of an observation at a coarser resolution: block means of the nearest agreeing picture."""
    return lambda x: coarsen(fill(refine(x, whole)), size)


def _seen(model: DiffusionRecovery, fill: Fill, like: Tensor, rng: Rng) -> list[Fill]:
    """The observation of each y_t = a_{t+1} (ᾱ_t x + s̄_t ε_t): that of x, diffused along one path of noise."""
    fills, noise = [], noise_like(like, rng)
    for t in range(model.levels):
        a, s = model.shrink[t] * model.signal[t], model.shrink[t] * model.noise[t]
        seen = noise - fill(noise) + fill(torch.zeros_like(noise))  # ε_t's part in what was observed
        fills.append(lambda y, a=a, s=s, seen=seen: a * fill(y / a) + s * seen)
        if t + 1 < model.levels:  # s̄_{t+1} ε_{t+1} = a_{t+1} s̄_t ε_t + σ_{t+1} ε
            noise = (s * noise + model.width[t] * noise_like(like, rng)) / model.noise[t + 1]
    return fills
