"""Cooperative learning of p(x|c): a fast initializer proposes, a slow solver refines.

Xie, Zheng, Fang, Zhu, Wu: "Cooperative Training of Fast Thinking Initializer and Slow Thinking Solver for Conditional
Learning", TPAMI 2021, arXiv:1902.02812. The generator is the initializer, the EBM the solver, and
c a label, a source image, or an image with a hole.

    p_θ(x|c) = exp(f_θ(x, c)) p_0(x) / Z(c; θ)                        solver
    x = g_α(z, c) + σ ε,  z ~ p_0                                     initializer
    x̂ = g_α(z, c),  x̃ = K steps of Langevin on p_θ(x|c) from x̂        (1)

It is :class:`Cooperative` with c handed to both players: pos and neg share their c, so Z(c) never enters. From image to
image the authors teach the initializer the truth too, since one is there for every c:

    L(α) = (1 − γ) E[‖x̃ − g_α(z, c)‖² / 2σ²] + γ E[‖x − g_α(z, c)‖₁]  (2)

With γ near 1 the initializer no longer hears z; released code draws z a hundredth as wide while it learns as while it
is used, which has the same effect. Here z has one law, and both norms are summed over the event and averaged over the
batch.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.chain import Translation
from absynth.algorithms.cooperative import Cooperative
from absynth.density import EBM
from absynth.distributions import sum_event
from absynth.errors import InputError
from absynth.seeding import noise_like
from absynth.types import Batch, Conditional, Reference, Rng, Sampler


class ConditionalCooperative(Cooperative):
    """Players: ``ebm`` (the solver) and ``generator`` (the initializer).

    Args:
        ebm: p_θ(x|c).
        generator: p_α(x|z, c).
        prior: p_0(z).
        sampler: K steps on p_θ(·|c) from an initial sample.
        posterior_sampler: steps on p_α(z|x̃, c), for full teaching; None is fast teaching.
        truth: γ, how much of what the initializer learns is the truth itself; 0 where one c has many x.
        data_noise: standard deviation of noise added to the data: without it f learns to tell refined images by the
            noise of their chains.

    Raises:
        InputError: ``truth`` is not between 0 and 1, or ``data_noise`` is negative.
    """

    def __init__(
        self,
        ebm: EBM,
        generator: Conditional,
        prior: Reference,
        *,
        sampler: Sampler,
        posterior_sampler: Sampler | None = None,
        truth: float = 0.0,
        data_noise: float = 0.0,
    ) -> None:
        super().__init__(ebm, generator, prior, sampler=sampler, posterior_sampler=posterior_sampler)
        if not 0 <= truth < 1 or data_noise < 0:
            raise InputError(
                f"expected truth of at least 0 and less than 1, and data_noise of at least 0, got {truth:g} and "
                f"{data_noise:g}: 0 leaves either out"
            )
        self.truth = truth
        self.data_noise = data_noise

    def translations(self) -> dict[str, Translation]:
        """From the condition to x: of use where the condition is an image."""

        def apply(c: Tensor, *, rng: Rng) -> tuple[Tensor, Tensor]:
            initial = self.initial_samples(len(c), c, rng=rng)[1]
            return initial, self.refine(initial, c, rng=rng)

        return {"source_to_target": Translation(apply)}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}\ntruth={self.truth:g}, data_noise={self.data_noise:g}"

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c = batch.x, batch.c
        noisy = x + self.data_noise * noise_like(x, rng) if self.data_noise else x
        losses = super().losses(Batch(noisy, c), rng=rng)  # those of cooperative networks, given c
        if self.truth:
            to_truth = sum_event((x - self.generator(self.reference.sample(len(x), rng), c).mode).abs()).mean()
            losses["generator"] = (1 - self.truth) * losses["generator"] + self.truth * to_truth  # (2)
        return losses
