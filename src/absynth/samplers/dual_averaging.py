"""Dual averaging: the step size that brings a wanted acceptance (Hoffman and Gelman 2014, section 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

TARGET_ACCEPT = 0.574
"""MALA's most efficient acceptance in high dimension (Roberts and Rosenthal 1998)."""


class DualAveraging:
    """Step sizes of b chains, each from its own acceptance (Hoffman and Gelman 2014, eq. 6).

    Their constants but for γ, 0.2 for their 0.05: with theirs the step size of a chain swings so widely that its
    average is too small, and 150 transitions end 0.06 to 0.2 above the target.

    A step size shared by all chains can meet the target on average while a few chains never move. With a step size of
    its own, such a chain shortens its steps until it moves.

    Args:
        step_size: first step sizes, ``[b]``, positive.
        target_accept: mean acceptance probability to reach.
    """

    def __init__(self, step_size: Tensor, target_accept: float) -> None:
        self.log_step = step_size.double().log()
        self.log_average = torch.zeros_like(self.log_step)
        self.mu = math.log(10) + self.log_step
        self.target = target_accept
        self.error = torch.zeros_like(self.log_step)
        self.count = torch.zeros_like(self.log_step)

    def update(self, acceptance: Tensor, rows: Tensor | None = None) -> None:
        """Take one step towards the target.

        Args:
            acceptance: acceptance probability of each chain's last transition, ``[b]``; NaN counts as 0.
            rows: bool ``[b]``, the chains that made a transition. None means all.
        """
        t0, gamma, kappa = 10, 0.2, 0.75
        count = self.count + 1
        error = self.error + ((self.target - acceptance.double().nan_to_num(0.0)) - self.error) / (count + t0)
        log_step = self.mu - count.sqrt() / gamma * error
        weight = count**-kappa
        log_average = weight * log_step + (1 - weight) * self.log_average
        new = (count, error, log_step, log_average)
        if rows is not None:
            old = (self.count, self.error, self.log_step, self.log_average)
            new = tuple(torch.where(rows, a, b) for a, b in zip(new, old))
        self.count, self.error, self.log_step, self.log_average = new

    @property
    def step_size(self) -> Tensor:
        """The step sizes to use in the next transition of the warm-up, ``[b]``."""
        return self.log_step.exp()

    @property
    def frozen(self) -> Tensor:
        """The step sizes to keep after the warm-up, ``[b]``: an average that forgets the beginning."""
        return torch.where(self.count > 0, self.log_average, self.log_step).exp()
