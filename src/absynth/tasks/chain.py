"""The chain that draws samples: at its trained length, and far beyond.

A short-run model can hide a wrong density: its samples are good at K_0 steps and decay after. So the page shows the
chain at both lengths and its energy, which should fall and then stay level (Pang et al. 2020, section 4.3). Effective
sample size and R-hat of the last half of the long run say whether the chains agree on what they sample.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms import Chain
from absynth.algorithms.chain import with_steps
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.samplers.draws import ChainWarning
from absynth.samplers.summary import ChainSummary, summarize_chains
from absynth.seeding import Streams
from absynth.tasks.opened import Opened, check_positive, open_run
from absynth.types import Rng

TITLE = "The chain from its start"
NEEDS = "a model that samples by one chain"
REPORT: dict | None = {}


VALUES = 20_000_000
"""Numbers kept to judge chains with, which bounds memory and time."""


def path(
    chain: Chain, n: int, steps: int, keep: list[int], *, rng: Rng
) -> tuple[Float[Tensor, "t n *event"], Float[Tensor, "steps1 n"], Float[Tensor, "n draws *event"]]:
    """Run n chains from their start.

    Returns:
        Their states at the steps in ``keep``, their energies at every step, and draws: states of the last half, evenly
        spaced, as many as :data:`VALUES` allows.
    """
    sampler: Any = with_steps(chain.sampler, steps)
    states, energies, draws = [], [], []
    every = 1
    for k, state in enumerate(sampler.path(chain.density.log_density, chain.start.sample(n, rng), rng=rng)):
        with torch.no_grad():
            energies.append(chain.density.energy(state.x))
        if k == 0:
            every = max(1, (steps - steps // 2) // max(50, VALUES // state.x.numel()))
        if k in keep:
            states.append(state.x)
        if k > steps // 2 and (steps - k) % every == 0:
            draws.append(state.x.cpu())
    kept = torch.stack(draws, 1) if draws else states[0][:, None][:, :0]
    return torch.stack(states), torch.stack(energies), kept


def steps_to_show(trained: int, long: int, at: list[int]) -> list[int]:
    """Steps at which states are shown: those given, or some up to the trained length and some beyond."""
    if at:
        if min(at) < 0 or max(at) > max(long, trained):
            raise InputError(f"--at must hold steps from 0 to {max(long, trained)}, got {at}: make --long larger")
        return sorted(set(at))
    short = {0, 1, 2, 5, trained // 6, trained // 3, 2 * trained // 3, trained}
    beyond = (2 * trained, 5 * trained, 10 * trained, long // 2, long)
    return sorted({k for k in short if k <= trained} | {k for k in beyond if trained < k <= long})


def draw_profiles(opened: Opened, found: TaskResult, energies: Tensor, trained: int) -> None:
    """Energy along the chain, short and long."""
    every = max(1, len(energies) // 500)
    for name, rows, step in (("short", energies[: 2 * trained + 1], 1), ("long", energies, every)):
        steps = list(range(0, len(rows), step))
        pictures.energy_profile(opened.folder / f"energy_{name}.png", rows[::step], steps, mark=trained)
        caption = (
            f"Energy along {energies.shape[1]} chains, {len(rows) - 1} steps; the dashed line is the trained length"
        )
        found.pictures.append({"file": f"energy_{name}.png", "caption": caption})
    last = len(energies) - 1
    for k in (0, trained, last):
        found.figures[f"energy at step {k}"] = float(energies[k].mean())


def judge(draws: Float[Tensor, "n draws *event"], energies: Float[Tensor, "steps1 n"]) -> list[ChainSummary]:
    """Verdicts on the states and on the energy in the last half of the run; none of fewer than 4 draws."""
    last = energies[len(energies) // 2 :].T
    return [summarize_chains(part) for part in (draws, last)] if min(draws.shape[1], last.shape[1]) >= 4 else []


def command(
    run: Path,
    n: int = 100,
    long: int = 2500,
    at: list[int] | None = None,
    seed: int = 0,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Show the chain that draws, short and long: examples along it, its energy, effective sample size and R-hat.

    A :class:`~absynth.samplers.ChainWarning` says in one line what is wrong with the chains, if anything is.

    Args:
        run: Run directory.
        n: Number of chains for the energy profile (10 are shown).
        long: Number of steps of the long run.
        at: Steps to show, such as 0,20,40,60,80,100. Defaults to some up to the trained length and some beyond.
        seed: Seed of the noise.
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/chain.
        device: auto, cpu, cuda.
    """
    check_positive(n=n)
    opened = open_run(run, device, task="chain", data=data, out=out)
    c = opened.conditions(n) if opened.conditional else None
    chain = opened.model.chain(None if c is None else c.to(opened.device))
    trained = chain.rounds * chain.steps
    steps = steps_to_show(trained, long, at or [])
    rng = Streams(seed, range(n), device=opened.device)
    states, energies, draws = path(chain, n, max(long, trained), steps, rng=rng)
    shown = {f"step {k}": chain.generate(state[:10]).cpu() for k, state in zip(steps, states)}
    text = (
        f"Chains from their start, {trained} steps for a sample, shown up to {max(long, trained)}, at temperature "
        f"{chain.temperature:g}. The energy −f − log p_0 should fall and then stay level; where it keeps falling while "
        "the samples decay, the short run hides a density that is wrong elsewhere."
    )
    verdicts = dict(zip(("states", "energy"), judge(draws, energies.cpu())))
    if verdicts:
        bad = next((f"{name}: {verdict.warning}" for name, verdict in verdicts.items() if verdict.warning), "")
        where = f"the last half of the long run, {n} chains of {draws.shape[1]} draws"
        text += (
            f"\n\n{where[0].upper()}{where[1:]}: {bad or 'no trouble found'}. R-hat near 1 and a large effective "
            "sample size mean that the chains agree and forget where they began; those of a short-run model need "
            "not, and its samples then depend on their start."
        )
        if bad:
            warnings.warn(f"{where}: {bad}", ChainWarning, stacklevel=2)
    found = opened.result(TITLE, text, seed)
    for name, verdict in verdicts.items():
        for figure, value in verdict.figures.items():
            if math.isfinite(value):
                found.figures[f"{figure}, {name}"] = value
    kind = opened.data.kind
    if kind == "image":
        shown = {step: x.clamp(-1, 1) for step, x in shown.items()}
    if kind in ("image", "text", "smiles"):
        found.add(opened.data.compare(shown, opened.folder / "chain.png"))
    draw_profiles(opened, found, energies.cpu(), trained)
    return opened.save(found)
