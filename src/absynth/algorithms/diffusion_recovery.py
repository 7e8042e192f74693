"""Diffusion recovery likelihood: a sequence of noise levels, each with an EBM learned from conditional chains.

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

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from absynth.algorithms.algorithm import ENERGY_DIFFERENCE
from absynth.algorithms.chain import Chain, Projection, SampledStart, with_steps
from absynth.algorithms.noise_levels import NoiseLevels, StepSchedule, rows
from absynth.density import EBM, Density, observe
from absynth.distributions import Uniform, sum_event
from absynth.networks.time_embedding import Tempered
from absynth.samplers import Langevin
from absynth.seeding import uniform_like
from absynth.types import Batch, LogDensity, Reference, Rng, Sampler


class DiffusionRecovery(NoiseLevels):
    """Player: ``ebm``, with F(y, t) conditioned on the level t = 0 … T − 1.

    Args:
        net: f(y, t), ``([b, *event], [b]) -> [b]``.
        reference: N(0, I) over the event: measure of every level, and start of the noisiest.
        noise: s̄_0 < … < s̄_{T−1} < 1, the standard deviation of the noise in x_t. A single level is a short run from
            N(0, I), in the same parametrization.
        sampler: K steps of b = s_t / u_t.
        step_schedule: The unit u_t: "level", σ_{t+1}; "growing", √(s̄_t / s̄_0) σ_{t+1}, as the paper has it for its T6
            schedule; "narrow", w_t, at the last level s̄_{T−1}: then K steps come equally near to every level's law.

    Raises:
        InputError: ``noise`` does not rise from above 0 to below 1.
    """

    def __init__(
        self,
        net: nn.Module,
        reference: Reference,
        *,
        noise: Sequence[float],
        sampler: Langevin,
        step_schedule: StepSchedule = "level",
    ) -> None:
        super().__init__(noise, step_schedule)
        self.ebm = EBM(Tempered(net, self.unit * sampler.step_size), reference)
        self.sampler = sampler

    def extra_repr(self) -> str:
        ratios = [f"{r:.3f}" for r in (self.unit / self.width * self.sampler.step_size).tolist()]
        return f"sampler={self.sampler}, levels={self.levels}\nsteps over noise: {' '.join(ratios)}"

    def samplers(self) -> dict[str, Sampler]:
        return {"sampler": self.sampler}

    def sampling_sampler(self) -> str | None:
        return "sampler"

    def recovery(self, x_next: Tensor, t: Int[Tensor, "b"]) -> LogDensity:
        """y ↦ log p(y_t | x_{t+1}) up to a constant, (3); at the last level log p_t(y)."""
        precision = self.precision[t]
        return observe(self.ebm(t).log_density, lambda y: -0.5 * precision * sum_event((x_next - y) ** 2))

    def synthesize(self, x_next: Tensor, t: Int[Tensor, "b"], project: Projection | None = None, *, rng: Rng) -> Tensor:
        """y⁻ ~ p(y_t | x_{t+1}), by (4); given an observation of y_t too, if ``project`` projects onto one."""
        with torch.inference_mode(False), torch.no_grad():  # what the log density holds must serve autograd
            x_next, t = x_next.clone(), t.clone()
            recovery, unit = self.recovery(x_next, t), rows(self.unit[t], x_next)
            given = recovery if project is None else lambda y: recovery(project(y))
            u = self.run_chain("ebm", self.sampler, lambda u: given(unit * u), x_next / unit, rng=rng)
            return unit * u if project is None else project(unit * u)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x = batch.x
        t = (self.levels * uniform_like(x.new_empty(len(x)), rng)).long().clamp(max=self.levels - 1)
        y_pos, x_next = self.diffuse(x, t, rng=rng)
        y_neg = self.synthesize(x_next, t, rng=rng)
        f = self.ebm(t).f
        # s_t² turns F's energy difference into the network's; σ_1/σ_{t+1} balances the levels (the authors' code).
        weight = (self.unit * self.sampler.step_size)[t] ** 2 * self.width[0] / self.width[t]
        return {"ebm": (weight * (f(y_neg) - f(y_pos))).mean()}  # −(5), weighted

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n examples ``[n, *event]``: x_T ~ N(0, I), then y_t by (4) and x_t = y_t / a_{t+1}, level by level.

        Every level runs the current sampler, so a sampler of more steps gives long-run conditional chains.
        """
        return self.descend(n, rng=rng) / self.signal[0]

    def descend(self, n: int, level: int = 0, projections: Sequence[Projection] = (), *, rng: Rng) -> Tensor:
        """x_t of a level ``[n, *event]``, from N(0, I) down; ``projections`` are the observations of each y_t."""
        x = self.ebm.reference.sample(n, rng)
        for t in reversed(range(level, self.levels)):
            at = torch.full((n,), t, device=x.device)
            x = self.synthesize(x, at, projections[t] if projections else None, rng=rng) / self.shrink[t]
        return x

    def chain(self, c: Tensor | None = None) -> Chain:
        """The chain on level 0's density in the data's units, from the samples of the level above.

        With y = a x, log p(x) = log p_0(a x) up to a constant, and a step of s in y is one of s / a in x. It is a
        distribution of the data with the little noise of that level.
        """
        a = float(self.shrink[0] * self.signal[0])

        def f(x: Tensor) -> Tensor:
            return self.ebm(torch.zeros(len(x), dtype=torch.long, device=x.device)).log_density(a * x)

        like = self.ebm.reference.sample(1, torch.Generator(self.signal.device).manual_seed(0))
        sampler = Langevin(self.sampler.steps, float(self.unit[0]) * self.sampler.step_size / a)
        start = SampledStart(lambda n, rng: self.descend(n, 1, rng=rng) / a)
        return Chain(Density(f, Uniform(*like.shape[1:]).to(like)), start, sampler)

    def complete(self, project: Projection, n: int, *, steps: int = 0, rng: Rng) -> Tensor:
        """Draw n examples that agree with an observation: given it at every level, then by :meth:`chain`."""
        chain = self.chain()
        last = with_steps(chain.sampler, steps) if steps else chain.sampler
        seen = self.diffuse_observation(project, self.ebm.reference.sample(n, rng), rng)
        x = self.descend(n, 0, seen, rng=rng)
        return project(last(lambda v: chain.density.log_density(project(v)), project(x / self.signal[0]), rng=rng))

    def explain_metrics(self) -> dict[str, str]:
        return {"ebm": ENERGY_DIFFERENCE}
