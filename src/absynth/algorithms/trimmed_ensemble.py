"""Outlier detection: an ensemble of energies of the bulk of the data, each learned by trimmed energy discrepancy.

Every member leaves out of each batch what it finds least probable, so that outliers among the training examples teach
little. What is learned is the density of the bulk, not of the data: it scores, and it is not sampled.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.algorithms.energy_discrepancy import EnergyDiscrepancy
from absynth.algorithms.perturbations import Perturbation
from absynth.density import EBM
from absynth.errors import Unsupported
from absynth.networks.ensemble import Ensemble
from absynth.samplers import Langevin
from absynth.types import LogDensity, Rng

FREEDOM = 4.0
EDGE = 4.0  # standard deviations beyond which log density falls as a parabola
STEEPNESS = 2.0


class HeavyTails(nn.Module):
    """Student's t in each column, times exp(−(|x| − 4)²) beyond four standard deviations; unnormalized.

    The t falls slowly, so that what a network learns decides within the range of the data; the parabola decides beyond,
    where a network extrapolates.

    Args:
        scale: Scale of the t of each column.
    """

    scale: Tensor

    def __init__(self, scale: Float[Tensor, "d"]) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        z = x / self.scale
        beyond = (x.abs() - EDGE).clamp(min=0)
        tails = 0.5 * (FREEDOM + 1) * torch.log1p(z * z / FREEDOM) + 0.5 * STEEPNESS * beyond * beyond
        return -tails.sum(-1)

    def sample(self, n: int, rng: Rng) -> Tensor:
        """Not available.

        Raises:
            Unsupported: Always: a detector's energy is of the bulk alone.
        """
        raise Unsupported("a detector scores rows and draws none: use EBMDensity to sample")


class TrimmedEnsemble(EnergyDiscrepancy):
    """Player: ``ebm``, the mean of an ensemble whose members learn each by itself.

    Args:
        net: The members.
        reference: Keeps the density falling where no data are.
        perturb: k.
        trim: Share of each batch that a member leaves out; above the share of outliers.
        contrasts: M.
    """

    def __init__(
        self, net: Ensemble, reference: HeavyTails, *, perturb: Perturbation, trim: float = 0.25, contrasts: int = 4
    ) -> None:
        sampler = Langevin(100, 0.1)
        super().__init__(EBM(net, reference), perturb=perturb, sampler=sampler, contrasts=contrasts, trim=trim)

    def log_density(self, c: Tensor | None = None) -> LogDensity:
        f, reference = self.ebm.f, self.ebm.reference
        return lambda x: f.each(x) + reference.log_prob(x)  # type: ignore[operator]
