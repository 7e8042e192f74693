"""Inverse optimal control of cars whose cost is known: the cost that is found, and two cars that must not collide.

Cars begin off the centre of their lane, at another heading and speed than they want, and draw their controls from the
true cost; the model sees their positions alone. The two cars of the second part drive side by side and want the same
lane; they are demonstrated by a joint cost, and a model with an own cost for each car is the baseline.
"""

from __future__ import annotations

import torch
from torch import Tensor

from absynth.algorithms.inverse_control import InverseControl
from absynth.data.track_set import TrackSet
from absynth.experiments._driving import (
    FUTURE,
    INTERVAL,
    SIZES,
    SPEED,
    WEIGHTS,
    expert_paths,
    meetings,
    raw_weights,
    roads,
    track_set,
    truth,
)
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.seeding import stream

NEAR = 3.0
"""Radius of nearness of the joint cost, in metres."""
JOINT = (*WEIGHTS, 10.0)
FIELDS = {
    "dynamics": "bicycle", "mode": "langevin", "interval": INTERVAL, "road": 0.0, "lanes": (0.0,), "speed": SPEED,
    "tolerance": 1e-3, "steps": 200, "radius": NEAR,
}  # fmt: skip


def all_of(data: TrackSet) -> tuple[Tensor, Tensor]:
    batch = data.batch(torch.arange(len(data)))
    assert batch.c is not None
    return batch.x, batch.c


def planned(model: InverseControl, c: Tensor) -> Tensor:
    """Positions of the most probable controls."""
    u = model.plan(c, c.new_zeros(*c.shape[:-1], FUTURE, 2))
    return model.f.scene.positions(model.f.path(u, c), c).detach()


def rmse(p: Tensor, q: Tensor) -> float:
    """Root of the mean squared distance of positions."""
    return float((p - q).square().sum(-1).mean().sqrt())


def nearest(p: Tensor) -> Tensor:
    """Least distance of the two cars of each scene ``[n, 2, t, 2]``."""
    return (p[:, 0] - p[:, 1]).norm(dim=-1).amin(1)


@experiment(
    data="192 training and 64 test scenes of one car, 96 and 48 of two cars, drawn from known costs through a bicycle",
    protocol="200 updates of 40 Langevin steps on chains that persist; features of 8 draws for every training scene "
    "against the demonstrations', the largest relative error; cosine of the weights per unit of the features' means; "
    "RMSE of the most probable path on test scenes; two cars: a scene collides where they come nearer than 2 m",
    seeds=(0, 1),
    minutes=4,
    bars={
        "largest error of feature expectations": at_most(0.05, "5 %"),
        "cosine of the weights": at_least(0.9, "issue"),
        "RMSE over the oracle's": at_most(1.3, "issue"),
        "RMSE over constant velocity's": at_most(0.2, "a fifth"),
        "two cars, share of scenes that collide": at_most(0.05, "no collisions"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    n, tests = run.few(192, 12), run.few(64, 8)
    true = truth(WEIGHTS, NEAR)
    train, test = (expert_paths(true, *roads(k, s), seed=s) for k, s in ((n, 10 * seed), (tests, 10 * seed + 1)))
    data = track_set(train, test)
    model = run.fit("inverse_control", data, label="one car", **FIELDS).model
    assert isinstance(model, InverseControl)
    x, c = all_of(data)
    f = model.f
    demonstrated = f.features(f.infer(x, c, model.tolerance), c).mean(0)[: len(WEIGHTS)]
    with torch.no_grad():
        draws = [model.draw_controls(c, rng=stream(seed, 0, k, 1)) for k in range(run.few(8, 1))]
        drawn = torch.stack([f.features(u, c).mean(0) for u in draws]).mean(0)[: len(WEIGHTS)]
    sizes = torch.tensor(SIZES).square().repeat(2)
    wanted = torch.tensor(WEIGHTS) / torch.cat([torch.ones(3), sizes])
    unit = f.cost.scale * torch.cat([torch.ones(3), f.signals.scale.square().repeat(2)])
    x, c = all_of(data.split("test"))
    true.f.scene.unit = f.scene.unit  # conditions of a data set are in its own unit
    p = f.scene.positions(x, c)
    ours, oracle, straight = rmse(planned(model, c), p), rmse(planned(true, c), p), rmse(f.scene.positions(0 * x, c), p)
    values = {
        "largest error of feature expectations": float((drawn / demonstrated - 1).abs().max()),
        "cosine of the weights": float(torch.cosine_similarity(raw_weights(model) * unit, wanted * unit, 0)),
        "RMSE over the oracle's": ours / oracle,
        "RMSE over constant velocity's": ours / straight,
    }
    baselines = {
        "cosine of the weights/equal weights": float(torch.cosine_similarity(torch.ones(len(unit)), wanted * unit, 0)),
        "RMSE over the oracle's/constant velocity": straight / oracle,
    }
    joint, alone = two_cars(seed, run)
    values["two cars, share of scenes that collide"] = joint
    baselines["two cars, share of scenes that collide/a cost for each car alone"] = alone
    return Figures(values, baselines)


def two_cars(seed: int, run: Run) -> tuple[float, float]:
    """Shares of test scenes in which predicted cars collide, by the joint cost and by a cost for each car."""
    true = truth(JOINT, NEAR, agents=2)
    n, tests = run.few(96, 12), run.few(48, 8)
    train, test = (expert_paths(true, *meetings(k, s), seed=s) for k, s in ((n, 10 * seed + 2), (tests, 10 * seed + 3)))
    shares = []
    for agents in (2, 1):
        data = track_set(train, test, agents=agents)
        label = "two cars" if agents == 2 else "each car alone"
        model = run.fit("inverse_control", data, label=label, **(FIELDS | {"mode": "ilqr", "steps": 60})).model
        assert isinstance(model, InverseControl)
        _, c = all_of(data.split("test"))
        p = planned(model, c)
        p = p if agents == 2 else p.view(-1, 2, FUTURE, 2)  # windows come scene by scene
        shares.append(float((nearest(p) < 2.0).float().mean()))
    return shares[0], shares[1]
