"""A short-run EBM as a generator: its noise is a latent variable (Nijkamp et al. 2019, section 4).

Without its noise the chain of K steps is a map M from where it begins to the picture it ends at. Two starts can be
joined by a path, and a picture reconstructed by descending ‖x − M(z)‖² through all K steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.distributions import StandardNormal, Uniform
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.samplers import FromNoise, Langevin
from absynth.samplers.unroll import interpolate_normal, interpolate_uniform, unroll
from absynth.samplers.unroll import reconstruct as descend
from absynth.seeding import stream
from absynth.tasks.opened import Opened, result, row_streams
from absynth.types import LogDensity

DESCENTS = 200
"""Steps of Adam on ‖x − M(z)‖²."""


@dataclass(frozen=True)
class ShortRun:
    """M: a start z ``[b, *event]`` to the picture ``[b, *event]`` that K steps without noise make of it."""

    log_density: LogDensity
    sampler: Langevin
    origin: StandardNormal | Uniform

    def __call__(self, z: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
        return unroll(self.sampler, self.log_density, z, z.new_zeros(self.sampler.steps, *z.shape))

    def between(self, a: Float[Tensor, "b *event"], b: Float[Tensor, "b *event"], t: float) -> Tensor:
        """The start at fraction t of the way from a to b, itself a draw of where chains begin if a and b are."""
        ratio = float(torch.cos(torch.tensor(0.5 * torch.pi * t)))
        if isinstance(self.origin, StandardNormal):
            return interpolate_normal(a, b, ratio)
        return interpolate_uniform(a, b, ratio, self.origin.low, self.origin.high)


def short_run(opened: Opened) -> ShortRun | None:
    """The generator that a run's short chain is; None where chains persist, begin at data, or are of another kind."""
    model = opened.model
    if not (isinstance(model, MaximumLikelihood) and isinstance(model.start, FromNoise) and model.sample_rounds == 1):
        return None
    origin, sampler = model.start.reference, model.sampler
    if not (isinstance(origin, StandardNormal | Uniform) and isinstance(sampler, Langevin)):
        return None
    return ShortRun(model.ebm().log_density, sampler, origin)


def reconstructed(opened: Opened, generate: ShortRun, x: Float[Tensor, "n c h w"], seed: int) -> TaskResult:
    """Reconstruct pictures by descending through the chain."""
    seen = x.to(opened.device)
    z = generate.origin.sample(len(x), row_streams(seed, range(len(x)), device=opened.device))
    with torch.no_grad():
        before = generate(z).cpu()
    back = generate(descend(generate, seen, z, DESCENTS)).detach().cpu().clamp(-1, 1)
    folder = opened.folder("reconstruct")
    pictures.rows_with_labels({"picture": x[:10], "reconstruction": back[:10]}, folder / "reconstructions.png")
    found = result(
        "reconstruct", "Reconstruction", seed,
        f"The chain's start is its latent variable: {DESCENTS} steps of Adam on ‖x − M(z)‖² through all "
        f"{generate.sampler.steps} steps of the chain, its noise left out, for {len(x)} pictures that were not trained "
        "on. Mean squared error a pixel on the [-1, 1] scale.",
    )  # fmt: skip
    found.pictures.append({"file": "reconstructions.png", "caption": "Pictures above, reconstructions below"})
    mean = opened.images("train").all().mean(0)
    found.figures["test MSE"] = float(((back - x) ** 2).mean())
    found.baselines["test MSE"] = {
        "mean picture": float(((x - mean) ** 2).mean()),
        "where the descent began": float(((before.clamp(-1, 1) - x) ** 2).mean()),
    }
    found.save(folder)
    return found


def interpolated(opened: Opened, generate: ShortRun, n: int, steps: int, seed: int) -> TaskResult:
    """Join pairs of starts by a path and run the chain from each point of it."""
    if n < 1:
        raise InputError(f"expected at least 1 pair, got {n}")
    starts = generate.origin.sample(2 * n, stream(seed, device=opened.device))
    with torch.no_grad():
        path = torch.stack([generate(generate.between(starts[:n], starts[n:], k / (steps - 1))) for k in range(steps)])
    path = path.cpu().clamp(-1, 1)
    folder = opened.folder("interpolate")
    said = (
        f"{n} pairs of starts of the chain, joined by a path on which every point is as likely as they are, and what "
        f"{generate.sampler.steps} steps without noise make of it. Distances are Euclidean on the [-1, 1] scale."
    )
    found = result("interpolate", "Interpolation", seed, said)
    if path.ndim == 5:
        pictures.grid(path.transpose(0, 1).flatten(0, 1), folder / "interpolations.png", columns=steps)
        found.pictures.append({"file": "interpolations.png", "caption": f"{n} paths from left to right"})
    found.figures["distance between neighbours"] = float(path.diff(dim=0).flatten(2).norm(dim=2).mean())
    found.baselines["distance between neighbours"] = {
        "between the ends": float((path[0] - path[-1]).flatten(1).norm(dim=1).mean())
    }
    found.save(folder)
    return found
