"""Point clouds of chairs and monitors: generation, reconstruction, and classes from half the points.

128 points drawn at random on the surfaces of ModelNet10's voxels. Generation is compared with points drawn from all
training clouds together, which have every statistic of single points and no shape, with points drawn from all
training clouds of one class, with a Gaussian, and with training clouds themselves.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.data.point_set import render
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.metrics.clouds import chamfer, coverage
from absynth.networks.pointnet import PointF
from absynth.samplers.unroll import reconstruct
from absynth.seeding import noise_like, stream, uniform_like
from absynth.tasks.features import probe
from absynth.tasks.sample import samples
from absynth.types import Rng

DESCENTS, RATE = 100, 0.15


def features(f: PointF, x: Float[Tensor, "n p 3"]) -> Float[Tensor, "n d"]:
    """Last layer of the network before f, of clouds of any number of points."""
    with torch.no_grad():
        return f.features(x)


def drawn_from(rows: Tensor, *shape: int, rng: Rng) -> Tensor:
    """Rows drawn with repetition, in an array of this shape."""
    return rows[(uniform_like(torch.empty(shape), rng) * len(rows)).long().clamp(max=len(rows) - 1)]


@experiment(
    data="ModelNet10's chairs and monitors, 128 points on the surface of each; the test split of their voxels",
    protocol="400 updates, 32 steps; 100 samples against 100 test clouds: Chamfer MMD and coverage; reconstruction of "
    "16 test clouds by 100 steps of Adam, rate .15, through the short run; logistic regression on 20 components of the "
    "network's last layer, all training labels",
    seeds=(0, 1),
    minutes=4,
    bars={
        "MMD over that of pooled points": at_most(1.0, "better than points from pooled occupancy"),
        "coverage above that of pooled points": at_least(0.0, "better than points from pooled occupancy"),
        "largest change of f by a permutation": at_most(1e-5, "invariant"),
        "reconstruction, Chamfer over that of pairs": at_most(0.25, "a quarter of the mean pairwise distance"),
        "accuracy with half the points": at_least(0.9, "survives half the points missing"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("maximum_likelihood", "modelnet10_points")
    model, train, test = opened.model, opened.examples("train"), opened.examples("test")
    assert isinstance(model, MaximumLikelihood)
    f = model.ebm.f
    assert isinstance(f, PointF)
    n = min(run.few(100, 8), len(test))
    x, y = train.all(), test.head(n)
    drawn = samples(model, n, seed=seed)
    rng = stream(seed, 0, 0, 1)
    pool = x.flatten(0, 1)
    pooled = drawn_from(pool, n, y.shape[1], rng=rng)
    assert train.labels is not None
    one = drawn_from(train.labels, n, rng=rng)  # a class each
    kinds = [x[train.labels == k].flatten(0, 1) for k in range(int(train.labels.max()) + 1)]
    of_class = torch.stack([drawn_from(kinds[k], y.shape[1], rng=rng) for k in one.tolist()])
    gaussian = pool.mean(0) + noise_like(y, rng) @ torch.linalg.cholesky(torch.cov(pool.T)).T
    copies = x[uniform_like(torch.empty(len(x)), rng).argsort()[:n]]
    rivals = {"": drawn, "pooled points": pooled, "pooled points of one class": of_class, "Gaussian": gaussian}
    found = {k: coverage(v, y) for k, v in rivals.items()}
    found["training clouds"] = coverage(copies, y)
    order = uniform_like(torch.empty(y.shape[1]), rng).argsort()
    with torch.no_grad():
        moved = float((f(y) - f(y[:, order])).abs().amax() / y.shape[1])  # per point, as f is a sum over them
    generate, few = model.short_run(), y[: run.few(16, 2)]
    start = generate.start.sample(len(few), rng)
    back = generate(reconstruct(generate, few, start, run.few(DESCENTS, 2), RATE)).detach()
    pairs = float(torch.stack([chamfer(few.roll(k, 0), few).mean() for k in range(1, len(few))]).mean())
    accuracy = {}
    seen = features(f, x)
    assert test.labels is not None
    half = test.all()[:, ::2]
    noisy = test.all() + 0.05 * noise_like(test.all(), rng)
    for name, clouds in {"": test.all(), "with half the points": half, "with noise of .05": noisy}.items():
        accuracy[name] = probe(
            seen, torch.arange(len(x)), train.labels, features(f, clouds), test.labels, run.few(20, 4)
        )
    if seed == 0:
        rows = {"test": y, "samples": drawn, "pooled points": pooled, "reconstructions": back}
        shown = {k: render(v[: min(8, len(back))]) for k, v in rows.items()}
        pictures.rows_with_labels(shown, run.images / "point_clouds.png", scale=1)
    baseline = found["pooled points"]
    most = float(torch.bincount(test.labels.clamp(min=0)).max() / len(test))
    return Figures(
        {
            "MMD over that of pooled points": found[""].distance / baseline.distance,
            "coverage above that of pooled points": found[""].coverage - baseline.coverage,
            "largest change of f by a permutation": moved,
            "reconstruction, Chamfer over that of pairs": float(chamfer(back, few).mean()) / pairs,
            "accuracy": accuracy[""],
            "accuracy with half the points": accuracy["with half the points"],
            "accuracy with noise of .05": accuracy["with noise of .05"],
        },
        {
            **{
                f"MMD over that of pooled points/{k}": found[k].distance / baseline.distance
                for k in ("pooled points", "pooled points of one class", "Gaussian", "training clouds")
            },
            **{
                f"coverage above that of pooled points/{k}": found[k].coverage - baseline.coverage
                for k in ("pooled points of one class", "Gaussian", "training clouds")
            },
            "accuracy/most frequent class": most,
        },
    )
