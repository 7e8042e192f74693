"""Interpolation: a path between the latent variables of two examples, and what the generator makes of it."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from absynth import pictures
from absynth.algorithms import Algorithm
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import check_positive, open_run
from absynth.tasks.short_run import interpolated, short_run
from absynth.types import Rng

TITLE = "Interpolations"
NEEDS = "a latent variable that is inferred, or a short-run EBM"
REPORT: dict | None = {}


def slerp(a: Float[Tensor, "n *latent"], b: Float[Tensor, "n *latent"], t: float) -> Float[Tensor, "n *latent"]:
    """The point at fraction t of the arc from a to b, its length interpolated too (Gaussian z lie near a sphere)."""
    u, v = a.flatten(1), b.flatten(1)
    length_u, length_v = u.norm(dim=1, keepdim=True), v.norm(dim=1, keepdim=True)
    cosine = ((u / length_u) * (v / length_v)).sum(1, keepdim=True).clamp(-1 + 1e-7, 1 - 1e-7)
    angle = cosine.acos()
    direction = ((1 - t) * angle).sin() * u / length_u + (t * angle).sin() * v / length_v
    length = (1 - t) * length_u + t * length_v
    return (direction / angle.sin() * length).view_as(a)


def interpolate(
    model: Algorithm, a: Shaped[Tensor, "n *event"], b: Shaped[Tensor, "n *event"], steps: int, *, rng: Rng
) -> Shaped[Tensor, "steps n *event"]:
    """Examples along the arc between posterior draws of a and of b, ends included."""
    z_a, z_b = model.sample_posterior(a, rng=rng), model.sample_posterior(b, rng=rng)
    return torch.stack([model.generate(slerp(z_a, z_b, k / (steps - 1))) for k in range(steps)])


def command(
    run: Path,
    n: int = 8,
    steps: int = 8,
    input: str = "",
    seed: int = 0,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Interpolate between pairs of examples through the latent space; of a short-run EBM, between initial states.

    Args:
        run: Run directory.
        n: Number of pairs.
        steps: Examples along the way, the two reconstructions included.
        input: File or folder of your own examples, of the same kind as the data. Defaults to the test split.
        seed: Seed of the noise and of the choice of pairs.
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/interpolate.
        device: auto, cpu, cuda.
    """
    check_positive(n=n)
    opened = open_run(run, device, task="interpolate", data=data, out=out)
    opened.require_unconditional()
    generate, steps = short_run(opened.model), max(steps, 2)
    if generate is not None:
        if input:
            raise InputError(f"{run} is a short-run EBM, whose initial states are interpolated: leave out --input")
        return interpolated(opened, generate, n, steps, seed)
    examples, _ = opened.inputs(input, 10_000)
    n = min(n, len(examples) // 2)
    if n < 1:
        raise InputError(f"interpolation needs at least 2 examples, got {len(examples)}")
    chosen = examples[torch.randperm(len(examples), generator=stream(seed, 0, 1))[: 2 * n]]
    a, b = chosen[:n], chosen[n:]
    rng = stream(seed, device=opened.device)
    path = interpolate(opened.model, a.to(opened.device), b.to(opened.device), steps, rng=rng).cpu()
    text = "Ends: examples that were not trained on. Between: the generator along the arc that joins their z."
    found = opened.result("Interpolation", text, seed)
    if opened.data.kind == "image":  # a pair per row
        sheet = torch.cat([a[:, None], path.transpose(0, 1), b[:, None]], 1).flatten(0, 1)
        pictures.grid(sheet, opened.folder / "interpolations.png", columns=steps + 2)
        found.pictures.append({"file": "interpolations.png", "caption": f"{n} pairs, {steps} points along each arc"})
    else:
        points = {f"{k / (steps - 1):.2f}": x for k, x in enumerate(path)}
        found.add(opened.data.compare({"first": a, **points, "second": b}, opened.folder / "interpolations.png"))
    return opened.save(found)
