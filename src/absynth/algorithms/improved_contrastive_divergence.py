"""Improved contrastive divergence: the term that contrastive divergence drops, and moves that mix the replay buffer.

Du, Li, Tenenbaum, Mordatch: "Improved Contrastive Divergence Training of Energy Based Models", ICML 2021,
arXiv:2012.01316. With E = −f and q_θ the law of the chains, the gradient of contrastive divergence holds a third term,
through the samples' own dependence on θ (their L_KL, which they minimize):

    L_KL = E_{q_θ}[E_{stop(θ)}(x)] + E_{q_θ}[log q_θ(x)]                       (KL term)

The chain is lowered in energy by what it learns (first part; the gradient goes through its last step) and kept spread
(second part: minus its entropy, by distances to the nearest neighbour in the replay buffer).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from absynth.algorithms.algorithm import ChainRecord
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.density import EBM
from absynth.samplers import Langevin, Persistent
from absynth.samplers.unroll import noise_tape, unroll
from absynth.seeding import uniform_like
from absynth.types import Batch, Rng

Moves = Callable[..., Tensor]
"""``(x [b, *event], *, rng) -> [b, *event]``: a change of a chain's state that keeps an image an image."""


@dataclass(frozen=True)
class ImageMoves:
    """Flips, crops and blurs of images: what the authors call data augmentation of the replay buffer.

    Langevin rarely takes a chain from one mode to another; these moves do.

    Args:
        flip: probability of a mirror image; 0 where left and right matter, as in digits.
        crop: the least share of the side that a crop keeps before it is enlarged again.
        blur: probability of a 3×3 binomial blur.
    """

    flip: float = 0.0
    crop: float = 0.8
    blur: float = 0.25

    def __call__(self, x: Float[Tensor, "b c h w"], *, rng: Rng) -> Float[Tensor, "b c h w"]:
        flip, blur, zoom, left, top = uniform_like(x.new_empty(len(x), 5), rng).unbind(1)
        side = 1 - (1 - self.crop) * zoom
        sign = torch.where(flip < self.flip, -1.0, 1.0).to(x)
        zero = torch.zeros_like(side)
        shift = 1 - side  # in grid_sample's units a side is 2 long
        rows = torch.stack([sign * side, zero, (2 * left - 1) * shift, zero, side, (2 * top - 1) * shift], 1)
        grid = F.affine_grid(rows.view(-1, 2, 3), list(x.shape), align_corners=False)
        moved = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        kernel = x.new_tensor([1.0, 2.0, 1.0])
        kernel = (kernel[:, None] * kernel / 16).expand(x.shape[1], 1, 3, 3)
        blurred = F.conv2d(F.pad(moved, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])
        return torch.where((blur < self.blur).view(-1, 1, 1, 1), blurred, moved)


class ImprovedContrastiveDivergence(MaximumLikelihood):
    """Player: ``ebm``.

    Args:
        ebm: p_θ(x|c).
        start: persistent chains (a replay buffer); entropy is estimated by the distances of new samples to it.
        sampler: K Langevin steps, the last of which is differentiated.
        moves: applied to the chains when they are taken from the buffer, or None.
        through: weight of the energy that is differentiated through the last step.
        entropy: weight of the nearest-neighbour entropy; the authors' is 0.3.
        neighbours: states of the buffer that are compared with.
        energy_penalty: weight of mean f² of data and samples, which keeps f's level from drifting; the authors' is 1.
        data_noise: standard deviation of noise added to the data.
        sample_rounds: times the sampler runs on a fresh chain in ``sample``.
    """

    sampler: Langevin
    start: Persistent

    def __init__(
        self,
        ebm: EBM,
        *,
        start: Persistent,
        sampler: Langevin,
        moves: Moves | None = None,
        through: float = 1.0,
        entropy: float = 0.3,
        neighbours: int = 100,
        energy_penalty: float = 1.0,
        data_noise: float = 0.0,
        sample_rounds: int = 1,
    ) -> None:
        super().__init__(ebm, start=start, sampler=sampler, data_noise=data_noise, sample_rounds=sample_rounds)
        self.moves = moves
        self.through = through
        self.entropy = entropy
        self.neighbours = neighbours
        self.energy_penalty = energy_penalty

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x_pos, c = self.observed(batch, rng=rng), batch.c
        x_neg, buffer = self.synthesize_through(x_pos, c, rng=rng)
        f_pos, f_neg = self.ebm(c).f(x_pos), self.ebm(c).f(x_neg.detach())
        difference = f_neg.mean() - f_pos.mean()  # contrastive divergence
        level = (f_pos**2).mean() + (f_neg**2).mean()
        frozen = {name: p.detach() for name, p in self.ebm.f.named_parameters()}
        arguments = (x_neg,) if c is None else (x_neg, c)
        f_stopped = functional_call(self.ebm.f, frozen, arguments)
        energy = -(f_stopped + self.ebm.reference.log_prob(x_neg)).mean()  # E_{stop(θ)}(x⁻(θ))
        nearest = torch.cdist(x_neg.flatten(1), buffer.flatten(1)).amin(1)
        log_q = -nearest.clamp(min=1e-12).log().mean()  # −H(q_θ) up to a constant and the factor D
        return {"ebm": difference + self.energy_penalty * level + self.through * energy + self.entropy * log_q}

    def synthesize_through(self, x: Tensor, c: Tensor | None = None, *, rng: Rng) -> tuple[Tensor, Tensor]:
        """x⁻ with the graph of its last step, and states of the buffer that are not these chains."""
        first, ticket = self.start.draw(x, rng=rng)
        if self.moves is not None:
            first = self.moves(first, rng=rng)
        log_density = self.ebm(c).log_density
        last = replace(self.sampler, steps=1)
        before = replace(self.sampler, steps=self.sampler.steps - 1)(log_density, first, rng=rng)
        noise = noise_tape(last, before, rng=rng)
        x_neg = unroll(last, log_density, before, noise, list(self.ebm.parameters()))
        self.chains["ebm"] = ChainRecord(self.sampler, log_density, first, x_neg.detach())
        rows = self.start.rows(x.device)
        others = uniform_like(self.start.chains.new_empty(len(rows)), rng)
        if ticket is not None:
            others[torch.isin(rows, ticket)] = 2.0  # to the end of the order
        buffer = self.start.chains[rows[others.argsort()[: min(self.neighbours, len(others) - len(x))]]]
        self.start.keep(ticket, x_neg)
        return x_neg, buffer
