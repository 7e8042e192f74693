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
from absynth.recipes._fields import CHAINS, linear_end
from absynth.recipes._pyramid import PatchPyramid
from absynth.recipes.bounds import Count, Decay, NonNegative, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin, Persistent
from absynth.seeding import stream

PRESETS = {
    "brick": Preset(minutes=1, recorded="frame_brick.brick, patch distance"),
    "brick/histograms": Preset(minutes=8, energy="histograms", steps=600, canvas=64),
    "gravel": Preset(minutes=1, recorded="frame_brick.gravel, patch distance"),
}


@dataclass(frozen=True, kw_only=True)
class FrameTexture(PatchPyramid):
    """FRAME: a texture from one image by the statistics of filter responses (Zhu, Wu, Mumford 1998)."""

    TINY: ClassVar[dict[str, Any]] = {
        **PatchPyramid.TINY, "batch": 2, "side": 48, "canvas": 40, "piece": 44, "chain_steps": 2, "sample_rounds": 2,
        "steps": 4,
    }  # fmt: skip

    steps: Count = 770
    side: Count = 128
    """Side in pixels that the image's central square is resized to."""
    piece: Count = 100
    """Side of the random pieces of the image that are the data."""
    canvas: Count = 96
    """Side of a synthesized texture, a torus, in pixels."""
    energy: Literal["pyramid", "histograms", "pursuit"] = "pyramid"
    """Patch distributions on a pyramid, histograms of fixed filters, or of filters chosen one at a time."""
    patch: Count = 9
    filters: Count = 32
    """Number of random filters per update of the pyramid; with pursuit, number of filters to choose."""
    pixel_step_size: Positive = 0.02
    pixel_noise: NonNegative = 0.02
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
            self.check_pyramid()
            return found
        if not self.canvas < found.shape[1]:
            raise InputError(f"expected --canvas below --piece, got {self.canvas} and {found.shape[1]}")
        if self.response_scale:
            return found
        responses = FilterBank(frame_bank(), self.canvas)(found.examples.image[None])  # type: ignore[attr-defined]
        # A filter that the image never answers would have infinite weight; a thousandth of the contrast is invisible.
        scale = responses.std((0, 2, 3)).clamp(min=1e-3 * CONTRAST).tolist()
        return replace(found, response_scale=tuple(scale))

    def coarsest_parts(self) -> int:
        return self.scales - 1  # half of the updates

    def algorithm(self) -> Algorithm:
        if self.energy == "pyramid":
            return self.pyramid(TexturePyramid, (self.canvas, self.canvas), (self.side, self.side))
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
            return super().optimizers(algorithm)
        return {"ebm": Adam(algorithm.get_submodule("ebm").parameters(), self.energy_lr, (self.beta1, 0.999))}

    def schedule(self, step: int) -> float:
        return super().schedule(step) if self.energy == "pyramid" else linear_end(step, self.steps, self.final_share)
