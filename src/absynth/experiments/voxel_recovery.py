"""Chairs and monitors completed by an energy that learned to recover, and features of that energy.

Learned recovery (Xie et al. 2018, section 3.4) on ModelNet's chairs and monitors at 16³. Chains begin at the
conditional mean of a Gaussian of few factors, which is a baseline, so the other figure is what f adds to it.
"""

from __future__ import annotations

from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.experiments.voxel_shapes import ABOVE_PCA, DRAWS, PROTOCOL, N, probes, recovery


@experiment(
    data="ModelNet10's chairs and monitors at 16³, 1,221 to train on, the first 80 of 133 test shapes",
    protocol="maximum likelihood, preset modelnet10/recovery, one model for both kinds of holes; share of the hidden "
    f"voxels that are wrong in the mean of {DRAWS} draws, read off at 0. {PROTOCOL}. Settings chosen on seed 7 and 120 "
    "of the training shapes",
    seeds=(0, 1),
    minutes=7,
    bars={
        "wrong of 70 % of the voxels, over mean fill's": at_most(0.3, "under .3 of mean fill"),
        "wrong of 70 % of the voxels, over nearest's": at_most(1.0, "below the nearest by visible voxels"),
        "wrong of one half, over the Gaussian's": at_most(1.0, "below the Gaussian conditional"),
    }
    | ABOVE_PCA,
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("maximum_likelihood", "modelnet10", preset="modelnet10/recovery")
    train, test = opened.examples("train").all(), opened.examples("test").head(run.few(N, 10))
    values, baselines = recovery(opened, test, train, run)
    ours, others = probes(opened, run)
    return Figures(values | ours, baselines | others)
