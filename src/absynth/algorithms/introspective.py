"""Introspective learning: classifiers that learn from what they and the ones before them take for data.

Tu: "Learning Generative Models via Discriminative Approaches", CVPR 2007; Lazarow, Jin, Tu: "Introspective Neural
Networks for Generative Modeling", ICCV 2017, arXiv:1704.07820; class-wise: Jin, Lazarow, Tu: "Introspective
Classification with Convolutional Nets", NeurIPS 2017, arXiv:1704.07816. With f_k the logit of classifier k, data
against pseudo-negatives drawn from p_k,

    p_0 = reference;   p_{k+1}(x) ∝ p_k(x) q_k(data|x) / q_k(negative|x) = p_k(x) exp f_k(x)           (1)
    classifier k ascends  E_data[log σ(f_k)] + E_{p_k}[log σ(−f_k)]                                   (2)
    class-wise: one f_k^y per class y, (2) within each class on data and pseudo-negatives of that class,
    and log softmax(Σ_{j≤k} f_j(x))_y on labelled data                                                (3)

At the optimum of every (2), p_T is the data's law. p_k is sampled by chains on log p_k that start at p_0. With
classes the paper has one classifier, which draws in rounds and keeps all, and (3) in place of (2)'s first term.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from absynth.algorithms.algorithm import Algorithm
from absynth.algorithms.chain import Chain
from absynth.algorithms.symbol_vector import UNLABELLED
from absynth.density import EBM
from absynth.errors import InputError
from absynth.networks.heads import Cascade
from absynth.seeding import uniform_like
from absynth.types import Batch, LogDensity, Rng, Sampler


class Introspective(Algorithm):
    """Player: ``ebm``, whose f is a :class:`Cascade`; its classifiers share the updates evenly.

    Args:
        ebm: p_T(x) or, with classes, p_T(x|y).
        sampler: Draws pseudo-negatives by chains on p_k.
        negatives: Number of pseudo-negatives of each classifier.
        classes: C; 1 without classes.
        rounds: Number of times that a classifier draws a share of its pseudo-negatives, from p_k and then p_{k+1}.
        negative_weight: Weight of (2) relative to (3); 0 is the classifier alone.
        positive_weight: Weight of the data's half of (2) within it.

    Raises:
        InputError: The f of the EBM is no :class:`Cascade`.
    """

    condition_required = False
    negatives: Tensor
    negative_labels: Tensor
    round: Tensor

    def __init__(
        self,
        ebm: EBM,
        *,
        sampler: Sampler,
        negatives: int,
        shape: Sequence[int],
        classes: int = 1,
        rounds: int = 1,
        negative_weight: float = 1.0,
        positive_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not isinstance(ebm.f, Cascade):
            raise InputError(f"introspective learning needs f of class Cascade, got {type(ebm.f).__name__}: wrap it")
        if not 0 < rounds <= negatives:
            raise InputError(f"expected rounds between 1 and the {negatives} negatives, got {rounds}")
        self.ebm, self.sampler, self.classes, self.rounds, self.share = ebm, sampler, classes, rounds, 0.0
        self.negative_weight, self.positive_weight, self.size = negative_weight, positive_weight, negatives // rounds
        self.register_buffer("negatives", torch.zeros(negatives, *shape))
        self.register_buffer("negative_labels", torch.arange(negatives) % classes)
        self.register_buffer("round", torch.tensor(-1))

    def extra_repr(self) -> str:
        return f"{self.sampler}\nnegatives={len(self.negatives)}, classes={self.classes}, rounds={self.rounds}"

    @property
    def cascade(self) -> Cascade:
        """f of p_T."""
        return self.ebm.f  # type: ignore[return-value]

    def set_progress(self, share: float) -> None:
        self.share = share

    def stage_density(self, stages: int, y: Int64[Tensor, "b"]) -> LogDensity:
        """log p_k(x|y), (1), of the first classifiers."""
        logits, p_0 = self.cascade.logits, self.ebm.reference
        return lambda x: logits(x, stages).gather(1, y[:, None])[:, 0] + p_0.log_prob(x)

    def begin(self, stage: int, again: int, *, rng: Rng) -> None:
        """Draw the pseudo-negatives of a classifier's round, from chains that start at p_0."""
        rows, stages = slice(again * self.size, (again + 1) * self.size), stage + (again > 0)
        x, density = self.ebm.reference.sample(self.size, rng), self.stage_density(stages, self.negative_labels[rows])
        self.negatives[rows] = self.run_chain("ebm", self.sampler, density, x, rng=rng) if stages else x

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, nets = batch.x, self.cascade.nets
        number = min(int(self.share * len(nets) * self.rounds), len(nets) * self.rounds - 1)
        stage, again = divmod(number, self.rounds)
        if number != int(self.round):
            self.begin(stage, again, rng=rng)
            self.round.fill_(number)
        before, logits = self.cascade.logits(x, stage).detach(), nets[stage](x)  # Σ_{j<k} f_j^y and f_k^y
        y = x.new_zeros(len(x), dtype=torch.long) if self.classes == 1 else batch.y
        if y is None or not bool((y != UNLABELLED).any()):
            raise InputError("class-wise introspective learning needs labels in every batch, got none")
        known = y != UNLABELLED
        loss = cross_entropy((before + logits)[known], y[known])  # (3)
        if self.negative_weight:
            drawn = (again + 1) * self.size
            rows = (drawn * uniform_like(x.new_empty(len(x)), rng)).long().clamp(max=drawn - 1)
            neg = softplus(nets[stage](self.negatives[rows]).gather(1, self.negative_labels[rows, None])).mean()
            pos = softplus(-logits[known].gather(1, y[known, None])).mean()
            loss = loss + self.negative_weight * (neg + self.positive_weight * pos)  # −(2)
        return {"ebm": loss}

    def samplers(self) -> dict[str, Sampler]:
        return {"sampler": self.sampler}

    def sampling_sampler(self) -> str | None:
        return "sampler"

    def chain(self, c: Tensor | None = None) -> Chain:
        return Chain(self.ebm(c), self.ebm.reference, self.sampler)

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n draws of p_T(x|y); classes in turn where no c is given."""
        return self.sample_stage(len(self.cascade.nets), n, c, rng=rng)

    def sample_stage(self, stages: int, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n draws of p_k(x|y), the law after the first classifiers."""
        start = self.ebm.reference.sample(n, rng)
        with torch.inference_mode(False):  # what the log density holds must serve autograd
            y = torch.arange(n, device=start.device) % self.classes if c is None else c.clone()
        return self.sampler(self.stage_density(stages, y), start, rng=rng)

    def classify(self, x: Tensor) -> Float[Tensor, "b C"]:
        if self.classes == 1:
            self._unsupported("was trained without classes: train on data with labels")
        return self.cascade.logits(x, len(self.cascade.nets)).log_softmax(1)

    def explain_metrics(self) -> dict[str, str]:
        return {"ebm": "is the cross-entropy of data against pseudo-negatives, plus that of labels"}
