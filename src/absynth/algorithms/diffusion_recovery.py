"""Diffusion recovery likelihood: a ladder of noise levels, each with an EBM learned from conditional chains.

Gao, Song, Poole, Wu, Kingma: "Learning Energy-Based Models by Diffusion Recovery Likelihood", ICLR 2021,
arXiv:2012.08125; the parametrization and the last level are those of the authors' code.

    x_0 = ᾱ_0 x + s̄_0 ε,  x_{t+1} = a_{t+1} x_t + σ_{t+1} ε,  a² + σ² = 1           (1) forward, s̄_t the total noise
    y_t = a_{t+1} x_t,  p_t(y) ∝ exp(F(y, t)) N(y; 0, I)                            (2) one EBM a level
    log p(y_t | x_{t+1}) = log p_t(y_t) − ‖x_{t+1} − y_t‖² / (2σ_{t+1}²) + const    (3) recovery: nearly unimodal
    y ← y + (s_t²/2) ∇_y log p(y | x_{t+1}) + s_t ε,  from y = x_{t+1}              (4) K steps
    ∇_θ = E[∇_θ F(y_t, t)] − E_{(4)}[∇_θ F(y, t)]                                   (5) of the recovery likelihood

* F = f / s_t², f the network: then (4) moves by exactly half its gradient, whatever the level.
* What bounds s_t is the narrowest direction of (3), that of a coordinate on which all data agree, of standard deviation
  w_t = (σ_{t+1}⁻² + (a_{t+1} s̄_t)⁻²)^(−1/2). Where s̄ is in geometric progression, w at the top is an eighth of σ, and
  training diverges at s_t = 0.3 σ_{t+1}.
* The noisiest level t = T − 1 takes a := 1 and has no (3): its chain starts at N(0, I) and samples p_{T−1} itself.
  (Dividing by its true, tiny a would multiply every error by 20 to 45.) So s̄_{T−1} should be near 1.
* N(0, I) in (2) is an addition: the paper's measure is flat. F can take it back; it keeps every p_t normalizable, and
  is a reference to anneal from when a likelihood is wanted.

The steps of (4) differ from example to example with the level, so chains run in units of their own step: with
y = (s_t / b) u, Langevin on u of step b is (4) to the letter, and the sampler's δ is the paper's b.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from absynth.algorithms.algorithm import Algorithm
from absynth.density import EBM, observe
from absynth.distributions import sum_event
from absynth.errors import InputError
from absynth.networks.time_embedding import Tempered
from absynth.samplers import Langevin
from absynth.seeding import noise_like, uniform_like
from absynth.types import Batch, LogDensity, Reference, Rng

Fill = Callable[[Tensor], Tensor]
"""``y [b, *event]`` to the nearest point that agrees with what was observed of each row."""
Pace = Literal["level", "growing", "narrow"]


class DiffusionRecovery(Algorithm):
    """Player: ``ebm``, with F(y, t) conditioned on the level t = 0 … T − 1.

    Args:
        net: f(y, t), ``([b, *event], [b]) -> [b]``.
        reference: N(0, I) over the event: measure of every level, and start of the noisiest.
        noise: s̄_0 < … < s̄_{T−1} < 1, the standard deviation of the noise in x_t. A single level is a short run from
            N(0, I), in the same parametrization.
        sampler: K steps of b = s_t / u_t.
        pace: the unit u_t: "level", σ_{t+1}; "growing", √(s̄_t / s̄_0) σ_{t+1}, as the paper has it for its T6 ladder;
            "narrow", w_t, at the last level s̄_{T−1}: then K steps come equally near to the law of every level.

    Raises:
        InputError: ``noise`` does not rise from above 0 to below 1.
    """

    # Per level: ᾱ_t; s̄_t; a_{t+1}; σ_{t+1}; 1/σ_{t+1}², 0 at the last; u_t.
    signal: Tensor
    noise: Tensor
    shrink: Tensor
    width: Tensor
    precision: Tensor
    unit: Tensor

    def __init__(
        self, net: nn.Module, reference: Reference, *, noise: Sequence[float], sampler: Langevin, pace: Pace = "level"
    ) -> None:
        super().__init__()
        s = torch.tensor([*noise], dtype=torch.float64)
        if not len(s) or not (s[0] > 0 and s[-1] < 1 and (s.diff() > 0).all()):
            raise InputError(f"noise must rise from above 0 to below 1, got {list(noise)}")
        signal = (1 - s**2).sqrt()
        shrink = torch.cat([signal[1:] / signal[:-1], torch.ones(1)])
        width = torch.cat([(1 - shrink[:-1] ** 2).sqrt(), torch.ones(1)])
        precision = torch.cat([width[:-1] ** -2, torch.zeros(1)])
        narrow = (precision + (shrink * s) ** -2) ** -0.5
        unit = {"level": width, "growing": width * (s / s[0]).sqrt(), "narrow": narrow}[pace]
        table = {"signal": signal, "noise": s, "shrink": shrink, "width": width, "precision": precision, "unit": unit}
        for name, values in table.items():
            self.register_buffer(name, values.to(torch.get_default_dtype()))
        self.ebm = EBM(Tempered(net, self.unit * sampler.step_size), reference)
        self.sampler = sampler

    def extra_repr(self) -> str:
        ratios = [f"{r:.3f}" for r in (self.unit / self.width * self.sampler.step_size).tolist()]
        return f"sampler={self.sampler}, levels={self.levels}\nsteps over noise: {' '.join(ratios)}"

    @property
    def levels(self) -> int:
        """T."""
        return len(self.noise)

    def diffuse(self, x: Tensor, t: Int[Tensor, "b"], *, rng: Rng) -> tuple[Tensor, Tensor]:
        """(y_t, x_{t+1}) of data x, by (1); at the last level x_{t+1} is N(0, I) apart from y."""
        x_t = _rows(self.signal[t], x) * x + _rows(self.noise[t], x) * noise_like(x, rng)
        y = _rows(self.shrink[t], x) * x_t
        last = _rows((t == self.levels - 1).to(x.dtype), x)
        return y, (1 - last) * y + _rows(self.width[t], x) * noise_like(x, rng)

    def recovery(self, x_next: Tensor, t: Int[Tensor, "b"]) -> LogDensity:
        """y ↦ log p(y_t | x_{t+1}) up to a constant, (3); at the last level log p_t(y)."""
        precision = self.precision[t]
        return observe(self.ebm(t).log_density, lambda y: -0.5 * precision * sum_event((x_next - y) ** 2))

    def synthesize(self, x_next: Tensor, t: Int[Tensor, "b"], fill: Fill | None = None, *, rng: Rng) -> Tensor:
        """y⁻ ~ p(y_t | x_{t+1}), by (4); given an observation of y_t too, where ``fill`` tells one."""
        with torch.inference_mode(False), torch.no_grad():  # what the log density holds must serve autograd
            x_next, t = x_next.clone(), t.clone()
            recovery, unit = self.recovery(x_next, t), _rows(self.unit[t], x_next)
            given = recovery if fill is None else lambda y: recovery(fill(y))
            u = self.run_chain("ebm", "sampler", lambda u: given(unit * u), x_next / unit, rng=rng)
            return unit * u if fill is None else fill(unit * u)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x = batch.x
        t = (self.levels * uniform_like(x.new_empty(len(x)), rng)).long().clamp(max=self.levels - 1)
        y_pos, x_next = self.diffuse(x, t, rng=rng)
        y_neg = self.synthesize(x_next, t, rng=rng)
        f = self.ebm(t).f
        # s_t² turns F's gap into the network's, and σ_1/σ_{t+1} evens out the levels' gradients (the authors' code).
        weight = (self.unit * self.sampler.step_size)[t] ** 2 * self.width[0] / self.width[t]
        return {"ebm": (weight * (f(y_neg) - f(y_pos))).mean()}  # −(5), weighted

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n examples ``[n, *event]``: x_T ~ N(0, I), then y_t by (4) and x_t = y_t / a_{t+1} down the ladder.

        Every level runs the sampler as it stands, so a sampler of more steps gives long-run conditional chains.
        """
        return self.descend(n, rng=rng) / self.signal[0]

    def descend(self, n: int, level: int = 0, fills: Sequence[Fill] = (), *, rng: Rng) -> Tensor:
        """x_t of a level ``[n, *event]``, from N(0, I) down the ladder; ``fills`` tell what was observed of a y_t."""
        x = self.ebm.reference.sample(n, rng)
        for t in reversed(range(level, self.levels)):
            at = torch.full((n,), t, device=x.device)
            x = self.synthesize(x, at, fills[t] if fills else None, rng=rng) / self.shrink[t]
        return x


def _rows(values: Float[Tensor, "b"], like: Tensor) -> Tensor:
    """One number a row, in a shape that broadcasts against ``like``."""
    return values.view(-1, *[1] * (like.ndim - 1))
