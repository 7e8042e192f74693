"""Cycle-consistent cooperative networks for sequences: the cycle runs through the other domain's future.

Tutorial of Xie and Wu, CVPR 2021, part III ("unsupervised sequence-to-sequence translation"); the loss is that of
Bansal, Ma, Ramanan, Sheikh: "Recycle-GAN", ECCV 2018, arXiv:1808.05174, with cooperative EBMs for discriminators.

    L_rec = Σ_t ‖x_{t+1} − R_X(x_{1:t})‖²,  the same for Y                           (1)
    L_st  = Σ_t ‖x_{t+1} − G_{Y→X}(R_Y(G_{X→Y}(x_{1:t})))‖²,  the same from Y        (2)

Frames are translated one by one and each has to look like a frame of its domain; (2) in place of the plain cycle also
asks that a translated sequence *moves* as its domain does. As there, everything that stands in (2) learns from it,
predictors too. Sums over t are means here, as are norms.

Batches are unpaired: the first holds sequences of X ``[b, T, *event]``, the second sequences of Y.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.algorithms.chain import Translation
from absynth.algorithms.cycle_cooperative import CycleCooperative, Domain, mean_absolute, mean_square
from absynth.density import EBM
from absynth.types import Batch, LogDensity, Rng, Sampler


class CycleSequences(CycleCooperative):
    """Players: ``ebm_x``, ``ebm_y``, ``to_x``, ``to_y``, ``rec_x``, ``rec_y``; EBMs and translators see frames.

    Args:
        ebm_x: p_X of a frame.
        ebm_y: p_Y of a frame.
        to_x: G_{Y→X} of a frame.
        to_y: G_{X→Y} of a frame.
        rec_x: R_X, a causal module ``[b, T, *event] -> [b, T, *event]``: at t, what it expects at t + 1.
        rec_y: R_Y.
        sampler: K steps on either density, from an initial sample.
        teach: weight of teaching.
        cycle: weight of the plain cycle of frames; 0 where (2) replaces it.
        spatio_temporal: weight of (2).
    """

    def __init__(
        self,
        ebm_x: EBM,
        ebm_y: EBM,
        to_x: nn.Module,
        to_y: nn.Module,
        rec_x: nn.Module,
        rec_y: nn.Module,
        *,
        sampler: Sampler,
        teach: float,
        cycle: float,
        spatio_temporal: float,
    ) -> None:
        super().__init__(ebm_x, ebm_y, to_x, to_y, sampler=sampler, teach=teach, cycle=cycle)
        self.rec_x, self.rec_y = rec_x, rec_y
        self.spatio_temporal = spatio_temporal

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, spatio_temporal={self.spatio_temporal:g}"

    def log_density(self, domain: Domain) -> LogDensity:
        """Σ_t log p of frame t, of sequences: frames are refined each on its own."""
        frame = self.density(domain).log_density
        return lambda x: frame(x.flatten(0, 1)).unflatten(0, x.shape[:2]).sum(1)

    def losses(self, batch: Batch, other: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, y = batch.x, other.x
        x_initial, y_initial = framewise(self.to_x, y), framewise(self.to_y, x)
        x_refined, y_refined = self.refine(x_initial, "x", rng=rng), self.refine(y_initial, "y", rng=rng)
        f_x, f_y = self.density("x").f, self.density("y").f
        plain = mean_absolute(x, framewise(self.to_x, y_initial)) + mean_absolute(y, framewise(self.to_y, x_initial))
        ahead_x, ahead_y = framewise(self.to_x, self.rec_y(y_initial)), framewise(self.to_y, self.rec_x(x_initial))
        through = next_frame(x, ahead_x) + next_frame(y, ahead_y)  # (2)
        shared = self.cycle * plain + self.spatio_temporal * through
        return {
            "ebm_x": f_x(x_refined.flatten(0, 1)).mean() - f_x(x.flatten(0, 1)).mean(),
            "ebm_y": f_y(y_refined.flatten(0, 1)).mean() - f_y(y.flatten(0, 1)).mean(),
            "to_x": self.teach * mean_square(x_refined, x_initial) + shared,
            "to_y": self.teach * mean_square(y_refined, y_initial) + shared,
            "rec_x": next_frame(x, self.rec_x(x)) + shared,  # (1)
            "rec_y": next_frame(y, self.rec_y(y)) + shared,  # (1)
        }

    def translate(self, x: Tensor, domain: Domain, *, rng: Rng) -> tuple[Tensor, Tensor]:
        """``(initial, refined)`` of sequences ``[b, T, *event]``, frame by frame."""
        with torch.no_grad():
            initial = framewise(self.translator(domain), x)
        return initial, self.refine(initial, domain, rng=rng)

    def translations(self) -> dict[str, Translation]:
        return {
            "x_to_y": Translation(lambda x, *, rng: self.translate(x, "y", rng=rng), lambda y: framewise(self.to_x, y)),
            "y_to_x": Translation(lambda y, *, rng: self.translate(y, "x", rng=rng), lambda x: framewise(self.to_y, x)),
        }

    def explain_metrics(self) -> dict[str, str]:
        predictor = "is its error at the next frame, directly and through the other domain: it should fall"
        return {**super().explain_metrics(), "rec_x": predictor, "rec_y": predictor}


def framewise(net: nn.Module, x: Tensor) -> Tensor:
    """The network on every frame of ``[b, T, *event]``."""
    return net(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def next_frame(x: Tensor, expected: Tensor) -> Float[Tensor, ""]:
    """‖x_{t+1} − what was expected at t‖², a frame and coordinate."""
    return mean_square(x[:, 1:], expected[:, :-1])
