"""Continuous inverse optimal control: the cost that demonstrated controls minimize, learned through known dynamics.

Xu, Xie, Zhao, Baker, Zhao, Wu, "Energy-based Continuous Inverse Optimal Control", IEEE Transactions on Neural Networks
and Learning Systems 2022, arXiv:1904.05453.

    p_θ(u|c) = exp(−Σ_t C_θ(s_t, u_t, u_{t−1}; c)) p_0(u) / Z_θ(c),   s_t = dynamics(s_{t−1}, u_t)          (1)
    L'(θ)    = E_p[Σ_t ∇_θ C_θ] − E_demonstrations[Σ_t ∇_θ C_θ]                                        (2)
    u        ← u − (δ²/2) ∇_u Σ_t C_θ + δ ε,   the gradient through the dynamics                        (3)

Demonstrations are paths; the controls that made them follow from the dynamics (:func:`controls_of`). p in (2) is one of

* ``langevin``: chains (3), one per demonstration, that persist between updates: maximum likelihood of (1).
* ``gradient``: (3) without noise. ``ilqr``: the mode by linear-quadratic approximations. Both put the most probable
  controls in place of a sample, and then the size of the cost, its temperature, is not identified.

With several agents the cost is a sum over agents and pairs of agents, and controls of all agents are drawn jointly.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.algorithm import ENERGY_DIFFERENCE, Algorithm
from absynth.density import EBM, Density
from absynth.errors import InputError
from absynth.networks.controls import ControlF
from absynth.samplers import Langevin
from absynth.samplers.ilqr import least_cost
from absynth.samplers.preconditioned import width_of
from absynth.samplers.start import Start
from absynth.types import Batch, Rng, Sampler

Mode = Literal["langevin", "gradient", "ilqr"]


class InverseControl(Algorithm):
    """Player: ``ebm``, of controls ``[b, t, m]`` or ``[b, agents, t, m]`` given a condition.

    Args:
        ebm: p_θ(u|c), whose f is a :class:`ControlF`.
        start: Where the controls begin in learning, by the example's number.
        sampler: K steps of (3); without noise in the mode ``gradient``.
        mode: What stands for the model's expectation, and what ``sample`` returns.
        steps: Number of controls of a path.
        iterations: Iterations of iLQR. A Langevin sample begins at its result, too.
        tolerance: Standard deviation of a demonstrated position about the path that its controls make.
        sample_rounds: Number of times the sampler runs for a sample.

    Attributes:
        width: Width of the density along each control, ``[t, m]``, at the last update.
    """

    width: Tensor

    def __init__(
        self,
        ebm: EBM,
        *,
        start: Start,
        sampler: Langevin,
        mode: Mode,
        steps: int,
        iterations: int = 10,
        tolerance: float = 0.01,
        sample_rounds: int = 5,
    ) -> None:
        super().__init__()
        self.ebm, self.start, self.sampler, self.mode = ebm, start, sampler, mode
        self.steps, self.iterations, self.tolerance = steps, iterations, tolerance
        self.sample_rounds = sample_rounds
        dynamics = self.f.signals.dynamics
        self.register_buffer("width", torch.ones(steps, dynamics.controls))

    @property
    def f(self) -> ControlF:
        found = self.ebm.f
        assert isinstance(found, ControlF)
        return found

    def extra_repr(self) -> str:
        return f"mode={self.mode}, sampler={self.sampler}, iterations={self.iterations}"

    def samplers(self) -> dict[str, Sampler]:
        return {"sampler": self.sampler}

    def sampling_sampler(self) -> str | None:
        return None if self.mode == "ilqr" else "sampler"

    def explain_metrics(self) -> dict[str, str]:
        return {"ebm": ENERGY_DIFFERENCE}

    def controls(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The controls that make paths, in their own units, ``[n, ..., t, m]``."""
        if c is None:
            self._unsupported("needs the pasts of the paths: use predict")
        return self.f.infer(x, c, self.tolerance) * self.f.signals.scale

    def control_names(self) -> list[str]:
        dynamics = self.f.signals.dynamics
        return list(getattr(dynamics, "names", [f"control {i}" for i in range(1, dynamics.controls + 1)]))

    def plan(self, c: Tensor, u: Tensor) -> Tensor:
        """The most probable controls near u, by iLQR."""
        return least_cost(self.f, c, u, iterations=self.iterations)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        if batch.c is None:
            raise InputError("inverse control needs the past of each path as its condition, got none")
        u_pos = self.f.infer(batch.x, batch.c, self.tolerance)
        u, ticket = self.start.draw(u_pos, rng=rng, index=batch.index)
        p = self.ebm(batch.c)
        if self.mode == "ilqr":
            u_neg = self.plan(batch.c, u)
        else:
            self.measure_width(batch.c, u, rng=rng)
            u_neg = self.move(p, u, rng=rng)
        self.start.keep(ticket, u_neg)
        return {"ebm": p.f(u_neg).mean() - p.f(u_pos).mean()}  # −L'(θ), (2)

    def draw_controls(self, c: Tensor, *, rng: Rng) -> Float[Tensor, "b ..."]:
        """Controls in units of their typical size: the mode, and from there a chain in the mode ``langevin``."""
        shape = (*c.shape[:-1], self.steps, self.f.signals.dynamics.controls)
        u = c.new_zeros(shape) if self.mode == "gradient" else self.plan(c, c.new_zeros(shape))
        rounds = 0 if self.mode == "ilqr" else self.sample_rounds
        return self.move(self.ebm(c), u, rounds=rounds, rng=rng) if rounds else u

    def move(self, p: Density, u: Tensor, *, rounds: int = 1, rng: Rng) -> Tensor:
        """(3), with δ in units of :attr:`width`."""
        y = u / self.width
        for _ in range(rounds):
            y = self.run_chain("ebm", self.sampler, lambda y: p.log_density(self.width * y), y, rng=rng)
        return self.width * y

    def measure_width(self, c: Tensor, u: Tensor, *, rng: Rng) -> None:
        """Set :attr:`width` to that of the density at some controls: early controls move a path the most."""
        found = width_of(self.ebm(c).log_density, u, rng=rng, probes=4)
        self.width.copy_(found if found.ndim == 2 else found.mean(0))

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n paths ``[n, ..., t, 2]`` as the data set gives them."""
        if c is None:
            self._unsupported("samples given a past: use predict, or give conditions")
        with torch.no_grad():
            return self.f.path(self.draw_controls(c, rng=rng), c)
