"""An EBM of one texture, learned from a single picture: new pieces of the same texture, of any noise.

Chains are tori of ``size`` pixels a side that persist through training; the data are pieces of the picture, a little
larger, so that a torus and a piece have filter responses at equally many places and neither has an edge. Langevin is
true (temperature 1), and p_0 = N(0, I) on pictures of unit standard deviation.

``--data`` is the picture; without it, scikit-image's bricks in the folder of data sets.

``--f filters`` is FRAME on 52 Gabor-like filters (Zhu, Wu, Mumford 1998; Xie et al. 2015) and three differences of
neighbours: maximum likelihood matches the mean |response| of each, and the tails of its responses. ``--f conv`` is the
generative ConvNet (Xie et al. 2016), which learns its filters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.data.images import find_root, read_picture
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.networks.filters import FilterBank, FrameF, TextureConv, differences, frame_bank
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin, Persistent
from absynth.seeding import stream, uniform_like
from absynth.types import Batch, Rng

BANK = int.from_bytes(b"bank", "big")
"""Keeps the first bank apart from a step's noise."""


CONTRAST = 1 / 3
"""Standard deviation of the exemplar and of p_0: three of them fill the range [-1, 1] that pictures are shown in."""


@dataclass(frozen=True, kw_only=True)
class EBMTexture(Recipe):
    """Energy-based model of the texture in one picture (FRAME, or the generative ConvNet)."""

    steps: int = 600
    batch: int = 4
    checkpoint_every: int = 100
    side: int = 256
    """The picture is made grey and its central square resized to this many pixels."""
    size: int = 64
    """Side of a synthesized texture, a torus, in pixels."""
    piece: int = 128
    """Side of the random pieces of the picture that are the data."""
    f: Literal["filters", "conv"] = "filters"
    """Weights on 55 fixed filters (FRAME), or a network of three convolutions (generative ConvNet)."""
    scale: tuple[float, ...] = ()
    """Standard deviation of each filter's response; found from the picture."""
    tails: tuple[float, ...] = (1.5,)
    """Thresholds, in those, beyond which responses of either sign have weights of their own; none: |r| alone."""
    width: int = 32
    """Filters of the network's first layer."""
    chain_steps: int = 20
    """K, Langevin steps an update."""
    step_size: float = 0.04
    """δ of x + (δ²/2)·score + δ·noise, in standard deviations of the picture. The noise of one step must answer the
    finest filters less than the picture does: at 0.07 their weights grow without end, into a checkerboard."""
    sample_rounds: int = 100
    """Times K steps run for a fresh sample."""
    lr: float = 2e-3
    """Adam's rate; f sums over thousands of pixels, and large ones make weights and statistics chase each other."""
    beta1: float = 0.0
    """Adam's first β; an average over past updates is a delay, and delay is what makes them chase each other."""
    decay: float = 0.4
    """Share of the updates, at the end, in which the rate falls to 0."""
    guard_gap: float = 1e4
    """A gap f(pos) − f(neg) below this is never trouble; f sums over all pixels, so gaps of hundreds are usual."""

    def picture(self) -> Float[Tensor, "1 h w"]:
        """The exemplar, grey, of mean 0 and standard deviation 1/3."""
        path = Path(self.data).expanduser()
        if not (self.data and path.is_file()):  # a folder of data sets, given or found: the bricks of scikit-image
            path = find_root(self.data, "textures") / "textures" / "skimage" / "brick.png"
        return exemplar(path, self.side)

    def resolve(self) -> Recipe:
        picture = self.picture()
        if not self.size < self.piece <= picture.shape[-1]:
            raise InputError(
                f"expected size < piece <= side, got {self.size}, {self.piece} and {picture.shape[-1]}: "
                "the picture must hold more than one piece of texture"
            )
        if self.f == "conv" or self.scale:
            return self
        responses = FilterBank(kernels(), self.size)(picture[None])
        # A filter that the picture never answers would have infinite weight; a thousandth of the contrast is invisible.
        return replace(self, scale=tuple(responses.std((0, 2, 3)).clamp(min=1e-3 * CONTRAST).tolist()))

    def algorithm(self) -> MaximumLikelihood:
        reference = StandardNormal(1, self.size, self.size, std=CONTRAST)
        if self.f == "filters":
            f = FrameF(FilterBank(kernels(), self.size), torch.tensor(self.scale), self.tails)
        else:
            f = TextureConv(1, self.size, self.width)
        return MaximumLikelihood(
            EBM(f, reference),
            start=Persistent(self.batch, reference, rng=stream(self.seed, 0, 0, BANK)),
            sampler=Langevin(self.chain_steps, self.step_size * CONTRAST),
            sample_rounds=self.sample_rounds,
        )

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        return {"ebm": Adam(algorithm.get_submodule("ebm").parameters(), self.lr, (self.beta1, 0.999))}

    def schedule(self, step: int) -> float:
        return min(1.0, (self.steps - step) / max(self.decay * self.steps, 1.0))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        picture, step = self.picture(), start
        while True:
            yield Batch(pieces(picture, self.piece, self.batch, rng=stream(self.seed, 0, step, 11)))
            step += 1

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=2, f="conv", width=4, side=80, size=32, piece=56, chain_steps=3, sample_rounds=2,
            log_every=1, checkpoint_every=2,
        )  # fmt: skip


def kernels() -> Float[Tensor, "55 k k"]:
    """The filters of FRAME, the 52 of :func:`absynth.networks.filters.frame_bank` first."""
    bank = frame_bank()
    return torch.cat([bank, F.pad(differences(), [(bank.shape[-1] - 3) // 2] * 4)])


def pieces(picture: Float[Tensor, "c h w"], side: int, n: int, *, rng: Rng) -> Float[Tensor, "n c side side"]:
    """n squares cut from a picture, anywhere."""
    corners = uniform_like(picture.new_empty(n, 2), rng)
    room = torch.tensor(picture.shape[1:]) - side + 1
    tops = (corners * room).long().minimum(room - 1)
    return torch.stack([picture[:, top : top + side, left : left + side] for top, left in tops.tolist()])


@lru_cache(maxsize=4)
def exemplar(path: Path, side: int) -> Float[Tensor, "1 h w"]:
    """The picture at ``path``, grey, of mean 0 and standard deviation 1/3, read once a process."""
    if not path.is_file():
        raise InputError(f"expected a picture, got {path}, which is none: give --data PICTURE")
    x = torch.tensor(read_picture(path, size=side)).float().mean(0, keepdim=True)
    if float(x.std()) == 0:
        raise InputError(f"{path}: expected a picture that varies, got one value everywhere")
    return (x - x.mean()) / x.std() * CONTRAST
