"""Inverse optimal control: the cost that the agents of your tracks minimize, through known dynamics (Xu et al. 2022).

Lengths are in the files' unit and times in seconds: ``--interval`` is the time between two positions. A linear cost
weighs squares of the distance to the lane, the sideways speed, the speed error, each control and its change, and with
several agents how near they come. ``--mode ilqr`` is the fastest and predicts one future; ``langevin`` draws many, and
is the only one that learns how noisy the agents are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from absynth.algorithms.inverse_control import InverseControl, Mode
from absynth.data import tracks
from absynth.data.track_set import TrackSet
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.networks import dynamics
from absynth.networks.controls import ControlF, LinearCost, NetworkCost, Scene, Signals
from absynth.networks.mlp import Activation
from absynth.recipes._fields import CHAINS, FinalShare
from absynth.recipes.bounds import Count, Decay, NonNegative, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin
from absynth.samplers.start import FromLast
from absynth.seeding import stream
from absynth.types import Batch

PRESETS = {
    "eth_ucy": Preset(minutes=2, dynamics="unicycle", radius=0.5, mode="ilqr"),
    "ngsim": Preset(
        minutes=0.4, recorded="inverse_control_ngsim", source="Xu et al. 2022",
        published="RMSE .318, .644, 1.149, 2.138", past=10, future=40, pose=True, interval=0.1,
        wheelbase=9.0, radius=10.0, tolerance=0.3, mode="ilqr",
        iterations=4, steps=30, batch=32,
    ),
}  # fmt: skip
FITTED = 200
"""Number of examples that typical sizes are found from."""


@dataclass(frozen=True, kw_only=True)
class InverseControlRecipe(FinalShare, Recipe):
    """Continuous inverse optimal control of tracks through known dynamics (Xu et al. 2022)."""

    kinds = ("tracks",)
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "iterations": 2, "sample_rounds": 1}

    past: Count = tracks.PAST
    """Number of positions observed."""
    future: Count = tracks.FUTURE
    """Number of positions predicted."""
    scene: str = ""
    """Scene of ETH-UCY that is left out of training and tested on. Defaults to zara1."""
    mirror: bool = False
    """Whether every window's mirror image is trained on too."""
    pose: bool = True
    """Whether the cost sees where in the scene an agent is; lanes and several agents need it."""
    agents: Count = 1
    """Number of agents whose controls are drawn jointly: an agent and its nearest neighbours."""
    steps: Count = 200
    batch: Count = 64
    threads: int = 1
    dynamics: str = "bicycle"
    """bicycle, unicycle, double_integrator, or module:Class of yours, made by Class(interval)."""
    interval: Positive = 0.4
    """Seconds between two positions."""
    wheelbase: Positive = 2.7
    """Distance of a bicycle's axles, in the tracks' unit of length."""
    cost: Literal["linear", "network"] = "linear"
    """Weights of known features, or a network of them."""
    mode: Mode = "langevin"
    """What stands for the model's expectation: langevin (samples), gradient or ilqr (the most probable controls)."""
    road: float = -1.0
    """Direction of the road in degrees from the first axis; negative: each agent's own last heading."""
    lanes: tuple[float, ...] = ()
    """Distances of the lanes' centres to the left of the origin across the road; none: the agent's own at the start."""
    speed: NonNegative = 0.0
    """Wanted speed, in the tracks' unit per second; 0: the agent's own at the start."""
    radius: Positive = 1.0
    """Distance at which two agents are near, in the tracks' unit of length."""
    tolerance: Positive = 0.02
    """Standard deviation of an observed position about the path of the dynamics, in the tracks' unit of length."""
    control_scale: tuple[float, ...] = ()
    """Typical size of each control; found from the data."""
    feature_scale: tuple[float, ...] = ()
    """Mean of each feature per step; found from the data."""
    energy_width: Count = 32
    """Hidden units of a network cost."""
    energy_activation: Activation = "silu"
    """Activation of a network cost; iLQR needs a smooth one."""
    reference_std: Positive = 10.0
    """Standard deviation of the Gaussian p_0 of controls, in their typical sizes."""
    chain_steps: Count = 40
    """Number of Langevin steps per update (K)."""
    chain_step_size: Positive = 0.3
    """Step size δ, in units of the density's width along each control."""
    iterations: Count = 10
    """Iterations of iLQR."""
    sample_rounds: Count = 5
    """Number of times K steps run for a prediction, from the most probable controls."""
    energy_lr: Positive = 0.05
    """Learning rate of the cost (Adam)."""
    beta1: Decay = 0.5
    """Adam's β1."""
    final_share: Share = 0.5
    guard_difference: Positive = 1e3
    """An energy difference below this never counts as divergence; the cost is a sum over steps."""

    def resolve(self) -> Recipe:
        found = super().resolve()
        data = found.examples
        assert isinstance(found, InverseControlRecipe)
        assert isinstance(data, TrackSet)
        found = replace(found, past=data.past, future=data.future, pose=data.pose, agents=data.agents)
        if (data.agents > 1 or self.lanes or self.road >= 0) and not data.pose:
            raise InputError("--agents, --lanes and --road need positions in the scene: give --pose true")
        if found.control_scale and found.feature_scale:
            return found
        batch = found._moving()
        scale = found.control_scale
        if not scale:
            scale = (0.1,) * self._dynamics().controls
            for _ in range(3):  # the fit prefers small controls, in units of the last answer
                f = found._f(scale, LinearCost([1.0]))
                u = f.infer(batch.x, batch.c, self.tolerance) * f.signals.scale  # type: ignore[arg-type]
                # Not the standard deviation: a path that the dynamics cannot make has controls without bound.
                scale = tuple((u.flatten(0, -2).abs().quantile(0.9, 0) / 1.645).clamp(min=1e-4).tolist())
        f = found._f(scale, LinearCost([1.0]))
        u = f.infer(batch.x, batch.c, self.tolerance)  # type: ignore[arg-type]
        features = f.features(u, batch.c).mean(0) / data.future  # type: ignore[arg-type]
        kept = features if data.agents > 1 else features[:-1]
        return replace(found, control_scale=scale, feature_scale=tuple(kept.clamp(min=1e-8).tolist()))

    def _moving(self) -> Batch:
        """Up to :data:`FITTED` examples from all over the data whose agents move: those that wait need no controls."""
        data = self.examples
        assert isinstance(data, TrackSet)
        batch = data.batch(torch.linspace(0, len(data) - 1, min(10 * FITTED, len(data))).round().long())
        assert batch.c is not None
        p = Scene(self.past, data.unit_length, self.interval, self.pose).positions(batch.x, batch.c)
        steps = p.diff(dim=-2).norm(dim=-1)
        steps = steps.mean(-1) if steps.ndim == 2 else steps.mean(-1).amax(-1)
        kept = (steps > 0.1 * data.unit_length).nonzero()[:, 0]
        kept = kept[torch.linspace(0, len(kept) - 1, min(FITTED, len(kept))).round().long()]
        return Batch(batch.x[kept], batch.c[kept]) if len(kept) else batch

    def _dynamics(self) -> dynamics.Dynamics:
        return dynamics.find(self.dynamics, self.interval, self.wheelbase)

    def _f(self, scale: tuple[float, ...], cost: nn.Module) -> ControlF:
        data = self.examples
        assert isinstance(data, TrackSet)
        signals = Signals(
            self._dynamics(), scale, road=None if self.road < 0 else self.road, lanes=self.lanes, speed=self.speed,
            radius=self.radius,
        )  # fmt: skip
        return ControlF(Scene(self.past, data.unit_length, self.interval, self.pose), signals, cost)

    def algorithm(self) -> InverseControl:
        cost: nn.Module = LinearCost(self.feature_scale)
        if self.cost == "network":
            cost = NetworkCost(self.feature_scale, self.agents, self.energy_width, self.energy_activation)
        f = self._f(self.control_scale, cost)
        shape = (*self.shape[:-1], len(self.control_scale))
        first = StandardNormal(*shape, std=0.3)
        noise = None if self.mode == "langevin" else 0.0
        return InverseControl(
            EBM(f, StandardNormal(*shape, std=self.reference_std)),
            start=FromLast(max(self.examples.examples, 1), first, rng=stream(self.seed, 0, 0, CHAINS)),
            sampler=Langevin(self.chain_steps, self.chain_step_size, noise),
            mode=self.mode,
            steps=self.future,
            iterations=self.iterations,
            tolerance=self.tolerance,
            sample_rounds=self.sample_rounds,
        )

    def conditions(self, n: int) -> Tensor | None:
        """The pasts of the first n test windows, again from the first where there are fewer."""
        test = self.examples.split("test")
        assert isinstance(test, TrackSet)
        return test.batch(torch.arange(n) % max(len(test), 1)).c
