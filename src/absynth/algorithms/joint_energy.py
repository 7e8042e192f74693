"""The joint energy model: a classifier whose logits are energies, so that it is a density of the data too.

Grathwohl et al.: "Your Classifier is Secretly an Energy Based Model and You Should Treat it Like One", ICLR 2020,
arXiv:1912.03263; chains that start at class-conditional Gaussians: Yang and Ji (JEM++), ICCV 2021, arXiv:2109.09032.

    p_θ(x, y) = exp(f_θ^y(x)) p_0(x) / Z                                                             (1)
    p_θ(x)    = exp(f_θ(x)) p_0(x) / Z,  f_θ(x) = log Σ_y exp f_θ^y(x);  p_θ(y|x) = softmax(f_θ^y(x))_y  (2)
    ascend    λ log p_θ(y|x) on labelled examples                                                    (3)
              + w log p_θ(x) on all, labelled or not, by persistent chains                           (4)
              − r f_θ(x)², which keeps the two from growing together                                 (5)

The paper takes p_0 flat and chains at a temperature far below 1, so f is a log density at that temperature only.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import cross_entropy

from absynth.algorithms.algorithm import ENERGY_DIFFERENCE
from absynth.algorithms.chain import AnomalyScores
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.algorithms.symbol_vector import UNLABELLED, SymbolF
from absynth.density import EBM, score
from absynth.distributions import sum_event
from absynth.errors import InputError
from absynth.samplers import Start
from absynth.types import Batch, Rng, Sampler


class JointEnergy(MaximumLikelihood):
    """Player: ``ebm``. Class labels are ``batch.y``; −1 marks an unlabelled example.

    Args:
        ebm: p_θ(x); its f is a :class:`SymbolF` of the classifier.
        start: Chain initialization; the successor uses :class:`Persistent` over a :class:`GaussianMixture` of classes.
        sampler: K steps on p_θ(x).
        data_noise: Standard deviation of noise added to the data in (4).
        sample_rounds: Times the sampler runs on a fresh chain in ``sample``.
        label_weight: λ of (3).
        density_weight: w of (4); 0 is the classifier alone, by cross-entropy.
        penalty: r of (5).

    Raises:
        InputError: The f of the EBM is no :class:`SymbolF`.
    """

    condition_required = False

    def __init__(
        self,
        ebm: EBM,
        *,
        start: Start,
        sampler: Sampler,
        data_noise: float = 0.0,
        sample_rounds: int = 1,
        label_weight: float = 1.0,
        density_weight: float = 1.0,
        penalty: float = 0.0,
    ) -> None:
        super().__init__(ebm, start=start, sampler=sampler, data_noise=data_noise, sample_rounds=sample_rounds)
        if not isinstance(ebm.f, SymbolF):
            raise InputError(f"a joint energy model needs f of class SymbolF, got {type(ebm.f).__name__}: wrap it")
        self.label_weight, self.density_weight, self.penalty = label_weight, density_weight, penalty

    def extra_repr(self) -> str:
        weights = f"density_weight={self.density_weight:g}, penalty={self.penalty:g}"
        return f"{super().extra_repr()}\nlabel_weight={self.label_weight:g}, {weights}"

    def logits(self, x: Tensor) -> Float[Tensor, "b C"]:
        """f_θ^y(x) of every class."""
        return self.get_submodule("ebm.f.net")(x)

    def classify(self, x: Tensor) -> Float[Tensor, "b C"]:
        return self.logits(x).log_softmax(1)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        loss = self.label_weight * self.label_loss(batch.x, batch.y)  # −(3)
        if not self.density_weight:
            return {"ebm": loss}
        x_pos = self.observed(batch, rng=rng)
        x_neg = self.synthesize(x_pos, rng=rng)
        f_pos, f_neg = self.ebm().f(x_pos), self.ebm().f(x_neg)
        loss = loss + self.density_weight * (f_neg.mean() - f_pos.mean())  # −(4)
        return {"ebm": loss + self.penalty * (f_pos**2 + f_neg**2).mean()}  # −(5)

    def label_loss(self, x: Tensor, y: Int64[Tensor, "b"] | None) -> Float[Tensor, ""]:
        """−log p_θ(y|x), the mean of the labelled examples."""
        known = None if y is None else y != UNLABELLED
        if y is None or known is None or not known.any():
            return x.new_zeros((), requires_grad=True)
        return cross_entropy(self.logits(x[known]), y[known])

    def anomaly_scores(self, x: Tensor, *, steps: int = 0, rng: Rng | None = None) -> AnomalyScores:
        """−log p(x), its gradient's norm ("approximate mass"), and −max_y p(y|x): higher is more anomalous."""
        density = self.ebm().log_density
        with torch.no_grad():
            found = {"−log p(x)": -density(x)}
            certainty = self.classify(x).amax(1)
        found["‖∇ log p(x)‖"] = sum_event(score(density, x) ** 2).sqrt()
        found["−max log p(y|x)"] = -certainty
        return AnomalyScores(found, "log p(x) up to a constant, before division by the chains' temperature.")

    def explain_metrics(self) -> dict[str, str]:
        return {"ebm": f"is cross-entropy of labels plus f(neg) − f(pos); the latter {ENERGY_DIFFERENCE}"}
