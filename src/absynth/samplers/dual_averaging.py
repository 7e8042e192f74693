"""Dual averaging: a step size from the acceptance that it brings (Hoffman and Gelman 2014, section 3.2)."""

from __future__ import annotations

import math

from torch import Tensor

TARGET_ACCEPT = 0.574
"""MALA's most efficient acceptance in high dimension (Roberts and Rosenthal 1998)."""


class DualAveraging:
    """Hoffman and Gelman 2014, eq. (6): one step size for all chains.

    Their constants but for γ, 0.1 where they have 0.05: the mean acceptance of many chains hardly varies, and with it
    their feedback is so strong that the step size goes back and forth around its goal.
    """

    def __init__(self, step_size: float, target_accept: float) -> None:
        self.log_step = math.log(step_size)
        self.log_average = 0.0
        self.mu = math.log(10 * step_size)
        self.target = target_accept
        self.error = 0.0
        self.count = 0

    def update(self, accept_probability: float) -> None:
        """One step towards the target."""
        self.count += 1
        t, t0, gamma, kappa = self.count, 10, 0.1, 0.75
        self.error += ((self.target - accept_probability) - self.error) / (t + t0)
        self.log_step = self.mu - math.sqrt(t) / gamma * self.error
        weight = t**-kappa
        self.log_average = weight * self.log_step + (1 - weight) * self.log_average

    def follow(self, log_ratio: Tensor) -> None:
        """One step towards the target, from the Metropolis ratios ``[b]`` of a step."""
        self.update(float(log_ratio.nan_to_num(-math.inf).clamp(max=0).exp().mean()))

    @property
    def step_size(self) -> float:
        """The one to use in the next step of the warm-up."""
        return math.exp(self.log_step)

    @property
    def frozen(self) -> float:
        """The one to keep after it: an average that forgets the beginning."""
        return math.exp(self.log_average)
