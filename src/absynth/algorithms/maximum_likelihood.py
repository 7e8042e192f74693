"""Maximum likelihood learning of an energy-based model of the data themselves, by one of three synthesis starts.

Xie, Lu, Zhu, Wu: "A Theory of Generative ConvNet", ICML 2016, arXiv:1602.03264; Nijkamp, Hill, Zhu, Wu: "Learning
Non-Convergent Non-Persistent Short-Run MCMC Toward Energy-Based Model", NeurIPS 2019, arXiv:1904.09770; equations as in
the tutorial of Xie and Wu, CVPR 2021, part I ("Maximum Likelihood Estimation", "Analysis by Synthesis").

    p_θ(x) = exp(f_θ(x)) p_0(x) / Z(θ)
    L'(θ)  = E_data[∇_θ f_θ(x)] − E_{p_θ}[∇_θ f_θ(x)]                          (1)
    x_{t+1} = x_t + (δ²/2) ∇_x log p_θ(x_t) + τ ε_t                            (2)

What stands in for p_θ in (1) is the law of the chains, and the start decides which:

* :class:`FromNoise`: short runs, the law q_θ = M_θ p_start of K steps from a fixed start. Learning then solves
  E_data[∇f] = E_{q_θ}[∇f], a moment matching estimate: q_θ is the model that generates, p_θ is not.
* :class:`Persistent`: chains that go on between updates, and so follow p_θ as it changes: maximum likelihood.
* :class:`FromData`: contrastive divergence, the gradient of KL(data ‖ p_θ) − KL(M_θ data ‖ p_θ) but for one term.

Where only a part of x was observed (``Batch.mask``), the other part is missing data: a second chain, on the law of the
missing entries given those observed, recovers it, and (1) compares the two chains (Xie, Zhu, Wu, CVPR 2017,
arXiv:1606.00972, "learning from incomplete data"; Fisher's identity):

    L'(θ)  = E_data[E_{p_θ(x_missing | x_observed)}[∇_θ f_θ(x)]] − E_{p_θ}[∇_θ f_θ(x)]                  (3)

The image literature writes (2) as x + η∇f + s·ε with η and s apart: δ = √(2η), τ = s. Such a chain samples p_θ^{1/T} at
temperature T = s²/(2η) = (τ/δ)²; where T is far below 1, f is no log density and only f/T is.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.algorithm import ENERGY_DIFFERENCE, Algorithm
from absynth.algorithms.chain import Chain, first_states
from absynth.algorithms.short_run import ShortRun
from absynth.density import EBM, restrict
from absynth.distributions import StandardNormal, Uniform, with_frames
from absynth.errors import InputError
from absynth.networks.pooled import pooled_features
from absynth.samplers import FromData, FromNoise, Langevin, Persistent, Start
from absynth.seeding import noise_like
from absynth.types import Batch, Reference, Rng, Sampler


class MaximumLikelihood(Algorithm):
    """Player: ``ebm``.

    Args:
        ebm: p_θ(x|c).
        start: where chains begin: :class:`FromNoise`, :class:`Persistent` or :class:`FromData`.
        sampler: K steps on p_θ; its temperature is the one that the model is learned and sampled at.
        data_noise: standard deviation of noise added to the data. Where a coordinate of the data is constant (the black
            border of a digit) the likelihood has no maximum without it.
        sample_rounds: times the sampler runs on a fresh chain in ``sample``. 1 is the short run's own law; persistent
            chains have run far longer than K steps, so a fresh one has to go on until it has their law.

    Raises:
        InputError: ``data_noise`` is negative or ``sample_rounds`` is not positive.
    """

    def __init__(
        self, ebm: EBM, *, start: Start, sampler: Sampler, data_noise: float = 0.0, sample_rounds: int = 1
    ) -> None:
        super().__init__()
        if data_noise < 0 or sample_rounds < 1:
            raise InputError(
                f"expected data_noise of at least 0 and sample_rounds of at least 1, got {data_noise:g} and "
                f"{sample_rounds}: leave them out for 0 and 1"
            )
        self.ebm = ebm
        self.start = start
        self.sampler = sampler
        self.data_noise = data_noise
        self.sample_rounds = sample_rounds

    def extra_repr(self) -> str:
        temperature = f"temperature={getattr(self.sampler, 'temperature', 1.0):g}"
        return f"{self.sampler}, {temperature}\ndata_noise={self.data_noise:g}, sample_rounds={self.sample_rounds}"

    def samplers(self) -> dict[str, Sampler]:
        return {"sampler": self.sampler}

    def sampling_sampler(self) -> str | None:
        return "sampler"

    @property
    def initial_distribution(self) -> Reference:
        """Initial states of chains that run without data: those of the start, else p_0."""
        return self.start.reference if isinstance(self.start, FromNoise | Persistent) else self.ebm.reference

    def set_frames(self, frames: int) -> None:
        if not hasattr(self.ebm.f, "stationary"):
            super().set_frames(frames)
        self.ebm.reference = with_frames(self.ebm.reference, frames)
        if not isinstance(self.start, FromData):
            self.start = FromNoise(with_frames(self.initial_distribution, frames))

    def features(self, x: Tensor) -> Float[Tensor, "b d"]:
        return pooled_features(self.ebm.f, x)

    def chain(self, c: Tensor | None = None) -> Chain:
        return Chain(self.ebm(c), self.initial_distribution, self.sampler, rounds=self.sample_rounds)

    def short_run(self) -> ShortRun:
        if isinstance(self.start, FromNoise) and self.sample_rounds == 1 and isinstance(self.sampler, Langevin):
            reference = self.start.reference
            if isinstance(reference, StandardNormal | Uniform):
                return ShortRun(self.ebm().log_density, self.sampler, reference)
        return super().short_run()

    def explain_metrics(self) -> dict[str, str]:
        return {"ebm": ENERGY_DIFFERENCE}

    def observed(self, batch: Batch, *, rng: Rng) -> Tensor:
        """x⁺ ``[b, *event]``: the data, with their noise; where a part is missing, recovered by a chain of its own."""
        x = batch.x + self.data_noise * noise_like(batch.x, rng) if self.data_noise else batch.x
        return x if batch.mask is None else self.recover(x, batch.mask, batch.c, rng=rng)

    def recover(self, x: Tensor, mask: Tensor, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """x ``[b, *event]`` with a draw of what it lacks: K steps of (2) on p(x_missing | x_observed).

        Args:
            x: the data; what stands where ``mask`` is 0 is never looked at.
            mask: 1 where x was observed, broadcast against x.
            c: their condition.
            rng: source of randomness.
        """
        known = restrict(self.ebm(c).log_density, mask.bool(), x)
        start = first_states(self.initial_distribution, known.fill, len(x), rng=rng)
        return known.fill(self.run_chain("recovery", self.sampler, known, start, rng=rng))

    def synthesize(self, x: Tensor, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """x⁻ ``[b, *event]``, one chain beside each of x: K steps of (2) from the start."""
        first, ticket = self.start.draw(x, rng=rng)
        x_neg = self.run_chain("ebm", self.sampler, self.ebm(c).log_density, first, rng=rng)
        self.start.keep(ticket, x_neg)
        return x_neg

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x_pos = self.observed(batch, rng=rng)
        x_neg = self.synthesize(x_pos, batch.c, rng=rng)
        f = self.ebm(batch.c).f
        return {"ebm": f(x_neg).mean() - f(x_pos).mean()}  # −L'(θ), (1) and (3)

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n fresh chains ``[n, *event]`` of ``sample_rounds`` · K steps from ``initial_distribution``."""
        x = self.initial_distribution.sample(n, rng)
        for _ in range(self.sample_rounds):
            x = self.run_chain("ebm", self.sampler, self.ebm(c).log_density, x, rng=rng)
        return x
