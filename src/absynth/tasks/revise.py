"""Revision looked at: what the chain on x does to drafts, and what the chain on z does to an inferred z.

The two tables of Cui and Han (NeurIPS 2023), step by step. Of x: a generator's draft runs down the EBM's energy; with
pictures the Fréchet distance to the data is measured along the way, else the kernel discrepancy. Of z: chains on
p(z|x) start at the inference model's draw, where there is one, and at noise, and the error is that of x generated back.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.errors import InputError
from absynth.metrics.frechet import frechet
from absynth.metrics.kernel import mmd
from absynth.report import TaskResult
from absynth.samplers import Langevin
from absynth.seeding import Streams
from absynth.tasks.evaluate import feature_space
from absynth.tasks.opened import Opened, in_chunks, lengthened, open_run, result
from absynth.types import LogDensity

NO_SAMPLER = Langevin(30, 0.1)
"""The chain on z of a model that was trained without one: any generator's posterior can be climbed."""


def milestones(steps: int) -> list[int]:
    """Steps of a chain at which what is dear to measure is measured: the first, the last, and a few between.

    >>> milestones(30), milestones(5)
    ([0, 1, 5, 10, 20, 30], [0, 1, 2, 3, 5])
    """
    return sorted({0, min(1, steps), round(steps / 6), round(steps / 3), round(2 * steps / 3), steps})


def revise_x(
    model: Any, sampler: Any, n: int, *, seed: int, batch: int, device: torch.device
) -> tuple[Float[Tensor, "t1 n"], dict[int, Float[Tensor, "n *event"]]]:
    """n drafts down the chain on x: their energy ``[steps + 1, n]`` at every step, the states at milestones."""
    keep = milestones(sampler.steps)
    energies, states = [], {k: [] for k in keep}
    density = model.ebm()
    for start in range(0, n, batch):
        rows = range(start, min(start + batch, n))
        rng = Streams(seed, rows, device=device)
        _, drafts = model.draft(len(rows), rng=rng)
        profile = []
        for k, state in enumerate(sampler.path(density.log_density, drafts, rng=rng)):
            with torch.no_grad():
                profile.append(density.energy(state.x))
            if k in keep:
                states[k].append(state.x.cpu())
        energies.append(torch.stack(profile).cpu())
    return torch.cat(energies, 1), {k: torch.cat(parts) for k, parts in states.items()}


def revise_z(
    model: Any, sampler: Any, x: Tensor, start: Callable[[Tensor, Streams], Tensor], *, seed: int, batch: int
) -> tuple[Float[Tensor, "t1 n"], dict[int, Float[Tensor, "n *event"]]]:
    """The chain on z given each of x: the mean squared error of x generated back at every step, and x at milestones.

    Args:
        model: has ``log_joint`` and ``decode``.
        sampler: of z given x, with ``path``.
        x: examples.
        start: ``(x, rng) -> z``.
        seed: of the noise.
        batch: chains at once.
    """
    keep = milestones(sampler.steps)
    errors, states = [], {k: [] for k in keep}
    for first, part in in_chunks(x, batch):
        rng = Streams(seed, range(first, first + len(part)), device=part.device)
        joint: LogDensity = model.log_joint(part)
        profile = []
        for k, state in enumerate(sampler.path(joint, start(part, rng), rng=rng)):
            back = model.decode(state.x)
            profile.append(((back - part) ** 2).flatten(1).mean(1).cpu())
            if k in keep:
                states[k].append(back.cpu())
        errors.append(torch.stack(profile))
    return torch.cat(errors, 1), {k: torch.cat(parts) for k, parts in states.items()}


def starts(model: Any) -> dict[str, Callable[[Tensor, Streams], Tensor]]:
    """Where a chain on z may begin: the inference model's draw, and noise."""
    law = model.latent if hasattr(model, "latent") else model.prior().reference
    found: dict[str, Callable[[Tensor, Streams], Tensor]] = {}
    if getattr(model, "inference", None) is not None:

        def inferred(x: Tensor, rng: Streams) -> Tensor:
            with torch.no_grad():
                return model.inference(x).sample(rng)

        found["inference model"] = inferred
    return found | {"noise": lambda x, rng: law.sample(len(x), rng)}


def command(
    run: Path,
    n: int = 1000,
    steps: int = 0,
    posterior_steps: int = 0,
    images: str = "",
    seed: int = 0,
    batch: int = 500,
    cache: Path = Path("runs/features"),
    device: str = "auto",
) -> TaskResult:
    """Look at revision step by step: drafts along the chain on x, inferred z along the chain on z.

    Args:
        run: directory of a trained run.
        n: drafts, and examples that training did not see.
        steps: length of the chain on x; 0 is as in the run.
        posterior_steps: length of the chain on z; 0 is 30.
        images: your own pictures (folder, .npz, .npy) to infer z of; empty: what the recipe holds out.
        seed: of the noise.
        batch: chains that run at once (memory only).
        cache: folder where trained feature networks are kept.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    model: Any = opened.model
    on_x = all(hasattr(model, part) for part in ("ebm", "draft", "sampler"))
    on_z = all(hasattr(model, part) for part in ("generator", "log_joint", "decode"))
    if n < 2 or batch < 1 or min(steps, posterior_steps) < 0:
        raise InputError(f"expected n of at least 2 and batch of at least 1, got n={n}, batch={batch}")
    if not (on_x or on_z):
        raise InputError(
            f"this task needs a generator and an EBM that revises it, or a posterior, {run} is {opened.recipe.name()}"
        )
    data = opened.pictures(images).batch(torch.arange(n)) if images else opened.recipe.held_out(n)
    found = result("revise", "Revision", seed, "")
    folder = opened.folder("revise")
    if on_x:
        sampler = lengthened(model.sampler, steps) if steps else model.sampler
        energies, states = revise_x(model, sampler, n, seed=seed, batch=batch, device=opened.device)
        _report_x(opened, found, folder, energies, states, data, cache)
    if on_z:
        sampler = lengthened(getattr(model, "posterior_sampler", None) or NO_SAMPLER, posterior_steps or 30)
        _report_z(model, found, folder, sampler, data.to(opened.device), seed, batch)
    found.save(folder)
    return found


def _report_x(
    opened: Opened, found: TaskResult, folder: Path, energies: Tensor, states: dict, data: Tensor, cache: Path
) -> None:
    model: Any = opened.model
    n, steps = len(energies[0]), len(energies) - 1
    if data.ndim == 4:
        features = feature_space(opened.recipe.read("train"), cache)  # type: ignore[attr-defined]
        name, real = f"Fréchet distance [{features.name}]", features(data)
        distances = {k: frechet(features(x.clamp(-1, 1)), real) for k, x in states.items()}
        shown = {f"step {k}": x[:10].clamp(-1, 1) for k, x in states.items()}
        pictures.rows_with_labels(shown, folder / "x.png")
        found.pictures.append({"file": "x.png", "caption": "Drafts above, revised along the chain downwards"})
    else:
        name = "kernel discrepancy"
        distances = {k: mmd(x.flatten(1), data.flatten(1)) for k, x in states.items()}
        shown = {"drafts": states[0].flatten(1)[:, :2], "revised": states[steps].flatten(1)[:, :2]}
        pictures.scatter2d(folder / "x.png", shown, title="drafts and revised")
        found.pictures.append({"file": "x.png", "caption": "Drafts, and the same revised"})
    with torch.no_grad():
        of_data = float(torch.cat([model.ebm().energy(p.to(opened.device)) for p in data.split(500)]).mean())
    pictures.energy_profile(folder / "energy.png", energies, list(range(steps + 1)), mark=steps)
    found.pictures.append({"file": "energy.png", "caption": f"Energy of {n} drafts along {steps} steps"})
    rows = [[k, float(energies[k].mean()), distances[k]] for k in states]
    found.tables.append({"caption": "Revision of x", "columns": ["step", "energy", name], "rows": rows})
    found.text += (
        f"{n} drafts, revised by {steps} steps of {model.sampler!r}: the energy −f − log p_0 should fall towards that "
        f"of the data ({of_data:.4g}). {name}: to {len(data)} examples that were not trained on; lower is better. "
    )
    for label, k in (("drafts", 0), ("revised", steps)):
        found.figures |= {f"energy, {label}": float(energies[k].mean()), f"{name}, {label}": distances[k]}
        found.baselines[f"energy, {label}"] = {"data": of_data}


def _report_z(model: Any, found: TaskResult, folder: Path, sampler: Any, x: Tensor, seed: int, batch: int) -> None:
    curves, rows, sheet = {}, [], {"example": x[:10].cpu()}
    for name, start in starts(model).items():
        errors, states = revise_z(model, sampler, x, start, seed=seed, batch=batch)
        mean = errors.mean(1)
        curves[name] = (range(len(mean)), mean)
        rows += [[name, k, float(mean[k])] for k in states]
        last = len(mean) - 1
        sheet |= {f"{name}, step {k}": states[k][:10] for k in (0, last)}
        found.figures |= {f"error at step {k}, from {name}": float(mean[k]) for k in sorted({0, min(10, last), last})}
    columns = ["chain from", "step", "mean squared error"]
    found.tables.append({"caption": "Revision of z", "columns": columns, "rows": rows})
    pictures.curves(folder / "error.png", curves, "step of the chain on z", "error", "Error along the chain on z")
    found.pictures.append({"file": "error.png", "caption": "Mean squared error a coordinate of x generated back"})
    if x.ndim == 4:
        pictures.rows_with_labels({k: v.clamp(-1, 1) for k, v in sheet.items()}, folder / "z.png")
        found.pictures.append({"file": "z.png", "caption": "Examples, and x generated back at both ends of the chain"})
    found.text += (
        f"z of {len(x)} examples that were not trained on, inferred and then revised by {len(curves['noise'][1]) - 1} "
        "steps on p(z|x); the error is the mean square a coordinate of x generated back."
    )
