"""Interpolation: two examples' latent variables joined by a path, and what the generator makes of it."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from absynth import pictures
from absynth.algorithms import LatentPrior
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import open_run, result
from absynth.tasks.reconstruct import examples
from absynth.tasks.short_run import interpolated, short_run
from absynth.types import Rng


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
    model: LatentPrior, a: Shaped[Tensor, "n *event"], b: Shaped[Tensor, "n *event"], steps: int, *, rng: Rng
) -> Shaped[Tensor, "steps n *event"]:
    """Examples along the arc between the posterior draws of a and of b, ends included."""
    z_a, z_b = model.sample_posterior(a, rng=rng), model.sample_posterior(b, rng=rng)
    return torch.stack([model.decode(slerp(z_a, z_b, k / (steps - 1))) for k in range(steps)])


def command(
    run: Path, n: int = 8, steps: int = 8, images: str = "", text: str = "", seed: int = 0, device: str = "auto"
) -> TaskResult:
    """Interpolate between pairs of examples through the latent space; of a short run, between pairs of its starts.

    Args:
        run: directory of a trained run.
        n: how many pairs.
        steps: examples along the way, the two reconstructions included.
        images: your own pictures (folder, .npz, .npy); empty: the recipe's test split.
        text: your own file, one sentence a line, for a model of text; empty: the recipe's test split.
        seed: of the noise and of the choice of pairs.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    generate = short_run(opened)
    if generate is not None:
        if images or text:
            raise InputError(
                f"{opened.path} is a short run, whose starts are interpolated: leave out --images and --text"
            )
        return interpolated(opened, generate, n, max(steps, 2), seed)
    model, data = opened.latent(), examples(opened, 10_000, images, text)
    n, steps = min(n, len(data) // 2), max(steps, 2)
    if n < 1:
        raise InputError(f"interpolation needs at least 2 examples, got {len(data)}")
    chosen = data[torch.randperm(len(data), generator=stream(seed, 0, 1))[: 2 * n]]
    a, b = chosen[:n], chosen[n:]
    path = interpolate(
        model, a.to(opened.device), b.to(opened.device), steps, rng=stream(seed, device=opened.device)
    ).cpu()
    folder = opened.folder("interpolate")
    said = "The ends: examples that were not trained on. Between: the generator along the arc that joins their z."
    found = result("interpolate", "Interpolation", seed, said)
    if chosen.ndim == 4:  # a pair to a row
        sheet = torch.cat([a[:, None], path.transpose(0, 1), b[:, None]], 1).flatten(0, 1)
        pictures.grid(sheet, folder / "interpolations.png", columns=steps + 2)
        found.pictures.append({"file": "interpolations.png", "caption": f"{n} pairs, {steps} points along each arc"})
    else:
        points = {f"{k / (steps - 1):.2f}": x for k, x in enumerate(path)}
        found.add(opened.recipe.compare({"first": a, **points, "second": b}, folder / "interpolations.png"))
    found.save(folder)
    return found
