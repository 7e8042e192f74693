"""Networks of trajectory prediction: a past is read, a plan of few sub-goals made of z, the path filled in.

The generator of Pang, Zhao, Xie, Wu 2021 (arXiv:2104.03086), made one normalized density:

    p(x|z, c) = p(plan|z, c) p(rest|plan, c),    plan = x at the sub-goals, rest = x between them          (1)

so the latent variable explains the plan alone, as there, and the predictor learns from true plans: a path that does
not agree with its own plan has no place in it, and no weight is needed between the two. A condition is a vector
``c [b, c]`` and an example ``x [b, steps, 2]`` (:class:`absynth.data.tracks.Frames`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.distributions import Normal
from absynth.errors import InputError
from absynth.networks.mlp import Activation, activation, mlp
from absynth.types import Rng


class PlannedPath:
    """A law of paths ``[b, steps, 2]``: Gaussian sub-goals, and the rest of the path Gaussian given those.

    Args:
        plan: means of the sub-goals ``[b, goals, 2]``.
        rest: from sub-goals to the means of the other positions ``[b, steps − goals, 2]``.
        goals: which steps are sub-goals, counted from 0.
        steps: positions of a path.
        std: of a sub-goal's coordinate.
        rest_std: of another position's coordinate, given the sub-goals.
    """

    def __init__(
        self,
        plan: Float[Tensor, "b goals 2"],
        rest: Callable[[Tensor], Tensor],
        goals: Sequence[int],
        steps: int,
        std: float,
        rest_std: float,
    ) -> None:
        self.plan = Normal(plan, std)
        self.rest = rest
        self.goals = list(goals)
        self.others = [t for t in range(steps) if t not in set(goals)]
        self.rest_std = rest_std

    @property
    def mode(self) -> Float[Tensor, "b steps 2"]:
        return self._joined(self.plan.mode, self.rest(self.plan.mode))

    def log_prob(self, x: Float[Tensor, "b steps 2"]) -> Float[Tensor, "b"]:
        plan = x[:, self.goals]
        return self.plan.log_prob(plan) + Normal(self.rest(plan), self.rest_std).log_prob(x[:, self.others])

    def sample(self, rng: Rng) -> Float[Tensor, "b steps 2"]:
        plan = self.plan.sample(rng)
        return self._joined(plan, Normal(self.rest(plan), self.rest_std).sample(rng))

    def _joined(self, plan: Tensor, rest: Tensor) -> Tensor:
        order = torch.tensor([*self.goals, *self.others], device=plan.device).argsort()
        return torch.cat([plan, rest], 1)[:, order]


class PlanGenerator(nn.Module):
    """p(x|z, c): a history encoder, a plan and a predictor, all fully connected.

    The predictor tells how the path departs from straight lines between its sub-goals.

    Args:
        latent: d, the dimension of z.
        condition: numbers in c.
        steps: positions to predict.
        goals: how many of them are sub-goals, evenly spaced, the last position among them.
        width: hidden units.
        features: numbers that a past is encoded in.
        std: of a sub-goal's coordinate given z.
        rest_std: of another position's coordinate given the plan.
        act: activation.
    """

    between: Tensor

    def __init__(
        self,
        latent: int,
        condition: int,
        *,
        steps: int = 12,
        goals: int = 4,
        width: int = 128,
        features: int = 16,
        std: float = 0.1,
        rest_std: float = 0.05,
        act: Activation = "silu",
    ) -> None:
        super().__init__()
        if steps % goals:
            raise InputError(f"goals must divide the {steps} steps evenly, got {goals}")
        self.steps = steps
        self.goals = list(range(steps // goals - 1, steps, steps // goals))
        self.std = std
        self.rest_std = rest_std
        self.encoder = nn.Sequential(*mlp([condition, width, features], act), activation(act))
        self.plan = mlp([latent + features, width, width, 2 * goals], act)
        self.rest = mlp([2 * goals + features, width, 2 * (steps - goals)], act)
        self.register_buffer("between", _between(self.goals, steps), persistent=False)

    def extra_repr(self) -> str:
        return f"goals={self.goals}, std={self.std:g}, rest_std={self.rest_std:g}"

    def forward(self, z: Float[Tensor, "b d"], c: Float[Tensor, "b c"] | None = None) -> PlannedPath:
        if c is None:
            raise InputError("a predictor of paths needs a condition, the past, got none")
        past = self.encoder(c)

        def rest(plan: Tensor) -> Tensor:
            bent = self.rest(torch.cat([plan.flatten(1), past], 1)).unflatten(1, (-1, 2))
            return self.between @ plan + bent

        plan = self.plan(torch.cat([z, past], 1)).unflatten(1, (-1, 2))
        return PlannedPath(plan, rest, self.goals, self.steps, self.std, self.rest_std)


def _between(goals: Sequence[int], steps: int) -> Float[Tensor, "others goals"]:
    """The matrix from sub-goals to the positions between them, by straight lines that begin at 0."""
    known = torch.tensor([-1, *goals])
    out = torch.zeros(steps - len(goals), len(goals))
    for row, t in enumerate(t for t in range(steps) if t not in set(goals)):
        after = int((known < t).sum()) - 1  # the sub-goal that comes next
        share = (t - int(known[after])) / int(known[after + 1] - known[after])
        out[row, after] = share
        if after:
            out[row, after - 1] = 1 - share
    return out


class ConditionalMLP(nn.Module):
    """A fully connected network of an example and its condition: the f of a belief, or its inference model.

    The first layer reads both side by side, as a sum of two linear maps.

    Args:
        event: numbers in an example that are read.
        condition: numbers in c.
        sizes: of the further layers; a last size of 1 gives ``[b]``.
        act: activation.
        rows: which rows of the example ``[b, rows, 2]`` are read (the plan of a path); None: all of it.
    """

    def __init__(
        self,
        event: int,
        condition: int,
        sizes: Sequence[int],
        act: Activation = "silu",
        rows: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.event = nn.Linear(event, sizes[0])
        self.condition = nn.Linear(condition, sizes[0], bias=False)
        self.net = nn.Sequential(activation(act), *mlp(sizes, act), *([nn.Flatten(0)] if sizes[-1] == 1 else []))
        self.rows = None if rows is None else list(rows)

    def forward(self, x: Float[Tensor, "b *event"], c: Float[Tensor, "b c"]) -> Tensor:
        seen = x if self.rows is None else x[:, self.rows]
        return self.net(self.event(seen.flatten(1)) + self.condition(c))


class SocialPooling(nn.Module):
    """A condition in which the pasts of other agents are pooled to a few numbers, for a network that reads it.

    The condition is the agent's own part and, per neighbour, a 1 and its past in the agent's frame (zeros where there
    is none). Each neighbour is encoded beside the agent's own past; the encodings are averaged with weights that sum to
    at most 1 (a softmax with one more logit, 0, for nobody), so their order does not matter and nobody pools to zero.

    Args:
        net: What reads ``(z or x, [own part, pooled])``.
        own: Numbers of the agent's own part.
        neighbours: Number of neighbours in the condition.
        size: Numbers of each.
        width: Hidden units.
        features: Numbers that neighbours are pooled to.
        act: Activation.
    """

    def __init__(
        self, net: nn.Module, own: int, neighbours: int, size: int, width: int, features: int, act: Activation = "silu"
    ) -> None:
        super().__init__()
        self.net = net
        self.own, self.neighbours = own, neighbours
        self.encoder = mlp([own + size, width, features + 1], act)

    def forward(self, x: Tensor, c: Float[Tensor, "b c"] | None = None) -> object:
        if c is None:
            raise InputError("a predictor of paths needs a condition, the past, got none")
        own, others = c[:, : self.own], c[:, self.own :].unflatten(1, (self.neighbours, -1))
        beside = own[:, None].expand(-1, self.neighbours, -1)
        encoded = self.encoder(torch.cat([beside, others], 2))
        # Logits stay within a range in which an absent neighbour's weight, e^(−1000), is 0 exactly.
        logit = 5 * (encoded[..., 0] / 5).tanh() - 1000 * (1 - others[..., 0])
        weight = torch.cat([logit, torch.zeros_like(logit[:, :1])], 1).softmax(1)[:, :-1]
        pooled = (weight[..., None] * encoded[..., 1:]).sum(1)
        return self.net(x, torch.cat([own, pooled], 1))
