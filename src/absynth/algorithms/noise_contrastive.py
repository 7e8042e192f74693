"""Noise contrastive and flow contrastive estimation: a density learned by telling data from noise, without chains.

Gutmann and Hyvärinen, AISTATS 2010; Gao, Nijkamp, Kingma, Xu, Dai, Wu: "Flow Contrastive Estimation of Energy-Based
Models", CVPR 2020, arXiv:1912.00589. With log p_θ(x) = f_θ(x) + log p_0(x) − c, normalized by learning c, and noise q
whose density is known:

    J(θ, q) = E_data[log σ(log p_θ(x) − log q(x))] + E_q[log σ(log q(x) − log p_θ(x))]              (1)
    max over θ: p_θ = data, and c = log Z at the optimum                                            (2)
    min over q, a flow: its draws x = g(ε) are differentiable, and so is log q                      (3)
    labels: f_θ(x) = log Σ_y exp f_θ^y(x),  plus λ E_labelled[log softmax(f_θ(x))_y]                (4)

(3) moves the flow towards the data by about the Jensen–Shannon divergence. In the authors' scheme the flow first learns
by maximum likelihood; then the players take turns: the energy learns until it tells data from noise by more than a
margin, the flow until it no longer does.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from absynth.algorithms.algorithm import Algorithm
from absynth.algorithms.chain import Chain
from absynth.algorithms.symbol_vector import UNLABELLED, SymbolF
from absynth.density import EBM
from absynth.errors import InputError
from absynth.networks.heads import Normalized
from absynth.types import Batch, Reference, Rng, Sampler

Turns = Literal["fixed", "together", "alternate"]
"""Who learns in an update: the energy alone, both players, or the one whose turn it is."""


class NoiseContrastive(Algorithm):
    """Players: ``ebm``, and ``noise`` if it is a flow that learns.

    Args:
        ebm: p_θ, its f a :class:`Normalized`, whose own f is a :class:`SymbolF` where there are labels.
        noise: q with ``log_prob`` and differentiable ``sample``.
        sampler: Draws from p_θ by a chain that starts at q; without one, ``sample`` resamples draws of q.
        turns: Who learns in an update.
        warmup: Share of the updates, at the beginning, in which a flow learns by maximum likelihood and p_θ rests.
        margin: Accuracy beyond 1/2 at which the turn changes.
        label_weight: λ of (4).
    """

    turn: Tensor

    def __init__(
        self,
        ebm: EBM,
        noise: Reference,
        *,
        sampler: Sampler,
        turns: Turns = "fixed",
        warmup: float = 0.0,
        margin: float = 0.025,
        label_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not isinstance(ebm.f, Normalized):
            raise InputError(
                f"noise contrastive estimation needs f of class Normalized, got {type(ebm.f).__name__}: wrap it"
            )
        self.ebm, self.noise, self.sampler = ebm, noise, sampler
        self.turns, self.warmup, self.margin, self.label_weight = turns, warmup, margin, label_weight
        self.share = 1.0
        self.flow = isinstance(noise, nn.Module) and any(p.requires_grad for p in noise.parameters())
        self.register_buffer("turn", torch.zeros(()))  # 0: the energy learns, 1: the flow

    def extra_repr(self) -> str:
        numbers = f"warmup={self.warmup:g}, margin={self.margin:g}, label_weight={self.label_weight:g}"
        return f"sampler={self.sampler}, turns={self.turns}\n{numbers}"

    def set_progress(self, share: float) -> None:
        self.share = share

    def contrast(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """log p_θ − log q at the data and at the noise."""
        p, log_q = self.ebm().log_density, self.noise.log_prob
        return p(x) - log_q(x), p(noise) - log_q(noise)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        rest = batch.x.new_zeros((), requires_grad=True)  # reaches no parameter, so the optimizer of a player rests
        if self.flow and self.share < self.warmup:
            return {"ebm": rest, "noise": -self.noise.log_prob(batch.x).mean()}
        drawn = self.noise.sample(len(batch.x), rng)
        pos, neg = self.contrast(batch.x, drawn.detach())
        losses = {"ebm": objective(pos, neg) + self.label_weight * self.label_loss(batch.x, batch.y)}  # −(1) − (4)
        if not self.flow:
            return losses
        losses["noise"] = rest
        if self.turns != "fixed":
            losses["noise"] = -objective(*self.contrast(batch.x, drawn))  # (3)
        if self.turns == "alternate":
            self.take_turns(0.5 * ((pos > 0).float().mean() + (neg < 0).float().mean()))
            losses["noise" if self.turn == 0 else "ebm"] = rest
        return losses

    def take_turns(self, accuracy: Tensor) -> None:
        """The energy learns until its accuracy is above 1/2 + margin, then the flow until it is below 1/2 − margin."""
        if self.turn == 0 and accuracy > 0.5 + self.margin:
            self.turn.fill_(1)
        elif self.turn == 1 and accuracy < 0.5 - self.margin:
            self.turn.fill_(0)

    def label_loss(self, x: Tensor, y: Tensor | None) -> Float[Tensor, ""]:
        """−log p_θ(y|x), the mean of the labelled examples."""
        known = None if y is None else y != UNLABELLED
        if y is None or known is None or not known.any():
            return x.new_zeros(())
        return cross_entropy(self.symbol_scores(x[known]), y[known])

    def symbol_scores(self, x: Tensor) -> Float[Tensor, "b C"]:
        """f_θ^y(x) of every class."""
        f = self.ebm.get_submodule("f.f")
        scores = f.net(x) if isinstance(f, SymbolF) else x.new_zeros(len(x), 1)
        if scores.shape[1] < 2:
            self._unsupported("was trained without labels and does not classify: train on data with labels")
        return scores

    def classify(self, x: Tensor) -> Float[Tensor, "b C"]:
        return self.symbol_scores(x).log_softmax(1)

    def samplers(self) -> dict[str, Sampler]:
        return {"sampler": self.sampler}

    def sampling_sampler(self) -> str | None:
        return "sampler"

    def chain(self, c: Tensor | None = None) -> Chain:
        return Chain(self.ebm(c), self.noise, self.sampler)

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        chain = self.chain(c)
        with torch.no_grad():
            start = self.noise.sample(n, rng)
        return chain.run(chain.density.log_density, start, rng=rng)

    def explain_metrics(self) -> dict[str, str]:
        return {
            "ebm": "is the cross-entropy of telling data from noise: 2 log 2 = 1.386 where it cannot",
            "noise": "is minus that cross-entropy, which the flow descends",
        }


def objective(pos: Tensor, neg: Tensor) -> Float[Tensor, ""]:
    """−J of (1)."""
    return softplus(-pos).mean() + softplus(neg).mean()
