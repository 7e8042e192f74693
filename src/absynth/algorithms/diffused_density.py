"""Densities of the data under more and more noise: what multi-level score matching and diffusive classification share.

    x_t = a_t x + s_t ε,  a_t² + s_t² = 1,  s_0 < … < s_{T−1} < s_T = 1
    p_t(x) ∝ exp(f(x, t)) N(x; 0, I),  f(x, T) = 0: x_T is N(0, I) whatever the data are

With a Gaussian N(m, Σ) for the reference all this happens in the coordinates in which it is N(0, I): x_T is then a draw
of N(m, Σ), f is 0 where the data are Gaussian, and learning is about the rest.

One network holds the log densities of all levels. Samples start at N(0, I) and descend: at each level a Gaussian step
of the reverse diffusion (Ho, Jain, Abbeel, NeurIPS 2020, eq. 7), whose score is that of p_{t+1}, then K Langevin steps
on p_t (a predictor and a corrector in the sense of Song et al., ICLR 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from absynth.algorithms.algorithm import Algorithm
from absynth.algorithms.chain import Chain, SampledStart
from absynth.algorithms.noise_levels import rows
from absynth.density import EBM, Density, score
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.gaussian import Gaussian, Whitened
from absynth.samplers import Langevin
from absynth.seeding import noise_like
from absynth.types import LogDensity, Rng, Sampler


class DiffusedDensity(Algorithm):
    """Player: ``ebm``, with f conditioned on the level t = 0 … T − 1.

    Args:
        f: f(x, t), ``([b, *event], [b]) -> [b]``.
        reference: N(0, I) over the event, or a Gaussian of the data. f sees whitened coordinates with the latter.
        noise: s_0 < … < s_{T−1}, from 0 to below 1. With s_0 = 0, p_0 is the density of the data themselves.
        sampler: K Langevin steps at each level; the step size is in units of u_t = s_t, and of s_1 at a level without
            noise.

    Raises:
        InputError: ``noise`` does not rise from 0 or above to below 1, or has fewer than two levels.
    """

    noise: Tensor
    """s_0 … s_T."""
    signal: Tensor
    """a_0 … a_T."""
    unit: Tensor
    """u_0 … u_{T−1}."""

    def __init__(
        self, f: nn.Module, reference: StandardNormal | Gaussian, *, noise: Sequence[float], sampler: Langevin
    ) -> None:
        super().__init__()
        s = torch.tensor([*noise, 1.0], dtype=torch.float64)
        if len(s) < 3 or not (s[0] >= 0 and (s.diff() > 0).all()):
            raise InputError(f"expected two noise levels or more that rise from 0 to below 1, got {list(noise)}")
        if isinstance(reference, StandardNormal) and reference.std != 1:
            raise InputError(f"expected the reference N(0, I), got one of standard deviation {reference.std:g}")
        unit = s[:-1].clone()
        unit[0] = s[0] if s[0] > 0 else s[1]
        for name, values in {"noise": s, "signal": (1 - s**2).sqrt(), "unit": unit}.items():
            self.register_buffer(name, values.to(torch.get_default_dtype()))
        self.gaussian = reference if isinstance(reference, Gaussian) else None
        self.ebm = EBM(f, StandardNormal(*reference.shape))
        self.sampler = sampler

    def extra_repr(self) -> str:
        return f"sampler={self.sampler}, noise={' '.join(f'{s:.3f}' for s in self.noise.tolist())}"

    @property
    def levels(self) -> int:
        """T, the number of levels that have a density to learn."""
        return len(self.noise) - 1

    def samplers(self) -> dict[str, Sampler]:
        return {"sampler": self.sampler}

    def sampling_sampler(self) -> str | None:
        return "sampler"

    def inward(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
        """Data in the coordinates in which the reference is N(0, I)."""
        return x if self.gaussian is None else self.gaussian.whiten(x)

    def outward(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
        """Data of the coordinates in which the reference is N(0, I)."""
        return x if self.gaussian is None else self.gaussian.color(x)

    def diffuse(self, x: Tensor, t: Int[Tensor, "b"], *, rng: Rng) -> tuple[Tensor, Tensor]:
        """x_t ``[b, *event]`` of data x, and its noise ε, both in inward coordinates."""
        x = self.inward(x)
        noise = noise_like(x, rng)
        return rows(self.signal[t], x) * x + rows(self.noise[t], x) * noise, noise

    def log_density(self, n: int, t: int) -> LogDensity:
        """log p_t of n examples in inward coordinates, with the normalization that was learned, if any."""
        return self.ebm(torch.full((n,), t, dtype=torch.long, device=self.noise.device)).log_density

    def descend(self, n: int, level: int = 0, *, rng: Rng) -> Tensor:
        """x_t of a level ``[n, *event]`` in inward coordinates, from N(0, I) down."""
        x = self.ebm.reference.sample(n, rng)  # where s_{T−1} is near 1, x_T has almost the law of x_{T−1}
        for t in reversed(range(level, self.levels)):
            if t + 1 < self.levels:
                x = self.step_down(x, t, rng=rng)
            unit = float(self.unit[t])
            log_density = self.log_density(n, t)
            with torch.inference_mode(False), torch.no_grad():
                u = x.clone() / unit
                x = unit * self.run_chain("sampling", self.sampler, lambda u: log_density(unit * u), u, rng=rng)  # noqa: B023
        return x

    def step_down(self, x: Tensor, t: int, *, rng: Rng) -> Tensor:
        """x_t given x_{t+1}: the reverse diffusion, with the example that the score of p_{t+1} predicts."""
        s_next, a_next, s, a = (float(v[i]) for i in (t + 1, t) for v in (self.noise, self.signal))
        predicted = (x + s_next**2 * score(self.log_density(len(x), t + 1), x)) / a_next  # E[x_0 | x_{t+1}]
        shrink = a_next / a
        var = 1 - shrink**2
        mean = (shrink * s**2 * x + a * var * predicted) / s_next**2
        return mean + s * math.sqrt(var) / s_next * noise_like(x, rng)

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n examples ``[n, *event]``, level by level."""
        return self.outward(self.descend(n, rng=rng) / float(self.signal[0]))

    def chain(self, c: Tensor | None = None) -> Chain:
        """The chain on p_0 in the data's units, from the samples of the level above, normalized as far as p_0 is."""
        a, gaussian = float(self.signal[0]), self.gaussian
        reference = self.ebm.reference if gaussian is None else gaussian

        def log_density(x: Float[Tensor, "b *event"]) -> Float[Tensor, "b"]:
            log_volume = math.prod(x.shape[1:]) * math.log(a) - (0.0 if gaussian is None else gaussian.log_det())
            return self.log_density(len(x), 0)(a * self.inward(x)) + log_volume

        def f(x: Tensor) -> Tensor:
            return log_density(x) - reference.log_prob(x)

        def start(n: int, rng: Rng) -> Tensor:
            return self.outward(self.step_down(self.descend(n, 1, rng=rng), 0, rng=rng) / a)

        sampler: Sampler = Langevin(self.sampler.steps, float(self.unit[0]) * self.sampler.step_size / a)
        if gaussian is not None:
            sampler = Whitened(sampler, gaussian)
        return Chain(Density(f, reference), SampledStart(start), sampler)
