"""FRAME: filters, random fields and maximum entropy. The exponential family that every later energy-based model tilts.

Zhu, Wu, Mumford, IJCV 1998; Xie, Hu, Zhu, Wu: "Learning Inhomogeneous FRAME Models for Object Patterns", CVPR 2014, and
"Inducing Wavelets into Random Fields via Generative Boosting", 2015. With fixed statistics h(x),

    p_λ(x) = exp⟨λ, h(x)⟩ p_0(x) / Z(λ)                                                              (1)
    λ ← λ + γ (E_data[h] − E_{p_λ}[h]),  the ascent of log likelihood                                 (2)
    log Z(λ') − log Z(λ) = log E_{p_λ}[exp⟨λ' − λ, h(x)⟩]                                             (3)

Of all laws with the data's E[h], (1) is the one nearest to p_0. Chains persist and are moved by Langevin dynamics
(GRADE, Zhu and Mumford 1997) or Hamiltonian Monte Carlo; each update of λ adds (3), a mean over the chains, to log Z,
so that the model is normalized at the end of learning.

(2) moves λ away from what the chains have too much of by chance, so (3) over the same chains is too low, at every
update. Chains that λ does not learn from, resampled in proportion to exp⟨λ' − λ, h⟩, have no such bias, nor one from
lagging behind λ: they are annealed importance sampling along learning (Carbone, Hua, Coste, Vanden-Eijnden, NeurIPS
2023, arXiv:2305.19414).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.algorithm import ENERGY_DIFFERENCE
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.density import EBM
from absynth.errors import InputError
from absynth.networks.statistics import ExponentialF, LocalResponses
from absynth.samplers import Persistent
from absynth.samplers.jarzynski import systematic
from absynth.types import Batch, Rng, Sampler


def _without_outside(model: Frame, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Weights as version 0.2.0 saved them have an entry, always 0, where a filter reaches over the border."""
    h = model.f.statistics
    if isinstance(h, LocalResponses):
        for name in ("previous", "ebm.f.weight", "ebm.f.active"):
            if prefix + name in state:
                state[prefix + name] = h.within(state[prefix + name])


class Frame(MaximumLikelihood):
    """Player: ``ebm``, whose f is an :class:`ExponentialF`.

    Args:
        ebm: p_λ.
        start: Persistent chains; all of them move in each update.
        sampler: Langevin or HMC steps of an update.
        sample_rounds: Times the sampler runs on a fresh chain in ``sample``.
        tracking: Number of the chains that are for (3) alone. With 0, as in the papers, (3) is over those of (2).

    Raises:
        InputError: The f of the EBM is no :class:`ExponentialF`, or no chain is left to learn from.
    """

    previous: Tensor
    tracked: Tensor

    def __init__(
        self, ebm: EBM, *, start: Persistent, sampler: Sampler, sample_rounds: int = 1, tracking: int = 0
    ) -> None:
        super().__init__(ebm, start=start, sampler=sampler, sample_rounds=sample_rounds)
        if not 0 <= tracking < len(start.chains):
            raise InputError(f"expected fewer than the {len(start.chains)} chains to track log Z, got {tracking}")
        self.tracking = tracking
        if not isinstance(ebm.f, ExponentialF):
            raise InputError(f"FRAME needs f of class ExponentialF, got {type(ebm.f).__name__}: wrap its statistics")
        self.register_buffer("previous", ebm.f.weights.detach().clone())
        self.register_buffer("tracked", torch.zeros((), dtype=ebm.f.weight.dtype))
        self.register_load_state_dict_pre_hook(_without_outside)

    @property
    def f(self) -> ExponentialF:
        """f of p_λ."""
        found = self.ebm.f
        assert isinstance(found, ExponentialF)
        return found

    @property
    def chains_now(self) -> Tensor:
        """The persistent chains."""
        return self.get_buffer("start.chains")

    def statistics(self, x: Tensor) -> Float[Tensor, "m"]:
        """The mean of h over examples."""
        with torch.no_grad():
            return self.f.statistics(x).mean(0)

    def mismatch(self, x: Tensor) -> float:
        """Mean over the statistics in use of |E_data[h] − E_chains[h]|, x being data."""
        difference = (self.statistics(x) - self.statistics(self.chains_now)).abs()
        return float(difference[self.f.active].mean())

    def log_weights(self) -> Float[Tensor, "n"]:
        """⟨λ' − λ, h⟩ of each chain of (3), λ' − λ the last update."""
        with torch.no_grad():
            chains = self.chains_now[-self.tracking :]  # all of them for 0
            return self.f.statistics(chains) @ (self.f.weights - self.previous)

    def log_z(self) -> Float[Tensor, ""]:
        """log Z(λ) relative to p_0, by (3) on the way to the present λ."""
        change = self.log_weights()
        return self.tracked + change.logsumexp(0) - math.log(len(change))

    def follow(self, *, rng: Rng) -> None:
        """Add (3) of the last update to log Z, and resample the chains that track it."""
        self.tracked.copy_(self.log_z())
        if self.tracking:
            chains = self.chains_now[-self.tracking :]
            chains.copy_(chains[systematic(self.log_weights().softmax(0), rng)])
        self.previous.copy_(self.f.weights.detach())

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        self.follow(rng=rng)
        x_neg = self.run_chain("ebm", self.sampler, self.ebm().log_density, self.chains_now.clone(), rng=rng)
        self.chains_now.copy_(x_neg)
        learned_from = x_neg[: len(x_neg) - self.tracking]
        observed, synthesized = self.f.statistics(batch.x).mean(0), self.f.statistics(learned_from).mean(0)
        return {"ebm": self.f.weights @ (synthesized - observed)}  # −(2)

    def log_prob(self, x: Tensor) -> Float[Tensor, "b"]:
        """Normalized log density, with log Z as tracked."""
        with torch.no_grad():
            return self.ebm().log_density(x) - self.log_z()

    def explain_metrics(self) -> dict[str, str]:
        return {"ebm": ENERGY_DIFFERENCE}
