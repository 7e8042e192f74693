"""Symbol-vector coupling with an information bottleneck: symbols that are discovered, and that mean something.

Pang and Wu: "Latent Space Energy-Based Model of Symbol-Vector Coupling for Text Generation and Classification", ICML
2021, arXiv:2108.11556, its learning objective with the information bottleneck:

    L = E[−log p_β(x|z)] + E_{p_data}[KL(q_φ(z|x) ‖ p_α(z))] − λ I(z, y)

under Q(x, z, y) = p_data(x) q_φ(z|x) p_α(y|z). The first two terms are minus the variational bound; the last asks that
z tell its symbol. On a batch, with p_i = softmax(F_α(z_i)) and z_i ~ q_φ(z|x_i),

    I(z, y) = H(y) − H(y|z) ≈ H(mean_i p_i) − mean_i H(p_i)         in nats, log C at most

Without it the symbols collapse: nothing in the bound of unlabelled data prefers one F_α with the same log-sum-exp.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.symbol_vector import Contrast, LabelsAt, SymbolVector
from absynth.density import EBM
from absynth.distributions import GaussianInference, Normal
from absynth.samplers import Start
from absynth.types import Conditional, Sampler


def mutual_information(scores: Float[Tensor, "b C"]) -> Float[Tensor, ""]:
    """I(z, y) in nats of a batch of z whose symbols have probabilities softmax(scores).

    From b examples it is too low by (C − 1)/2b at most, to first order: the bias of a plug-in entropy.

    >>> import torch
    >>> sure = 100 * torch.eye(4)
    >>> round(mutual_information(sure).item(), 4), round(mutual_information(0 * sure).item(), 4)  # log 4, and nothing
    (1.3863, 0.0)
    """
    log_p = scores.log_softmax(1)
    p = log_p.exp()
    mean = p.mean(0)
    # A symbol that nothing chooses adds 0 log 0 = 0, and its gradient must be finite too.
    marginal = -(mean * mean.clamp(min=1e-30).log()).sum()
    return marginal + (p * log_p).sum(1).mean()


class InformationBottleneck(SymbolVector):
    """Players: ``prior`` (of z and y), ``generator`` and ``inference``. Labels may be given, and need not be.

    Args:
        prior: p_α, its f a :class:`absynth.algorithms.symbol_vector.SymbolF`.
        generator: p_β(x|z).
        inference: q_φ(z|x).
        prior_sampler: K_0 steps on p_α(z), or on p_α(z|y), from p_0.
        posterior_sampler: what a task runs that asks for the posterior itself.
        prior_start: where the prior's chains begin while it learns, instead of p_0.
        sample_rounds: times the prior's sampler runs on a fresh chain.
        free_nats: of each coordinate of z.
        label_weight: of a labelled example's log p_α(y|z).
        information_weight: λ, of I(z, y).
        contrast: as in :class:`absynth.algorithms.symbol_vector.SymbolVector`.
        labels_at: likewise.
        labelled_in_bound: likewise.
    """

    def __init__(
        self,
        prior: EBM,
        generator: Conditional,
        inference: GaussianInference,
        *,
        prior_sampler: Sampler,
        posterior_sampler: Sampler,
        prior_start: Start | None = None,
        sample_rounds: int = 1,
        free_nats: float = 0.0,
        label_weight: float = 1.0,
        information_weight: float = 1.0,
        contrast: Contrast = "marginal",
        labels_at: LabelsAt = "mean",
        labelled_in_bound: bool = True,
    ) -> None:
        super().__init__(
            prior, generator, inference, prior_sampler=prior_sampler, posterior_sampler=posterior_sampler,
            prior_start=prior_start, sample_rounds=sample_rounds, free_nats=free_nats, label_weight=label_weight,
            contrast=contrast, labels_at=labels_at, labelled_in_bound=labelled_in_bound,
        )  # fmt: skip
        self.information_weight = information_weight

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, information_weight={self.information_weight:g}"

    def symbol_loss(self, q: Normal, z: Tensor, y: Tensor | None) -> Float[Tensor, ""]:
        """What prior and inference model descend besides: the labels' part, less λ I(z, y)."""
        information = mutual_information(self.symbol_scores(z))
        return super().symbol_loss(q, z, y) - self.information_weight * information
