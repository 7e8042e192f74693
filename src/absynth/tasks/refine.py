"""Refinement step by step: a generator's samples along the chain on x, inferred z along the chain on z.

The two tables of Cui and Han (NeurIPS 2023), step by step. Of x: initial samples of the generator move down the EBM's
energy; the Fréchet distance of images to the data is measured along the way, the kernel discrepancy of other data. Of
z: chains on p(z|x) start at a draw of the inference network, where there is one, and at noise, and the error is that of
x generated from z.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms import Algorithm, Chain
from absynth.algorithms.chain import with_steps
from absynth.errors import InputError, Unsupported
from absynth.metrics.frechet import frechet
from absynth.metrics.kernel import mmd
from absynth.report import TaskResult
from absynth.samplers import ChainWarning, Langevin
from absynth.seeding import Streams
from absynth.tasks.evaluate import features_of
from absynth.tasks.opened import Opened, in_chunks, open_run

TITLE = "Refinement"
NEEDS = "a generator that an EBM refines, or a latent variable with a posterior"
REPORT: dict | None = {"n": 500}

DEFAULT_SAMPLER = Langevin(30, 0.1)
"""The chain on z of a model that was trained without one: any generator's posterior has a score."""

NOISE_ONLY = 0.05
"""A chain whose states moved as far as noise alone would, up to this share, shows no influence of the energy."""
MOVED = "distance moved over that of noise alone"

Starts = dict[str, Callable[[Tensor, Streams], Tensor]]
"""Initializations of a chain on z by name: ``(x, rng) -> z``."""


def milestones(steps: int) -> list[int]:
    """Steps at which costly figures are measured: the first, the last, and a few between.

    >>> milestones(30), milestones(5)
    ([0, 1, 5, 10, 20, 30], [0, 1, 2, 3, 5])
    """
    return sorted({0, min(1, steps), round(steps / 6), round(steps / 3), round(2 * steps / 3), steps})


def refine_x(
    chain: Callable[[range], Chain], n: int, *, seed: int, batch: int, device: torch.device
) -> tuple[Float[Tensor, "t1 n"], dict[int, Float[Tensor, "n *event"]]]:
    """n initial samples along the chain on x: their energy ``[steps + 1, n]`` at every step, the states at milestones.

    Args:
        chain: The chain that refines some of the rows.
        n: Number of samples.
        seed: Seed of the noise.
        batch: Chains at once.
        device: Where the model is.
    """
    energies, states = [], {}
    for start in range(0, n, batch):
        rows = range(start, min(start + batch, n))
        rng, part = Streams(seed, rows, device=device), chain(rows)
        sampler: Any = part.sampler
        keep, profile = milestones(sampler.steps), []
        for k, state in enumerate(sampler.path(part.density.log_density, part.start.sample(len(rows), rng), rng=rng)):
            with torch.no_grad():
                profile.append(part.density.energy(state.x))
            if k in keep:
                states.setdefault(k, []).append(state.x.cpu())
        energies.append(torch.stack(profile).cpu())
    return torch.cat(energies, 1), {k: torch.cat(parts) for k, parts in states.items()}


def distance_over_noise(sampler: Any, first: Tensor, last: Tensor) -> float | None:
    """How far a Langevin chain's states moved, over what its injected noise alone would have moved them.

    Both are root mean squares over coordinates; K steps of noise τ alone move a coordinate by τ √K. 1 says that the
    energy had no influence. Below 1 the energy pulls states back, as in a narrow density that they follow already.

    Args:
        sampler: The chain's sampler.
        first: Initial samples.
        last: The same after the chain.

    Returns:
        The ratio, or None for another sampler and for chains without noise.
    """
    if not isinstance(sampler, Langevin) or not sampler.temperature:
        return None
    noise = sampler.step_size * math.sqrt(sampler.temperature * sampler.steps)
    return float((last - first).double().square().mean().sqrt()) / noise


def refine_z(
    model: Algorithm, sampler: Any, x: Tensor, start: Callable[[Tensor, Streams], Tensor], *, seed: int, batch: int
) -> tuple[Float[Tensor, "t1 n"], dict[int, Float[Tensor, "n *event"]]]:
    """The chain on z given each of x: the mean squared error of x generated from z at every step, and x at milestones.

    Args:
        model: A model with a posterior.
        sampler: Of z given x, with ``path``.
        x: Examples.
        start: ``(x, rng) -> z``.
        seed: Seed of the noise.
        batch: Chains at once.
    """
    keep = milestones(sampler.steps)
    errors, states = [], {k: [] for k in keep}
    for first, part in in_chunks(x, batch):
        rng = Streams(seed, range(first, first + len(part)), device=part.device)
        profile = []
        for k, state in enumerate(sampler.path(model.posterior(part), start(part, rng), rng=rng)):
            back = model.generate(state.x)
            profile.append(((back - part) ** 2).flatten(1).mean(1).cpu())
            if k in keep:
                states[k].append(back.cpu())
        errors.append(torch.stack(profile))
    return torch.cat(errors, 1), {k: torch.cat(parts) for k, parts in states.items()}


def latent_starts(model: Algorithm, x: Tensor) -> Starts:
    """Initializations of a chain on z: a draw of the inference network, where there is one, and noise.

    Args:
        model: A model with a posterior.
        x: An example, to see whether there is an inference network.
    """
    found: Starts = {}

    def inferred(x: Tensor, rng: Streams) -> Tensor:
        with torch.no_grad():
            return model.encode(x).sample(rng)

    try:
        with torch.no_grad():
            model.encode(x)
        found["inference network"] = inferred
    except Unsupported:
        pass
    reference = model.latent_density().reference
    return found | {"noise": lambda x, rng: reference.sample(len(x), rng)}


def command(
    run: Path,
    n: int = 1000,
    steps: int = 0,
    posterior_steps: int = 0,
    input: str = "",
    seed: int = 0,
    batch: int = 500,
    cache: Path = Path("runs/features"),
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Show refinement step by step: initial samples along the chain on x, inferred z along the chain on z.

    Args:
        run: Run directory.
        n: Number of initial samples, and of examples.
        steps: Length of the chain on x; 0 is as in training.
        posterior_steps: Length of the chain on z; 0 is 30.
        input: File or folder of your own examples to infer z of. Defaults to the test split.
        seed: Seed of the noise.
        batch: Chains that run at once (memory only).
        cache: Folder where trained feature networks are kept.
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/refine.
        device: auto, cpu, cuda.
    """
    if n < 2 or batch < 1 or min(steps, posterior_steps) < 0:
        raise InputError(f"expected n of at least 2 and batch of at least 1, got n={n}, batch={batch}")
    opened = open_run(run, device, task="refine", data=data, out=out)
    c = opened.conditions(n) if opened.conditional else None
    c = None if c is None else c.to(opened.device)

    def chain(rows: range) -> Chain:
        return opened.model.refinement(None if c is None else c[rows.start : rows.stop]).with_steps(steps)

    on_x, on_z = _supports(lambda: chain(range(1))), not opened.conditional and _supports(opened.model.latent_density)
    on_z = on_z and opened.data.kind not in ("text", "smiles")  # a squared error of tokens means nothing
    if not (on_x or on_z):
        raise Unsupported(f"refine needs {NEEDS}, {run} is {opened.name}")
    examples, _ = opened.inputs(input, n)
    found = opened.result(TITLE, "", seed)
    if on_x:
        energies, states = refine_x(chain, n, seed=seed, batch=batch, device=opened.device)
        _report_x(opened, found, chain(range(len(examples))), energies, states, examples, cache.expanduser())
    if on_z:
        sampler = opened.model.samplers().get("posterior_sampler", DEFAULT_SAMPLER)
        _report_z(opened, found, with_steps(sampler, posterior_steps or 30), examples, seed, batch)
    return opened.save(found)


def _supports(capability: Callable[[], object]) -> bool:
    try:
        capability()
    except Unsupported:
        return False
    return True


def _report_x(
    opened: Opened, found: TaskResult, chain: Chain, energies: Tensor, states: dict, data: Tensor, cache: Path
) -> None:
    n, steps = len(energies[0]), len(energies) - 1
    if opened.data.kind in ("image", "pairs"):
        if opened.data.kind == "image":
            features = features_of(opened, cache)
            name, real = f"Fréchet distance [{features.name}]", features(data)
            distances = {k: frechet(features(x.clamp(-1, 1)), real) for k, x in states.items()}
        else:
            name, distances = "kernel discrepancy", {k: mmd(x.flatten(1), data.flatten(1)) for k, x in states.items()}
        shown = {f"step {k}": x[:10].clamp(-1, 1) for k, x in states.items()}
        pictures.rows_with_labels(shown, opened.folder / "x.png")
        found.pictures.append({"file": "x.png", "caption": "Initial samples above, refined along the chain downwards"})
    else:
        name = "kernel discrepancy"
        distances = {k: mmd(x.flatten(1), data.flatten(1)) for k, x in states.items()}
        shown = {"initial": states[0].flatten(1)[:, :2], "refined": states[steps].flatten(1)[:, :2]}
        pictures.scatter2d(opened.folder / "x.png", shown, title="initial and refined samples")
        found.pictures.append({"file": "x.png", "caption": "Initial samples, and the same refined"})
    baseline = {}
    if not opened.conditional:
        with torch.no_grad():
            mean = torch.cat([chain.density.energy(part.to(opened.device)) for part in data.split(500)]).mean()
        baseline = {"data": float(mean)}
    pictures.energy_profile(opened.folder / "energy.png", energies, list(range(steps + 1)), mark=steps)
    found.pictures.append({"file": "energy.png", "caption": f"Energy of {n} samples along {steps} steps"})
    rows = [[k, float(energies[k].mean()), distances[k]] for k in states]
    found.tables.append({"caption": "Refinement of x", "columns": ["step", "energy", name], "rows": rows})
    found.text += (
        f"{n} initial samples, refined by {steps} steps of {chain.sampler!r}: the energy −f − log p_0 should fall "
        f"towards that of the data. {name}: to {len(data)} examples that were not trained on; lower is better. "
    )
    ratio = distance_over_noise(chain.sampler, states[0], states[steps])
    if ratio is not None:
        found.figures[MOVED] = ratio
        if abs(ratio - 1) < NOISE_ONLY:
            trouble = (
                f"refinement moves samples {ratio:.3f} times as far as its own noise would: expected an influence of "
                "the energy, train longer or with a larger --energy-lr, or lower the chains' --temperature"
            )
            found.text += f"{trouble[0].upper()}{trouble[1:]}. "
            warnings.warn(trouble, ChainWarning, stacklevel=2)
    for label, k in (("initial samples", 0), ("refined samples", steps)):
        found.figures |= {f"energy, {label}": float(energies[k].mean()), f"{name}, {label}": distances[k]}
        if baseline:
            found.baselines[f"energy, {label}"] = baseline


def _report_z(opened: Opened, found: TaskResult, sampler: Any, x: Tensor, seed: int, batch: int) -> None:
    curves, rows, sheet = {}, [], {"example": x[:10]}
    x = x.to(opened.device)
    for name, start in latent_starts(opened.model, x[:1]).items():
        errors, states = refine_z(opened.model, sampler, x, start, seed=seed, batch=batch)
        mean = errors.mean(1)
        curves[name] = (range(len(mean)), mean)
        rows += [[name, k, float(mean[k])] for k in states]
        last = len(mean) - 1
        sheet |= {f"{name}, step {k}": states[k][:10] for k in (0, last)}
        found.figures |= {f"error at step {k}, from {name}": float(mean[k]) for k in sorted({0, min(10, last), last})}
    columns = ["chain from", "step", "mean squared error"]
    found.tables.append({"caption": "Refinement of z", "columns": columns, "rows": rows})
    pictures.curves(
        opened.folder / "error.png", curves, "step of the chain on z", "error", "Error along the chain on z"
    )
    caption = "Mean squared error per coordinate of x generated from z"
    found.pictures.append({"file": "error.png", "caption": caption})
    if opened.data.kind == "image":
        pictures.rows_with_labels({k: v.clamp(-1, 1) for k, v in sheet.items()}, opened.folder / "z.png")
        caption = "Examples, and x generated from z at both ends of the chain"
        found.pictures.append({"file": "z.png", "caption": caption})
    found.text += (
        f"z of {len(x)} examples that were not trained on, inferred and then refined by {len(curves['noise'][1]) - 1} "
        "steps on p(z|x); the error is the mean square per coordinate of x generated from z."
    )
