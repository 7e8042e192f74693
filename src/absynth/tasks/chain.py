"""The chain that draws looked at: from where it begins, as long as in training and far beyond.

A short-run model can hide a wrong density: its samples are good at K_0 steps and fall apart after. So the page shows
the chain at both lengths and its energy, which should fall and then stay level (Pang et al. 2020, section 4.3).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.seeding import Streams
from absynth.tasks.opened import Chain, lengthened, open_run, result
from absynth.types import Rng


def path(
    chain: Chain, n: int, steps: int, keep: list[int], *, rng: Rng
) -> tuple[Float[Tensor, "t n *event"], Float[Tensor, "steps1 n"]]:
    """Run n chains from their origin; their states at the steps in ``keep`` and their energies at every step."""
    sampler: Any = lengthened(chain.sampler, steps)
    states, energies = [], []
    for k, state in enumerate(sampler.path(chain.density.log_density, chain.origin.sample(n, rng), rng=rng)):
        with torch.no_grad():
            energies.append(chain.density.energy(state.x))
        if k in keep:
            states.append(state.x)
    return torch.stack(states), torch.stack(energies)


def command(
    run: Path, n: int = 100, long: int = 2500, at: list[int] | None = None, seed: int = 0, device: str = "auto"
) -> TaskResult:
    """Show the chain that draws, short and long: pictures or sentences along it, and its energy.

    Args:
        run: directory of a trained run.
        n: chains for the energy profile (10 are shown as pictures).
        long: steps of the long run.
        at: steps to show, such as [0,20,40,60,80,100]; empty: some up to the trained length and some beyond.
        seed: of the noise.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    chain = opened.chain()
    trained = chain.rounds * chain.steps
    folder = opened.folder("chain")
    short = sorted(set(at or (0, 1, 2, 5, trained // 6, trained // 3, 2 * trained // 3, trained)))
    if short[0] < 0 or short[-1] > max(long, trained):
        raise InputError(f"--at must hold steps from 0 to {max(long, trained)}, got {short}: make --long larger")
    beyond = [] if at else [k for k in (2 * trained, 5 * trained, 10 * trained, long // 2, long) if trained < k <= long]
    rng = Streams(seed, range(n), device=opened.device)
    states, energies = path(chain, n, max(long, trained), short + beyond, rng=rng)
    shown = [chain.decode(z[:10]).cpu() for z in states]
    labels = [f"step {k}" for k in sorted({*short, *beyond})]
    text = (
        f"Chains from their start, {trained} steps for a sample, shown up to {max(long, trained)}, at temperature "
        f"{chain.temperature:g}. The energy −f − log p_0 should fall and then stay level; where it keeps falling while "
        "pictures decay, the short run hides a density that is wrong elsewhere."
    )
    found = result("chain", "The chain from its start", seed, text)
    if shown[0].ndim == 4:
        shown = [x.clamp(-1, 1) for x in shown]
    if shown[0].ndim == 4 or not shown[0].is_floating_point():
        found.add(opened.recipe.compare(dict(zip(labels, shown)), folder / "chain.png"))
    profile = energies.cpu()
    every = max(1, len(profile) // 500)
    for name, rows, step in (("short", profile[: 2 * trained + 1], 1), ("long", profile, every)):
        steps = list(range(0, len(rows), step))
        pictures.energy_profile(folder / f"energy_{name}.png", rows[::step], steps, mark=trained)
        caption = f"Energy along {n} chains, {len(rows) - 1} steps; the dashed line is the trained length"
        found.pictures.append({"file": f"energy_{name}.png", "caption": caption})
    found.figures |= {
        "energy at step 0": float(profile[0].mean()),
        f"energy at step {trained}": float(profile[trained].mean()),
        f"energy at step {len(profile) - 1}": float(profile[-1].mean()),
    }
    found.save(folder)
    return found
