"""A short-run EBM as a generator: reconstruction and interpolation through its initial state (Nijkamp et al. 2019)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms import Algorithm, ShortRun
from absynth.errors import Unsupported
from absynth.metrics.clouds import chamfer
from absynth.report import TaskResult
from absynth.samplers.unroll import reconstruct as descend
from absynth.seeding import stream
from absynth.tasks.opened import Opened, check_positive, row_streams

DESCENTS = 200
"""Steps of Adam on ‖x − M(z)‖²."""


def short_run(model: Algorithm) -> ShortRun | None:
    """The model's short run as a generator; None for other models."""
    try:
        return model.short_run()
    except Unsupported:
        return None


def reconstructed(opened: Opened, generate: ShortRun, x: Float[Tensor, "n *event"], seed: int) -> TaskResult:
    """Reconstruct images or point clouds by descending through the chain."""
    opened.require_kind("image", "points")
    z = generate.start.sample(len(x), row_streams(seed, range(len(x)), device=opened.device))
    with torch.no_grad():
        before = generate(z).cpu()
    back = generate(descend(generate, x.to(opened.device), z, DESCENTS)).detach().cpu().clamp(-1, 1)
    text = (
        f"The initial state of the chain is its latent variable: {DESCENTS} steps of Adam on ‖x − M(z)‖² through all "
        f"{generate.sampler.steps} steps of the chain without noise, for {len(x)} {opened.data.unit} that were not "
        "trained on. Mean squared error per coordinate on the [-1, 1] scale."
    )
    found = opened.result("Reconstruction", text, seed)
    shown = {opened.data.kind: x[:10], "reconstruction": back[:10]}
    found.add(opened.data.compare(shown, opened.folder / "reconstructions.png"))
    if opened.data.kind == "points":
        found.figures["Chamfer distance"] = float(chamfer(back, x).mean())
        found.baselines["Chamfer distance"] = {"another cloud": float(chamfer(x.roll(1, 0), x).mean())}
    mean = opened.examples("train").all().mean(0)
    found.figures["test MSE"] = float(((back - x) ** 2).mean())
    found.baselines["test MSE"] = {
        f"mean of {opened.data.unit}": float(((x - mean) ** 2).mean()),
        "initialization of the descent": float(((before.clamp(-1, 1) - x) ** 2).mean()),
    }
    return opened.save(found)


def interpolated(opened: Opened, generate: ShortRun, n: int, steps: int, seed: int) -> TaskResult:
    """Interpolate between pairs of initial states and run the chain from each point."""
    check_positive(n=n)
    starts = generate.start.sample(2 * n, stream(seed, device=opened.device))
    with torch.no_grad():
        path = torch.stack([generate(generate.between(starts[:n], starts[n:], k / (steps - 1))) for k in range(steps)])
    path = path.cpu().clamp(-1, 1)
    text = (
        f"{n} pairs of initial states of the chain, joined by a path on which every point is as likely as they are, "
        f"and the result of {generate.sampler.steps} steps without noise. Distances are Euclidean on the [-1, 1] scale."
    )
    found = opened.result("Interpolation", text, seed)
    if path.ndim == 5:
        pictures.grid(path.transpose(0, 1).flatten(0, 1), opened.folder / "interpolations.png", columns=steps)
        found.pictures.append({"file": "interpolations.png", "caption": f"{n} paths from left to right"})
    elif opened.data.kind == "points":
        points = {f"{k / (steps - 1):.2f}": x for k, x in enumerate(path)}
        found.add(opened.data.compare(points, opened.folder / "interpolations.png"))
    found.figures["distance between neighbours"] = float(path.diff(dim=0).flatten(2).norm(dim=2).mean())
    found.baselines["distance between neighbours"] = {
        "between the ends": float((path[0] - path[-1]).flatten(1).norm(dim=1).mean())
    }
    return opened.save(found)
