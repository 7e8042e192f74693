"""Symbol-vector coupling: a class y and a dense vector z share one energy, so a generative model classifies.

Pang and Wu: "Latent Space Energy-Based Model of Symbol-Vector Coupling for Text Generation and Classification", ICML
2021, arXiv:2108.11556. With y one of C symbols (one-hot) and F_α: z ↦ R^C,

    p_α(y, z) = exp(⟨y, F_α(z)⟩) p_0(z) / Z(α),     p_θ(y, z, x) = p_α(y, z) p_β(x|z)
    p_α(z)    = exp(f_α(z)) p_0(z) / Z(α),           f_α(z) = log Σ_y exp F_α^y(z)
    p_α(y|z)  = softmax(F_α(z))_y,                   p_α(z|y) ∝ exp(F_α^y(z)) p_0(z)

The marginal is a latent EBM prior; with C = 1 it is that prior, number for number. z is inferred by a network q_φ(z|x)
and the prior sampled by a short run. log p_θ(y, z, x) = log p_α(y|z) + log p_θ(z, x), so a label adds log p_α(y|z) to
the bound: it is taken at q_φ's mean or at a draw of it, times a weight λ. Unlabelled examples carry the label −1 and
add nothing to it. A short run of the marginal may look balanced although its density has forgotten all symbols but one;
where labels are known the prior can learn from log p_α(z|y) instead: each example's z⁻ is then a draw of p_α(z|y).
"""

from __future__ import annotations

from typing import Any, Literal

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.density import EBM
from absynth.distributions import GaussianInference, Normal
from absynth.errors import InputError
from absynth.samplers import Start
from absynth.types import Batch, Conditional, Distribution, Rng, Sampler

Contrast = Literal["marginal", "label"]
LabelsAt = Literal["mean", "draw"]
UNLABELLED = -1
"""The label of an example whose class is not known."""


class SymbolF(nn.Module):
    """f_α of the coupling: log Σ_y exp F_α^y(z), or F_α^y(z) where a symbol y is given.

    Args:
        net: F_α, ``[b, d] -> [b, C]``.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor, y: Int64[Tensor, "b"] | None = None) -> Float[Tensor, "b"]:
        scores = self.net(z)
        if y is None:
            return scores.logsumexp(1)
        chosen = scores.gather(1, y.clamp(min=0)[:, None])[:, 0]
        return chosen.where(y != UNLABELLED, scores.logsumexp(1))


class SymbolVector(AmortizedLatentPrior):
    """Players: ``prior`` (of z and y), ``generator`` and ``inference``. Labels are ``Batch.y``.

    Args:
        prior: p_α, its f a :class:`SymbolF`; its reference p_0 is N(0, I).
        generator: p_β(x|z). It does not see y: z holds all that x has of it.
        inference: q_φ(z|x).
        prior_sampler: K_0 steps on p_α(z), or on p_α(z|y), from p_0.
        posterior_sampler: what a task runs that asks for the posterior itself.
        prior_start: where the prior's chains begin while it learns, instead of p_0.
        sample_rounds: times the prior's sampler runs on a fresh chain.
        free_nats: of each coordinate of z.
        label_weight: λ, of a labelled example's log p_α(y|z). The rest of the bound is a sum over all of x.
        contrast: ``marginal``: the prior learns from draws of p_α(z), as in the paper. ``label``: from draws of
            p_α(z|y) for labelled examples, each under its own label, and p_α(z|y) stands in their bound.
        labels_at: Where of q_φ(z|x) log p_α(y|z) is taken: its ``mean``, or a ``draw``, which separates draws.
        labelled_in_bound: Whether labelled examples enter the bound. False where a batch repeats a few of them beside
            examples drawn from all of the data: the bound then weighs every x alike, as in the paper.

    Raises:
        InputError: the prior's f is no :class:`SymbolF`.
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
        contrast: Contrast = "marginal",
        labels_at: LabelsAt = "mean",
        labelled_in_bound: bool = True,
    ) -> None:
        super().__init__(
            prior, generator, inference, prior_sampler=prior_sampler, posterior_sampler=posterior_sampler,
            prior_start=prior_start, sample_rounds=sample_rounds, free_nats=free_nats,
        )  # fmt: skip
        if not isinstance(prior.f, SymbolF):
            raise InputError(f"the prior of a symbol-vector coupling needs f of class SymbolF, got {prior.f}: wrap it")
        self.label_weight = label_weight
        if contrast == "label" and not labelled_in_bound:
            raise InputError("expected labelled_in_bound with contrast label, whose bound is that of labelled examples")
        self.contrast, self.labels_at, self.labelled_in_bound = contrast, labels_at, labelled_in_bound

    condition_required = False

    def extra_repr(self) -> str:
        about = f"\nlabel_weight={self.label_weight:g}, contrast={self.contrast}, labels_at={self.labels_at}"
        return super().extra_repr() + about

    def symbol_scores(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b C"]:
        """F_α(z): their softmax is p_α(y|z)."""
        return self.get_submodule("prior.f.net")(z)

    def classify(self, x: Tensor) -> Float[Tensor, "b C"]:
        """log p_α(y|z) of every symbol, at the mean of q_φ(z|x)."""
        return self.symbol_scores(self.encode(x).mode).log_softmax(1)

    def label_loss(self, q: Normal, z: Tensor, y: Tensor | None) -> Float[Tensor, ""]:
        """−λ log p_α(y|z), the mean of the labelled examples."""
        if y is None or not (known := y != UNLABELLED).any():
            return z.new_zeros(())
        at = q.mean if self.labels_at == "mean" else z
        return self.label_weight * functional.cross_entropy(self.symbol_scores(at[known]), y[known])

    def symbol_loss(self, q: Normal, z: Tensor, y: Tensor | None) -> Float[Tensor, ""]:
        """What prior and inference model descend besides the bound."""
        return self.label_loss(q, z, y)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, y = batch.x, batch.y
        if y is None or self.labelled_in_bound or (known := y != UNLABELLED).all() or not known.any():
            c = y if self.contrast == "label" else None  # the symbol −1 of SymbolF is the marginal
            losses, q, z_pos = self.variational(batch._replace(c=c), rng=rng)
            shared = self.symbol_loss(q, z_pos, y)
        else:
            rest = Batch(x[~known], mask=None if batch.mask is None else batch.mask[~known])
            losses, q, z_pos = self.variational(rest, rng=rng)
            few: Any = self.encode(x[known])
            z = few.sample(rng) if self.labels_at == "draw" else few.mean
            shared = self.symbol_loss(q, z_pos, None) + self.label_loss(few, z, y[known])
        return losses | {player: losses[player] + shared for player in ("prior", "inference")}

    def likelihood(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        """p_β(x|z), which does not depend on the symbol."""
        return self.generator(z)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """q_φ(z|x), which does not depend on the symbol."""
        return super().encode(x)
