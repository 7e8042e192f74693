"""Trajectories of the no-U-turn sampler, one leapfrog step of all chains at a time.

Recursion does not batch, so a subtree of 2^j leaves is walked leaf by leaf: the momentum and the running sum at the
first leaf of every balanced subtree that is still open are remembered, at most one a level, and each odd leaf closes
the subtrees that end with it (Phan, Pradhan and Jankowiak 2019, arXiv:1912.11554; Lao and Dillon 2019). Each chain has
a tree of its own, at a depth of its own, and can begin the next one while others still grow.
"""

from __future__ import annotations

import torch
from torch import Tensor

from absynth.samplers.metropolis import DIVERGED, Move
from absynth.samplers.warmup import Kernel, Point, ValueAndScore
from absynth.seeding import noise_like, uniform_like
from absynth.types import Rng

CAUTIOUS = 5
"""Doublings at most in the first window of a warm-up, one more in each window that follows: while the mass matrix is
not known, longer trajectories cost much and teach it little."""


class Trees:
    """The trees of b chains.

    Momenta are of coordinates with unit mass (:class:`absynth.samplers.mass.Mass`). All weights are exp(H₀ − H), in
    float64. Every transition draws the same numbers for a row whatever the other rows do.

    Args:
        value_and_score: of the target.
        point: where the chains stand.
        kernel: step sizes and mass matrix; may be exchanged between transitions of a chain.
        max_depth: doublings at most.
        rng: source of momenta and choices.
    """

    def __init__(self, value_and_score: ValueAndScore, point: Point, kernel: Kernel, max_depth: int, rng: Rng) -> None:
        self.value_and_score, self.kernel, self.max_depth, self.rng = value_and_score, kernel, max_depth, rng
        self.event = point.x.shape
        b, device = len(point.x), point.x.device
        self.x, self.value, self.score = point.x.flatten(1), point.value, point.score.flatten(1)
        zeros = torch.zeros(b, dtype=torch.float64, device=device)
        flat = torch.zeros_like(self.x)
        self.busy = torch.zeros(b, dtype=torch.bool, device=device)
        # The trajectory: its two ends (x, p, force), sum of momenta, log weight, depth.
        self.ends = flat.new_zeros(2, 3, *flat.shape)
        self.rho, self.weight, self.depth, self.energy = flat, zeros, zeros.long(), zeros
        # The subtree that grows: its last leaf (x, p, force), candidate, sums, number of leaves.
        self.leaf = flat.new_zeros(3, *flat.shape)
        self.candidate = self.x, self.value, self.score
        self.sub_rho, self.sub_weight, self.leaves, self.side = flat, zeros, zeros.long(), zeros.long()
        self.first_p, self.first_rho = (flat.new_zeros(max_depth, *flat.shape) for _ in range(2))
        self.choices = zeros.new_zeros(3, b, max_depth)
        self.choice = zeros
        # What is reported of a transition.
        self.accept_sum, self.count, self.moved, self.diverged = zeros, zeros.long(), self.busy, self.busy
        n = torch.arange(2 ** (max_depth - 1), device=device)
        bits = (n[:, None] >> torch.arange(max_depth, device=device)) & 1
        self.open_level = bits[:, 1:].sum(1)  # where leaf n is remembered, or the deepest level that it closes
        self.closes = bits.cumprod(1).sum(1)  # how many balanced subtrees end with leaf n
        self.levels = torch.arange(max_depth, device=device)[:, None]

    @property
    def point(self) -> Point:
        """Where the chains stand: after the last transition of those that rest, before the present one of others."""
        return Point(self.x.view(self.event), self.value, self.score.view(self.event))

    def move(self) -> Move:
        """The transitions just made, of chains that are not busy."""
        moved, acceptance = self.moved.to(self.value.dtype), self.accept_sum / self.count.clamp(min=1)
        return Move(self.point, moved, acceptance.to(self.value.dtype), self.diverged, self.count)

    def begin(self, rows: Tensor | None = None) -> None:
        """Begin a transition of the chains ``rows`` (bool ``[b]``, none of them busy); None means all."""
        rows = torch.ones_like(self.busy) if rows is None else rows
        p = noise_like(self.x, self.rng)
        choices = uniform_like(self.choices[0].new_empty(len(p), 3, self.choices.shape[2]), self.rng).unbind(1)
        leaf = torch.stack([self.x, p, self._pull(self.score)])
        column = rows[:, None]
        self.busy = self.busy | rows
        self.choices = torch.where(column, torch.stack(choices), self.choices)
        self.ends = torch.where(column, leaf, self.ends)
        self.rho = torch.where(column, p, self.rho)
        self.energy = torch.where(rows, self.value.double() - 0.5 * p.double().square().sum(1), self.energy)
        self.weight = self.weight.masked_fill(rows, 0.0)
        self.depth, self.count = self.depth.masked_fill(rows, 0), self.count.masked_fill(rows, 0)
        self.accept_sum = self.accept_sum.masked_fill(rows, 0.0)
        self.moved, self.diverged = self.moved & ~rows, self.diverged & ~rows
        self._begin_subtree(rows)

    def tick(self) -> Tensor:
        """One leapfrog step of every busy chain; returns which chains finished their transition, bool ``[b]``."""
        log_weight, value, score = self._leapfrog()
        diverged = self.busy & ~(log_weight > DIVERGED)
        self.accept_sum = self.accept_sum + torch.where(self.busy, log_weight.clamp(max=0).exp(), 0.0)
        self.count = self.count + self.busy
        self.diverged = self.diverged | diverged
        self._offer(log_weight, value, score)
        turning = self._subtree_turns()
        self.leaves = self.leaves + 1
        full = self.leaves == 2**self.depth
        closed = self.busy & (full | turning | diverged)
        if not closed.any():
            return closed
        grown = closed & full & ~turning & ~diverged
        finished = closed & ~self._join(grown)
        self.busy = self.busy & ~finished
        self._begin_subtree(grown & ~finished)
        return finished

    def _leapfrog(self) -> tuple[Tensor, Tensor, Tensor]:
        """Move the last leaves by a step; returns (log weight, log density, score) there. Resting chains stay."""
        x, p, force = self.leaf
        step = (
            torch.as_tensor(self.kernel.step_size, dtype=torch.float64, device=x.device)
            * (2 * self.side - 1)
            * self.busy
        )
        step = step.to(x.dtype)[:, None]
        p = p + 0.5 * step * force
        x = x + step * self._push(p)
        value, score = self.value_and_score(x.view(self.event))
        score = score.flatten(1)
        force = self._pull(score)
        p = p + 0.5 * step * force
        self.leaf = torch.stack([x, p, force])
        log_weight = value.double() - 0.5 * p.double().square().sum(1) - self.energy
        return log_weight.nan_to_num(-torch.inf, -torch.inf, -torch.inf), value, score

    def _offer(self, log_weight: Tensor, value: Tensor, score: Tensor) -> None:
        """Make the last leaf the subtree's candidate with its share of the weight.

        One uniform number serves a whole subtree: given that it fell below the share or not, what is left of it,
        stretched, is uniform again.
        """
        total = torch.logaddexp(self.sub_weight, log_weight)
        share = (log_weight - total).exp().nan_to_num(0.0)
        take = self.choice < share
        rest = torch.where(take, self.choice / share, (self.choice - share) / (1 - share))
        self.choice, self.sub_weight = rest, total
        x, known_value, known_score = self.candidate
        column = take[:, None]
        self.candidate = (
            torch.where(column, self.leaf[0], x),
            torch.where(take, value, known_value),
            torch.where(column, score, known_score),
        )

    def _subtree_turns(self) -> Tensor:
        """Whether a balanced subtree that ends with the last leaf turns back; remembers leaves that open one."""
        p = self.leaf[1]
        self.sub_rho = self.sub_rho + p
        n = self.leaves.clamp(max=len(self.closes) - 1)  # chains at rest may count on
        level, closes = self.open_level[n], self.closes[n]
        top = int(level.max()) + 1
        levels = self.levels[:top]
        opens = ((closes == 0) & (levels == level))[..., None]
        first_p, first_rho = self.first_p[:top], self.first_rho[:top]
        rho = self.sub_rho - first_rho + first_p
        turning = _turns(first_p, p, rho) & (levels <= level) & (levels > level - closes)
        self.first_p[:top] = torch.where(opens, p, first_p)
        self.first_rho[:top] = torch.where(opens, self.sub_rho, first_rho)
        return turning.any(0)

    def _join(self, grown: Tensor) -> Tensor:
        """Join full subtrees to their trajectories; returns which of them go on growing."""
        share = (self.sub_weight - self.weight).clamp(max=0).exp()
        column = grown[:, None]
        take = grown & (self.choices[2].gather(1, self._level())[:, 0] < share)
        x, value, score = self.candidate
        self.x, self.score = torch.where(take[:, None], x, self.x), torch.where(take[:, None], score, self.score)
        self.value, self.moved = torch.where(take, value, self.value), self.moved | take
        self.weight = torch.where(grown, torch.logaddexp(self.weight, self.sub_weight), self.weight)
        self.rho = torch.where(column, self.rho + self.sub_rho, self.rho)
        sides = torch.arange(2, device=x.device)[:, None, None, None]
        self.ends = torch.where(column & (self.side[:, None] == sides), self.leaf, self.ends)
        self.depth = self.depth + grown
        limit = self.max_depth if self.kernel.window is None else min(self.max_depth, CAUTIOUS + self.kernel.window)
        return grown & ~_turns(self.ends[0, 1], self.ends[1, 1], self.rho) & (self.depth < limit)

    def _begin_subtree(self, rows: Tensor) -> None:
        level, column = self._level(), rows[:, None]
        side = (self.choices[0].gather(1, level)[:, 0] < 0.5).long()
        self.side = torch.where(rows, side, self.side)
        self.choice = torch.where(rows, self.choices[1].gather(1, level)[:, 0], self.choice)
        end = torch.where(self.side[:, None] == 1, self.ends[1], self.ends[0])
        self.leaf = torch.where(column, end, self.leaf)
        self.sub_rho = self.sub_rho.masked_fill(column, 0.0)
        self.sub_weight = self.sub_weight.masked_fill(rows, -torch.inf)
        self.leaves = self.leaves.masked_fill(rows, 0)

    def _level(self) -> Tensor:
        return self.depth.clamp(max=self.max_depth - 1)[:, None]

    def _push(self, p: Tensor) -> Tensor:
        return self.kernel.mass.push(p.view(self.event)).flatten(1)

    def _pull(self, score: Tensor) -> Tensor:
        return self.kernel.mass.pull(score.view(self.event)).flatten(1)


def _turns(first: Tensor, last: Tensor, rho: Tensor) -> Tensor:
    """The generalized criterion, with ρ a trapezoid: its ends count half, so that two leaves alone can turn too."""
    rho = rho - 0.5 * (first + last)
    return ((first * rho).sum(-1) <= 0) | ((last * rho).sum(-1) <= 0)
