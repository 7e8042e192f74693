"""Coarse-to-fine expansion: an EBM that grows with the resolution, and samples through all the resolutions before it.

Zhao, Xie, Li: "Learning Energy-Based Generative Models via Coarse-to-Fine Expanding and Sampling", ICLR 2021 (CF-EBM);
schedules as in the authors' code.

    x^(0) ~ U(−1, 1);  x^(s) ← K_s Langevin steps on f_s from x^(s−1) with every pixel repeated            (1)
    f_s(x) = trunk_s((1 − α) pooled_s(pool x) + α block_s(x)),  α from 0 to 1, trunk_s a copy of f_{s−1}    (2)
    ∇_θ = E_data[∇_θ f_s(pooled x)] − E_{(1)}[∇_θ f_s(x)],  one stage at a time, the earlier ones at rest  (3)

Noise fades linearly over the steps of all stages, so the last images are clean; values are clamped to [−1, 1] between
stages and at the end. What (3) learns from is the chain before it is clamped: else f never sees what lies outside, and
nothing holds the chains back. Without the fade-in of (2) a new stage is a shock from which f need not recover.

How far the model has grown follows from the share of the updates that is done (``set_progress``): a resumed run, a
rolled back run and a run on several machines all see the same schedule.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.algorithm import ENERGY_DIFFERENCE
from absynth.algorithms.chain import Chain, Projection
from absynth.algorithms.pyramid import Pyramid
from absynth.density import EBM, Density
from absynth.distributions import Uniform
from absynth.networks.growing import GrowingConv
from absynth.samplers.multiscale import coarsen, refine
from absynth.seeding import noise_like
from absynth.types import Batch, Rng, Sampler


class CoarseToFine(Pyramid):
    """Player: ``ebm``, whose f takes images of every resolution.

    The growth g follows from the share of the updates that is done (:meth:`set_progress`): its whole part is the stage
    s, and α = min(1, 2(g − s)), so half of a stage fades in and half holds. A model whose progress is never set is
    fully grown.

    Args:
        f: A network per stage, and how each begins.
        reference: U(−1, 1) at the coarsest resolution: where chains begin, and a flat measure at every resolution.
        samplers: K_s steps, one sampler per stage.
        data_noise: Standard deviation of noise added to the data.
        last_share: Share of the updates that the finest stage gets; the others have equal parts of the rest.

    Raises:
        InputError: There is not one sampler per stage.
    """

    grown: Tensor

    def __init__(
        self,
        f: GrowingConv,
        reference: Uniform,
        *,
        samplers: Sequence[Sampler],
        data_noise: float = 0.0,
        last_share: float = 0.5,
    ) -> None:
        super().__init__(f.sizes, samplers)
        self.data_noise, self.last_share = data_noise, last_share
        self.progress: float | None = None
        self.ebm = EBM(f, reference)
        self.register_buffer("grown", torch.zeros((), dtype=torch.int64))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}\ndata_noise={self.data_noise:g}"

    def level_density(self, level: int) -> Density:
        return self.ebm()

    def coarsest_start(self, n: int, rng: Rng) -> Tensor:
        return self.ebm.reference.sample(n, rng)

    def coarser_samples(self, n: int, rng: Rng) -> Tensor:
        last = len(self.sizes) - 1
        return self.synthesize(n, last - 1, rng=rng) if last else self.coarsest_start(n, rng)

    def chain(self, c: Tensor | None = None) -> Chain:
        self._check_grown()
        return super().chain(c)

    def complete(self, project: Projection, n: int, *, steps: int = 0, rng: Rng) -> Tensor:
        self._check_grown()
        return super().complete(project, n, steps=steps, rng=rng)

    def _check_grown(self) -> None:
        size, finest = self.sizes[int(self.grown)], self.sizes[-1]
        if size < finest:
            self._unsupported(f"has grown to {size} of {finest} pixels per side: resume the training first")

    def explain_metrics(self) -> dict[str, str]:
        return {"ebm": ENERGY_DIFFERENCE}

    def set_progress(self, share: float) -> None:
        self.progress = share

    def growth(self) -> float:
        """How far the model has grown: the stage, plus the part of the stage that is over."""
        stages = len(self.sizes)
        if self.progress is None:
            return float(stages)
        if stages == 1:
            return self.progress
        if self.progress < 1 - self.last_share:
            return self.progress * (stages - 1) / (1 - self.last_share)
        return stages - 1 + (self.progress - (1 - self.last_share)) / self.last_share

    def stage(self, n: int, like: Tensor) -> tuple[int, Tensor | None]:
        """(stage, α ``[n]``) of an update; α is None where nothing fades."""
        growth = self.growth()
        stage = min(int(growth), len(self.sizes) - 1)
        if self.progress is None or not stage:
            return stage, None
        return stage, like.new_full((n,), min(2 * (growth - stage), 1.0))

    def synthesize(self, n: int, stage: int, fade: Tensor | None = None, *, rng: Rng) -> Tensor:
        """x⁻ ``[n, channels, s, s]`` of a stage, by (1) through all the stages before it; not yet clamped."""
        x = self.ebm.reference.sample(n, rng)
        for s in range(stage + 1):
            x = refine(x.clamp(-1, 1), self.sizes[s])
            name, c = ("ebm", fade) if s == stage else (f"stage_{s}", None)
            x = self.run_chain(name, self.level_samplers[s], self.ebm(c).log_density, x, rng=rng)
        return x

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        stage, fade = self.stage(len(batch.x), batch.x)
        while int(self.grown) < stage:
            self.grown += 1
            self.ebm.get_submodule("f").grow(int(self.grown))  # type: ignore[operator]
        x = coarsen(batch.x, self.sizes[stage])
        x_pos = x + self.data_noise * noise_like(x, rng) if self.data_noise else x
        x_neg = self.synthesize(len(x), stage, fade, rng=rng)
        f = self.ebm(fade).f
        return {"ebm": f(x_neg).mean() - f(x_pos).mean()}  # −(3): reaches this stage's network alone

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n images at the finest side, by (1); from a model that is still growing, its pixels repeated."""
        return refine(self.synthesize(n, int(self.grown), rng=rng).clamp(-1, 1), self.sizes[-1])
