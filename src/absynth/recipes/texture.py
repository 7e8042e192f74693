"""An EBM of one texture, learned from a single image: new pieces of the same texture.

Chains are tori of ``canvas`` pixels per side that persist through training; the data are pieces of the image, a little
larger, so that a torus and a piece have filter responses at equally many places and neither has an edge. Langevin is
unadjusted at temperature 1, and p_0 = N(0, I) on images of unit standard deviation.

``--energy filters`` is FRAME on 52 Gabor-like filters (Zhu, Wu, Mumford 1998; Xie et al. 2015) and three differences of
neighbours: maximum likelihood matches the mean |response| of each, and the tails of its responses. ``--energy conv`` is
the generative ConvNet (Xie et al. 2016), which learns its filters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch

from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.data.picture_set import CONTRAST
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.networks.filters import FilterBank, FrameF, TextureConv, texture_filters
from absynth.recipes._fields import CHAINS, DataChain, FinalShare
from absynth.recipes.bounds import Count, Decay, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin, Persistent
from absynth.seeding import stream

PRESETS = {"brick": Preset(minutes=12, recorded="texture_brick"), "foliage": Preset(minutes=0.5, steps=60)}


@dataclass(frozen=True, kw_only=True)
class TextureRecipe(FinalShare, DataChain, Recipe):
    """Energy-based model of the texture in one image: FRAME, or the generative ConvNet (Zhu et al. 1998)."""

    kinds = ("picture",)
    TINY: ClassVar[dict[str, Any]] = {
        **Recipe.TINY, "batch": 2, "energy": "conv", "side": 80, "canvas": 32, "piece": 56, "sample_rounds": 2
    }  # fmt: skip

    steps: Count = 600
    batch: Count = 4
    checkpoint_every: Count = 100
    side: Count = 256
    """Side in pixels that the image's central square is resized to."""
    piece: Count = 128
    """Side of the random pieces of the image that are the data."""
    canvas: Count = 64
    """Side of a synthesized texture, a torus, in pixels."""
    energy: Literal["filters", "conv"] = "filters"
    """Weights on 55 fixed filters (FRAME), or a network of three convolutions (generative ConvNet)."""
    scale: tuple[float, ...] = ()
    """Standard deviation of each filter's response; found from the image."""
    tails: tuple[float, ...] = (1.5,)
    """Thresholds, in those, beyond which responses of either sign have weights of their own; none: |r| alone."""
    energy_width: Count = 32
    """Filters of the network's first layer."""
    chain_steps: Count = 20
    chain_step_size: Positive = 0.04
    """Step size δ in standard deviations of the image. The noise of one step must answer the finest filters less than
    the image does: at 0.07 their weights grow without end, into a checkerboard."""
    sample_rounds: Count = 100
    """Number of times K steps run for a fresh sample."""
    energy_lr: Positive = 2e-3
    """Learning rate (Adam); f sums over thousands of pixels, and large rates make weights and statistics oscillate."""
    beta1: Decay = 0.0
    """Adam's β1; an average over past updates is a delay, and delay makes them oscillate."""
    final_share: Share = 0.4
    guard_difference: Positive = 1e4
    """An energy difference below this never counts as divergence; f sums over all pixels, so hundreds are usual."""

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, TextureRecipe)
        if not self.canvas < found.shape[1]:
            raise InputError(f"expected --canvas below --piece, got {self.canvas} and {found.shape[1]}")
        if self.energy == "conv" or self.scale:
            return found
        responses = FilterBank(texture_filters(), self.canvas)(found.examples.image[None])  # type: ignore[attr-defined]
        # A filter that the image never answers would have infinite weight; a thousandth of the contrast is invisible.
        scale = responses.std((0, 2, 3)).clamp(min=1e-3 * CONTRAST).tolist()
        return replace(found, scale=tuple(scale))

    def algorithm(self) -> MaximumLikelihood:
        reference = StandardNormal(1, self.canvas, self.canvas, std=CONTRAST)
        if self.energy == "filters":
            f = FrameF(FilterBank(texture_filters(), self.canvas), torch.tensor(self.scale), self.tails)
        else:
            f = TextureConv(1, self.canvas, self.energy_width, self.energy_activation)
        return MaximumLikelihood(
            EBM(f, reference),
            start=Persistent(self.batch, reference, rng=stream(self.seed, 0, 0, CHAINS)),
            sampler=Langevin(self.chain_steps, self.chain_step_size * CONTRAST),
            sample_rounds=self.sample_rounds,
        )
