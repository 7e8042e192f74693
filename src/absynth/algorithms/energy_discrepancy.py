"""Energy discrepancy: an energy-based model learned by comparing data with perturbed data, without chains or scores.

Schröder, Ou, Lim, Li, Vollmer, Duncan: "Energy Discrepancies: A Score-Independent Loss for Energy-Based Models",
NeurIPS 2023, arXiv:2307.06431; for discrete and mixed data Schröder, Ou, Li, Duncan, "Energy-Based Modelling for
Discrete and Mixed Data via Heat Equations on Structured Spaces", NeurIPS 2024, arXiv:2412.01019.

    y ~ k(y|x),  x̃_j ~ k(x̃_j|y),  j = 1 … M,  k(y|x) = k(x|y)                                     (1)
    L = E log( w/M + 1/M Σ_j exp(ℓ(x̃_j) − ℓ(x)) ),  ℓ = f + log p_0                                (2)

* k is Gaussian noise of variance t for numbers, flips or jumps for discrete data
  (:mod:`absynth.algorithms.perturbations`). As t → 0, L / t tends to score matching; as t → ∞, L to the likelihood.
* With w = 1, L is the cross entropy of finding x among x, x̃_1 … x̃_M given y: by the symmetry of k the posterior odds
  are exp(ℓ(x) − ℓ(x̃_j)) at the truth, so the truth minimizes L for every M and t, and exp(L) needs no large M.
  (Ceylan and Gutmann, ICML 2018, derive this case as conditional noise contrastive estimation.)
* Data must fill the space at the scale of the noise (on a manifold learn a latent prior), and p_0 all of it.
* ``trim`` learns from the examples that the model finds most probable, a share 1 − trim of each batch. The model is
  then a density of the bulk of the data, not of the data: for outlier detection in data that hold outliers.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.algorithm import Algorithm
from absynth.algorithms.chain import Chain
from absynth.algorithms.perturbations import Perturbation
from absynth.density import EBM
from absynth.errors import InputError, Unsupported
from absynth.types import Batch, LogDensity, Rng, Sampler


def energy_discrepancy(
    log_density: LogDensity,
    x: Float[Tensor, "b *event"],
    *,
    perturb: Perturbation,
    contrasts: int = 16,
    stabilizer: float = 1.0,
    rng: Rng,
) -> tuple[Float[Tensor, "*members b"], Float[Tensor, "*members b"]]:
    """Compute the summands of (2) for each example.

    Args:
        log_density: ℓ, ``[n, *event] -> [n]``; an ensemble may return ``[members, n]``. Called once, on ``b (1 + M)``
            rows: the data, then M blocks of contrasts.
        x: Data, for example latents from a posterior; detached.
        perturb: k.
        contrasts: M.
        stabilizer: w. With 0 the loss can overflow where ℓ(x̃_j) far exceeds ℓ(x).
        rng: Source of randomness.

    Returns:
        The loss of each example, and ℓ(x), which carries the graph too.
    """
    x = x.detach()
    tilde = perturb(perturb(x, rng=rng).repeat(contrasts, *[1] * (x.ndim - 1)), rng=rng)
    values = log_density(torch.cat([x, tilde]))
    values = values.unflatten(-1, (1 + contrasts, len(x)))
    data, difference = values[..., 0, :], values[..., 1:, :] - values[..., :1, :]
    if stabilizer > 0:
        anchor = torch.full_like(difference[..., :1, :], math.log(stabilizer))
        difference = torch.cat([difference, anchor], -2)
    return difference.logsumexp(-2) - math.log(contrasts), data


def kept(log_density: Float[Tensor, "*members b"], trim: float) -> Float[Tensor, "*members b"]:
    """1/k at the k = ⌈(1 − trim) b⌉ most probable examples of each row, else 0: weights that sum to one.

    >>> kept(torch.tensor([3.0, 1.0, 2.0, 0.0]), 0.5)
    tensor([0.5000, 0.0000, 0.5000, 0.0000])
    """
    count = math.ceil((1 - trim) * log_density.shape[-1])
    best = log_density.detach().topk(count, -1).indices
    return torch.zeros_like(log_density).scatter(-1, best, 1 / count)


class EnergyDiscrepancy(Algorithm):
    """Player: ``ebm``.

    Args:
        ebm: p_θ(x|c). With the reference :class:`Uniform`, whose log density is a constant, f alone is learned.
        perturb: k, for example ``GaussianNoise(0.05)``.
        sampler: Run once from p_0 by ``sample``; learning needs none.
        contrasts: M, 8 to 16 for generation, 4 for outlier detection.
        stabilizer: w.
        trim: Share of each batch, the least probable, that is not learned from.

    Raises:
        InputError: ``contrasts`` is not positive, ``stabilizer`` negative or ``trim`` not in [0, 1).
    """

    def __init__(
        self,
        ebm: EBM,
        *,
        perturb: Perturbation,
        sampler: Sampler,
        contrasts: int = 16,
        stabilizer: float = 1.0,
        trim: float = 0.0,
    ) -> None:
        super().__init__()
        if contrasts < 1 or stabilizer < 0 or not 0 <= trim < 1:
            raise InputError(
                f"expected contrasts of at least 1, a stabilizer of at least 0 and trim in [0, 1), got {contrasts}, "
                f"{stabilizer:g} and {trim:g}: leave them out for 16, 1 and 0"
            )
        self.ebm = ebm
        self.perturb = perturb
        self.sampler = sampler
        self.contrasts = contrasts
        self.stabilizer = stabilizer
        self.trim = trim

    def extra_repr(self) -> str:
        return f"perturb={self.perturb}, contrasts={self.contrasts}, stabilizer={self.stabilizer:g}, trim={self.trim:g}"

    def samplers(self) -> dict[str, Sampler]:
        return {"sampler": self.sampler}

    def sampling_sampler(self) -> str | None:
        return "sampler"

    def chain(self, c: Tensor | None = None) -> Chain:
        return Chain(self.ebm(c), self.ebm.reference, self.sampler)

    def explain_metrics(self) -> dict[str, str]:
        return {"ebm": "is log(1 + w/M) for a flat density, lower the more data stand out from their contrasts"}

    def log_density(self, c: Tensor | None = None) -> LogDensity:
        """What learns: ℓ as ``[n]``, or the ℓ of each member of an ensemble as ``[members, n]``."""
        return self.ebm(c).log_density

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        if batch.mask is not None:
            raise Unsupported("energy discrepancy compares whole examples, got some with missing entries: fill them in")
        rows = None if batch.c is None else batch.c.repeat(1 + self.contrasts, *[1] * (batch.c.ndim - 1))
        options = {"perturb": self.perturb, "contrasts": self.contrasts, "stabilizer": self.stabilizer}
        each, log_density = energy_discrepancy(self.log_density(rows), batch.x, **options, rng=rng)
        return {"ebm": (kept(log_density, self.trim) * each).sum()}  # (2)

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n chains ``[n, *event]`` of the sampler, from p_0."""
        start = self.ebm.reference.sample(n, rng)
        return self.run_chain("ebm", self.sampler, self.ebm(c).log_density, start, rng=rng)
