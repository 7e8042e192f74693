"""FRAME of a texture in one image.

``--energy pyramid`` matches the distributions of patches scale after scale; it gives the best images and is a minimizer
rather than a learned model. ``histograms`` learns FRAME's own potentials, one per bin of each filter's marginal
histogram, by Langevin chains at temperature 1; ``pursuit`` also chooses the filters, one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm
from absynth.algorithms.filter_pursuit import FilterPursuit
from absynth.algorithms.frame import Frame
from absynth.algorithms.texture_pyramid import TexturePyramid
from absynth.data.picture_set import CONTRAST
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.networks.filters import FilterBank, frame_bank
from absynth.networks.statistics import ExponentialF, Histograms
from absynth.recipes._fields import CHAINS, linear_end, restarted
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin, Persistent
from absynth.seeding import stream

PRESETS = {
    "brick": Preset(minutes=1, recorded="frame_brick"),
    "brick/histograms": Preset(minutes=8, energy="histograms", steps=600, canvas=64),
    "gravel": Preset(minutes=1, recorded="frame_brick"),
}


@dataclass(frozen=True, kw_only=True)
class FrameTexture(Recipe):
    """FRAME: a texture from one image by the statistics of filter responses (Zhu, Wu, Mumford 1998)."""

    kinds = ("picture",)
    TINY: ClassVar[dict[str, Any]] = {
        **Recipe.TINY, "batch": 2, "side": 48, "canvas": 40, "piece": 44, "scales": 2, "filters": 4, "chain_steps": 2,
        "sample_rounds": 2, "steps": 4,
    }  # fmt: skip

    steps: Count = 770
    batch: Count = 2
    threads: Natural = 1
    side: Count = 128
    """Side in pixels that the image's central square is resized to."""
    piece: Count = 100
    """Side of the random pieces of the image that are the data."""
    canvas: Count = 96
    """Side of a synthesized texture, a torus, in pixels."""
    energy: Literal["pyramid", "histograms", "pursuit"] = "pyramid"
    """Patch distributions on a pyramid, histograms of fixed filters, or of filters chosen one at a time."""
    scales: Count = 4
    """Number of scales of the pyramid."""
    scale_factor: Positive = 2**0.5
    """Ratio of one scale to the next."""
    patch: Count = 9
    """Side of a patch in pixels, odd."""
    filters: Count = 32
    """Number of random filters per update of the pyramid; with pursuit, number of filters to choose."""
    pixel_step_size: Positive = 0.02
    """Learning rate of the pixels (Adam); halved contrast in the second half of each scale's updates."""
    pixel_noise: NonNegative = 0.02
    """Standard deviation of noise on the pixels at the coarsest scale, fading out."""
    response_scale: tuple[float, ...] = ()
    """Standard deviation of each filter's response; found from the image."""
    bins: Count = 13
    """Bins of a histogram, from −3 to 3 standard deviations of the response."""
    chain_steps: Count = 20
    """Number of Langevin steps per update (K)."""
    chain_step_size: Positive = 0.04
    """Step size δ in standard deviations of the image."""
    sample_rounds: Count = 100
    """Number of times K steps run for a fresh sample."""
    energy_lr: Positive = 2e-3
    """Learning rate of the potentials (Adam)."""
    beta1: Decay = 0.0
    """Adam's β1; an average over past updates makes weights and statistics oscillate."""
    final_share: Share = 0.4
    """Share of the updates, at the end, in which the learning rate falls to 0."""
    guard_difference: Positive = 1e4
    """An energy difference below this never counts as divergence; f sums over all pixels."""

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, FrameTexture)
        if self.energy == "pyramid":
            if self.steps < self.scales:
                raise InputError(f"expected --steps of at least one per scale, got {self.steps} for {self.scales}")
            return found
        if not self.canvas < found.shape[1]:
            raise InputError(f"expected --canvas below --piece, got {self.canvas} and {found.shape[1]}")
        if self.response_scale:
            return found
        responses = FilterBank(frame_bank(), self.canvas)(found.examples.image[None])  # type: ignore[attr-defined]
        # A filter that the image never answers would have infinite weight; a thousandth of the contrast is invisible.
        scale = responses.std((0, 2, 3)).clamp(min=1e-3 * CONTRAST).tolist()
        return replace(found, response_scale=tuple(scale))

    def scale_steps(self) -> list[int]:
        """Updates of each scale, coarsest first: half of them at the coarsest."""
        if self.scales == 1:
            return [self.steps]
        rest = self.steps // 2 // (self.scales - 1)
        return [self.steps - rest * (self.scales - 1), *[rest] * (self.scales - 1)]

    def algorithm(self) -> Algorithm:
        if self.energy == "pyramid":
            image = self.examples.image  # type: ignore[attr-defined]
            if not image.numel():  # the data are not at hand: the weights of a trained run hold the image
                image = torch.zeros(self.shape[0], self.side, self.side)
            return TexturePyramid(
                image,
                side=self.canvas,
                steps=self.scale_steps(),
                factor=self.scale_factor,
                patch=self.patch,
                filters=self.filters,
                textures=self.batch,
                step_size=self.pixel_step_size,
                noise=self.pixel_noise,
            )
        reference = StandardNormal(1, self.canvas, self.canvas, std=CONTRAST)
        centers = [3 * (2 * i / (self.bins - 1) - 1) for i in range(self.bins)]
        h = Histograms(FilterBank(frame_bank(), self.canvas), torch.tensor(self.response_scale), centers)
        ebm = EBM(ExponentialF(h, h.size), reference)
        start = Persistent(self.batch, reference, rng=stream(self.seed, 0, 0, CHAINS))
        sampler = Langevin(self.chain_steps, self.chain_step_size * CONTRAST)
        if self.energy == "histograms":
            return Frame(ebm, start=start, sampler=sampler, sample_rounds=self.sample_rounds)
        n = len(self.response_scale)
        return FilterPursuit(
            ebm, start=start, sampler=sampler, filters=n, choose=min(self.filters, n), sample_rounds=self.sample_rounds
        )

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        if self.energy == "pyramid":
            return {"canvas": Adam(algorithm.get_submodule("canvas").parameters(), self.pixel_step_size)}
        return {"ebm": Adam(algorithm.get_submodule("ebm").parameters(), self.energy_lr, (self.beta1, 0.999))}

    def schedule(self, step: int) -> float:
        if self.energy != "pyramid":
            return linear_end(step, self.steps, self.final_share)
        return restarted(step, self.scale_steps())
