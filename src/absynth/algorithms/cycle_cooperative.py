"""Cycle-consistent cooperative networks: two unpaired domains, each with an EBM, and a translator each way.

Xie, Zheng, Fang, Zhu, Wu: "Learning Cycle-Consistent Cooperative Networks via Alternating MCMC Teaching for
Unsupervised Cross-Domain Translation", AAAI 2021, arXiv:2103.04285; losses as in the tutorial of Xie and Wu, CVPR 2021,
part III.

    p_X(x) ∝ exp(f_X(x)) p_0(x),  p_Y(y) ∝ exp(f_Y(y)) p_0(y)         ebm_x, ebm_y
    x̂ = G_{Y→X}(y),  ŷ = G_{X→Y}(x)                                   to_x, to_y: initial samples
    x̃, ỹ = K steps of Langevin on p_X from x̂, on p_Y from ŷ           refined
    L_teach = ‖x̃ − G_{Y→X}(y)‖² + ‖ỹ − G_{X→Y}(x)‖²                   (1)
    L_cycle = ‖x − G_{Y→X}(G_{X→Y}(x))‖₁ + ‖y − G_{X→Y}(G_{Y→X}(y))‖₁  (2)

An example of the other domain stands where z stands in cooperative networks. (2) is L₁, as in the authors' code (the
tutorial squares it); norms are means over coordinates and the batch. x̃ and ỹ are taken as given: the released code
sends (1) through the chain as well, whose reference shrinks that gradient to a seventh.

Data are **unpaired**: one batch holds examples of X, the other as many of Y, and row i of one says nothing
about row i of the other.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.algorithms.algorithm import ENERGY_DIFFERENCE, Algorithm
from absynth.algorithms.chain import Translation
from absynth.density import EBM, Density
from absynth.errors import InputError
from absynth.seeding import noise_like
from absynth.types import Batch, LogDensity, Rng, Sampler

Domain = Literal["x", "y"]


class CycleCooperative(Algorithm):
    """Players: ``ebm_x``, ``ebm_y``, ``to_x`` and ``to_y``.

    Args:
        ebm_x: p_X.
        ebm_y: p_Y.
        to_x: G_{Y→X}, a module from examples of Y to examples of X.
        to_y: G_{X→Y}.
        sampler: K steps on either density, from an initial sample.
        teach: weight of (1); 0 leaves cycle consistency alone, which the identity satisfies.
        cycle: weight of (2).
        data_noise: standard deviation of noise added to what the EBMs see of the data: without it they learn to tell
            refined images by the noise of their chains.
    """

    def __init__(
        self,
        ebm_x: EBM,
        ebm_y: EBM,
        to_x: nn.Module,
        to_y: nn.Module,
        *,
        sampler: Sampler,
        teach: float,
        cycle: float,
        data_noise: float = 0.0,
    ) -> None:
        super().__init__()
        self.ebm_x, self.ebm_y = ebm_x, ebm_y
        self.to_x, self.to_y = to_x, to_y
        self.sampler = sampler
        self.teach = teach
        self.cycle = cycle
        self.data_noise = data_noise

    def extra_repr(self) -> str:
        return f"sampler={self.sampler}\nteach={self.teach:g}, cycle={self.cycle:g}, data_noise={self.data_noise:g}"

    def density(self, domain: Domain) -> Density:
        """p_X or p_Y."""
        return (self.ebm_x if domain == "x" else self.ebm_y)()

    def log_density(self, domain: Domain) -> LogDensity:
        """What chains of the domain move on."""
        return self.density(domain).log_density

    def refine(self, initial: Tensor, domain: Domain, *, rng: Rng) -> Tensor:
        """x̃ or ỹ: K steps on the domain's density from an initial translation. Its EBM learns from this chain."""
        return self.run_chain(f"ebm_{domain}", self.sampler, self.log_density(domain), initial.detach(), rng=rng)

    def losses(self, batch: Batch, other: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, y = batch.x, other.x
        x_initial, y_initial = self.to_x(y), self.to_y(x)
        x_refined, y_refined = self.refine(x_initial, "x", rng=rng), self.refine(y_initial, "y", rng=rng)
        f_x, f_y = self.density("x").f, self.density("y").f
        x_seen, y_seen = (v + self.data_noise * noise_like(v, rng) if self.data_noise else v for v in (x, y))
        cycle = mean_absolute(x, self.to_x(y_initial)) + mean_absolute(y, self.to_y(x_initial))  # (2)
        return {
            "ebm_x": f_x(x_refined).mean() - f_x(x_seen).mean(),
            "ebm_y": f_y(y_refined).mean() - f_y(y_seen).mean(),
            "to_x": self.teach * mean_square(x_refined, x_initial) + self.cycle * cycle,  # (1), the term of to_x
            "to_y": self.teach * mean_square(y_refined, y_initial) + self.cycle * cycle,  # (1), the term of to_y
        }

    def translate(self, x: Tensor, domain: Domain, *, rng: Rng) -> tuple[Tensor, Tensor]:
        """``(initial, refined)``: examples of the other domain, translated to this one."""
        with torch.no_grad():
            initial = self.translator(domain)(x)
        return initial, self.refine(initial, domain, rng=rng)

    def translator(self, domain: Domain) -> nn.Module:
        """The network that translates to a domain."""
        return self.to_x if domain == "x" else self.to_y

    def translations(self) -> dict[str, Translation]:
        return {
            "x_to_y": Translation(lambda x, *, rng: self.translate(x, "y", rng=rng), self.to_x),
            "y_to_x": Translation(lambda y, *, rng: self.translate(y, "x", rng=rng), self.to_y),
        }

    def samplers(self) -> dict[str, Sampler]:
        return {"sampler": self.sampler}

    def sampling_sampler(self) -> str | None:
        return "sampler"

    def explain_metrics(self) -> dict[str, str]:
        translator = "is its distance to refined translations plus the cycle error: it should fall, then level off"
        return {"ebm_x": ENERGY_DIFFERENCE, "ebm_y": ENERGY_DIFFERENCE, "to_x": translator, "to_y": translator}

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n examples of X: c, of Y, translated and refined."""
        if c is None or len(c) != n:
            got = "none" if c is None else str(len(c))
            raise InputError(f"a translator needs {n} examples of the other domain, got {got}: give them as c")
        return self.translate(c, "x", rng=rng)[1]


def mean_absolute(a: Tensor, b: Tensor) -> Float[Tensor, ""]:
    """‖a − b‖₁, a coordinate."""
    return (a - b).abs().mean()


def mean_square(a: Tensor, b: Tensor) -> Float[Tensor, ""]:
    """‖a − b‖², a coordinate."""
    return (a - b).square().mean()
