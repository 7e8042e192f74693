"""Noise contrastive estimation on eight Gaussians: exact KL of the model, its noise, and the learned log Z.

The noise is the Gaussian of the data, or a flow of affine couplings that first learns by maximum likelihood. The flow
contrastive run lets both players learn; its flow is compared with one that had as many updates of maximum likelihood.
"""

from __future__ import annotations

import torch
from torch import Tensor

from absynth.data.toy import EightGaussians
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.grid import Grid
from absynth.tasks.opened import Opened

GRID = Grid(-3, 3, 300, 2, dtype=torch.float32)
LAW = EightGaussians(radius=1.0, std=0.15)


def measured(opened: Opened) -> tuple[float, float, float]:
    """KL(data ‖ model), KL(data ‖ noise) and |c − log Z|."""
    model = opened.model
    density = model.chain().density.log_density
    with torch.no_grad():
        log_z = float(GRID.log_integral(density))  # 0 if c is log Z

    def noise(x: Tensor) -> Tensor:
        return model.get_submodule("noise").log_prob(x)  # type: ignore[operator]

    return GRID.kl(LAW.log_prob, density), GRID.kl(LAW.log_prob, noise), abs(log_z)


@experiment(
    data="eight Gaussians of standard deviation 0.15 on a circle of radius 1, fresh draws",
    protocol="KL(data ‖ model) in nats and log Z by a sum over a 300×300 grid on [-3, 3]²; Gaussian noise 2,500 "
    "updates; flow noise 1,500 updates of maximum likelihood, then 2,500 of the contrast; flow contrastive the same "
    "with both players learning; the flow alone 4,000 updates of maximum likelihood",
    seeds=(0, 1, 2),
    minutes=3,
    bars={
        "KL over the flow's own": at_most(0.25, "a quarter of the flow's"),
        "KL over the Gaussian's own": at_most(0.5, "half of the Gaussian's"),
        "error of log Z, flow": at_most(0.05, "within 0.05 nats"),
        "error of log Z, Gaussian": at_most(0.05, "within 0.05 nats"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    gaussian = measured(run.fit("noise_contrastive", "ring", preset="gaussian", label="gaussian"))
    flow = measured(run.fit("noise_contrastive", "ring", label="flow"))
    both = measured(run.fit("noise_contrastive", "ring", label="flow contrastive", turns="together"))
    alone = measured(run.fit("noise_contrastive", "ring", label="flow alone", warmup=1.0))
    return Figures(
        {
            "KL, Gaussian noise": gaussian[0],
            "KL, flow noise": flow[0],
            "KL, flow contrastive": both[0],
            "KL of the flow, flow contrastive": both[1],
            "KL over the Gaussian's own": gaussian[0] / gaussian[1],
            "KL over the flow's own": flow[0] / flow[1],
            "error of log Z, Gaussian": gaussian[2],
            "error of log Z, flow": flow[2],
        },
        {
            "KL, Gaussian noise/the noise": gaussian[1],
            "KL, flow noise/the noise": flow[1],
            "KL of the flow, flow contrastive/maximum likelihood, as many updates": alone[1],
        },
    )
