"""The no-U-turn sampler: HMC whose trajectories end where they begin to turn back.

A trajectory is doubled, forwards or backwards at random, until its ends approach each other; the next state is drawn
from all states on it by their weights exp(−H), with a preference for the last doubling.

Reference: Hoffman and Gelman 2014; Betancourt 2017 (arXiv:1701.02434), appendix A, for multinomial weights and the
generalized criterion p·ρ > 0 with ρ the sum of momenta.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from absynth.errors import InputError
from absynth.samplers import engine
from absynth.samplers.mass import Kind, Mass
from absynth.samplers.metropolis import Metropolis, Move
from absynth.samplers.record import Record
from absynth.samplers.trees import Trees
from absynth.samplers.warmup import Kernel, Point, ValueAndScore, WarmUp
from absynth.types import LogDensity, Rng


@dataclass(frozen=True)
class NUTS(Metropolis):
    """The no-U-turn sampler.

    Args:
        steps: transitions after warm-up.
        step_size: leapfrog step, or where its adaptation begins. One number, or one a chain.
        warmup: transitions that adapt each chain's step size and, if there are 40 or more, the mass matrix; 0 keeps
            both as given.
        target_accept: mean acceptance along trajectories that the adaptation aims at. Raise it towards 1 where
            transitions diverge.
        max_depth: doublings of a trajectory at most; it has 2^max_depth − 1 steps then.
        mass: which mass matrix the warm-up learns, or one that is given and stays.
    """

    steps: int
    step_size: Tensor | float = 0.1
    warmup: int = 0
    target_accept: float = 0.8
    max_depth: int = 10
    mass: Kind | Mass = "auto"

    def __post_init__(self) -> None:
        if not 1 <= self.max_depth <= 20:
            raise InputError(f"max_depth must be 1 to 20, got {self.max_depth}")

    def transition(self, value_and_score: ValueAndScore, point: Point, kernel: Kernel, *, rng: Rng) -> Move:
        trees = Trees(value_and_score, point, kernel, self.max_depth, rng)
        trees.begin()
        while trees.busy.any():
            trees.tick()
        return trees.move()

    def record(self, log_density: LogDensity, x: Tensor, *, thin: int = 1, rng: Rng) -> Record:
        """Run the warm-up and ``steps * thin`` transitions, and keep every ``thin``-th.

        The law is that of :meth:`path`, at fewer evaluations: there all chains wait in each transition for the longest
        trajectory, here a chain begins its next transition at once, and chains wait for each other only at the ends of
        the warm-up's windows.
        """
        value_and_score = engine.value_and_score(log_density)
        kernel, x = self.kernel(), x.detach()
        point = Point(x, *value_and_score(x))
        warm_gradients = torch.zeros(len(x), dtype=torch.long, device=x.device)
        trees = Trees(value_and_score, point, kernel, self.max_depth, rng)
        if self.warmup:
            warm = self.begin(value_and_score, point, kernel, rng)
            begin = 0
            for end in [*warm.ends, self.warmup]:
                trees.kernel = warm.kernel
                seen = _transitions(trees, end - begin, warm)
                warm_gradients += seen.gradients.sum(0)
                begin = end
                if end in warm.ends:
                    warm.learn(seen.x, seen.score, trees.point)
            trees.kernel = warm.frozen
        return _transitions(trees, self.steps * thin).thinned(thin, warm_gradients)


def _transitions(trees: Trees, count: int, warm: WarmUp | None = None) -> Record:
    """``count`` transitions of every chain, each chain as fast as it can."""
    x = trees.point.x
    per_draw = torch.empty(count, len(x), dtype=x.dtype, device=x.device)
    value, acceptance, whole = per_draw, torch.empty_like(per_draw), torch.zeros_like(per_draw, dtype=torch.long)
    diverged, gradients = whole, torch.zeros_like(whole)
    states = torch.empty(count, *x.shape, dtype=x.dtype, device=x.device)
    scores = None if warm is None else torch.empty_like(states)
    made = torch.zeros(len(x), dtype=torch.long, device=x.device)
    trees.begin()
    while True:
        done = trees.tick()
        rows = done.nonzero().squeeze(1)
        if not len(rows):
            continue
        at, move = made[rows], trees.move()
        states[at, rows], value[at, rows] = move.point.x[rows], move.point.value[rows]
        acceptance[at, rows], diverged[at, rows] = move.acceptance[rows], move.diverged[rows].long()  # type: ignore
        gradients[at, rows] = move.gradients[rows]  # type: ignore[index]
        if warm is not None and scores is not None:
            scores[at, rows] = move.point.score[rows]
            warm.update(move.acceptance, done)
            trees.kernel = warm.kernel
        made += done
        again = done & (made < count)
        if again.any():
            trees.begin(again)
        elif not trees.busy.any():
            break
    step_size = torch.as_tensor(trees.kernel.step_size).to(x).expand(len(x))
    return Record(states, value, acceptance, diverged, gradients, step_size, torch.zeros_like(made), scores)
