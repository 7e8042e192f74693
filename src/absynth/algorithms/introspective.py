"""Introspective learning: a cascade of classifiers, each of which learns from what the ones before it take for data.

Tu: "Learning Generative Models via Discriminative Approaches", CVPR 2007; Lazarow, Jin, Tu: "Introspective Neural
Networks for Generative Modeling", ICCV 2017, arXiv:1704.07820; class-wise: Jin, Lazarow, Tu: "Introspective
Classification with Convolutional Nets", NeurIPS 2017, arXiv:1704.07816. With f_k the logit of classifier k, data
against pseudo-negatives drawn from p_k,

    p_0 = reference;   p_{k+1}(x) ∝ p_k(x) q_k(data|x) / q_k(negative|x) = p_k(x) exp f_k(x)           (1)
    classifier k ascends  E_data[log σ(f_k)] + E_{p_k}[log σ(−f_k)]                                   (2)
    class-wise: one f_k^y per class y, (2) within each class on data and pseudo-negatives of that class,
    and log softmax(Σ_{j≤k} f_j(x))_y on labelled data                                                (3)

At the optimum of every (2), p_T is the data's law. p_k is sampled by chains on log p_k that start at p_0.
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
    """Player: ``ebm``, whose f is a :class:`Cascade`; the updates are shared evenly among its classifiers.

    Args:
        ebm: p_T(x) or, with classes, p_T(x|y).
        sampler: Draws pseudo-negatives by chains on p_k.
        negatives: Number of pseudo-negatives of each classifier, drawn anew when it begins.
        classes: C; 1 without classes.
        negative_weight: Weight of the second term of (2); 0 is the classifier alone.
        label_weight: Weight of the softmax of (3).

    Raises:
        InputError: The f of the EBM is no :class:`Cascade`.
    """

    condition_required = False
    negatives: Tensor
    negative_labels: Tensor
    stage: Tensor

    def __init__(
        self,
        ebm: EBM,
        *,
        sampler: Sampler,
        negatives: int,
        shape: Sequence[int],
        classes: int = 1,
        negative_weight: float = 1.0,
        label_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not isinstance(ebm.f, Cascade):
            raise InputError(f"introspective learning needs f of class Cascade, got {type(ebm.f).__name__}: wrap it")
        self.ebm, self.sampler, self.classes = ebm, sampler, classes
        self.negative_weight, self.label_weight, self.share = negative_weight, label_weight, 0.0
        self.register_buffer("negatives", torch.zeros(negatives, *shape))
        self.register_buffer("negative_labels", torch.arange(negatives) % classes)
        self.register_buffer("stage", torch.tensor(-1))

    def extra_repr(self) -> str:
        weights = f"negative_weight={self.negative_weight:g}, label_weight={self.label_weight:g}"
        return f"sampler={self.sampler}, negatives={len(self.negatives)}\nclasses={self.classes}, {weights}"

    @property
    def cascade(self) -> Cascade:
        """f of p_T."""
        assert isinstance(self.ebm.f, Cascade)
        return self.ebm.f

    def set_progress(self, share: float) -> None:
        self.share = share

    def stage_density(self, stages: int, y: Int64[Tensor, "b"]) -> LogDensity:
        """log p_k(x|y), (1), of the first classifiers."""
        f, p_0 = self.cascade, self.ebm.reference
        return lambda x: f.logits(x, stages).gather(1, y[:, None])[:, 0] + p_0.log_prob(x)

    def begin(self, stage: int, *, rng: Rng) -> None:
        """Draw the pseudo-negatives of a classifier, from chains on p_k that start at p_0."""
        start = self.ebm.reference.sample(len(self.negatives), rng)
        density = self.stage_density(stage, self.negative_labels)
        self.negatives.copy_(self.run_chain("ebm", self.sampler, density, start, rng=rng) if stage else start)
        self.stage.fill_(stage)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, nets = batch.x, self.cascade.nets
        stage = min(int(self.share * len(nets)), len(nets) - 1)
        if stage != int(self.stage):
            self.begin(stage, rng=rng)
        with torch.no_grad():
            before = self.cascade.logits(x, stage)
        logits = nets[stage](x)  # f_k^y
        y = x.new_zeros(len(x), dtype=torch.long) if self.classes == 1 else batch.y
        if y is None or not bool((y != UNLABELLED).any()):
            raise InputError("class-wise introspective learning needs labels in every batch, got none")
        known = y != UNLABELLED
        loss = self.label_weight * cross_entropy((before + logits)[known], y[known])  # (3)
        if self.negative_weight:
            u, last = uniform_like(x.new_empty(len(x)), rng), len(self.negatives) - 1
            rows = ((last + 1) * u).long().clamp(max=last)
            neg = nets[stage](self.negatives[rows]).gather(1, self.negative_labels[rows, None])
            pos = logits[known].gather(1, y[known, None])
            loss = loss + self.negative_weight * (softplus(-pos).mean() + softplus(neg).mean())  # −(2)
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
        return {
            "ebm": "is the cross-entropy of data against pseudo-negatives (1.386 where they are alike), plus labels'"
        }
