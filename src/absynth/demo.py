"""The whole of it on data that comes with a dependency: what ``make demo`` runs."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from PIL import Image
from rich.console import Console

from absynth import report
from absynth.checkpoint import claim
from absynth.files import write_atomic
from absynth.logs import ProgressBar
from absynth.recipes.latent_prior_digits import LatentPriorDigits
from absynth.tasks import chain, detect, evaluate, interpolate, reconstruct, sample
from absynth.training import fit


def demo(out: Path = Path("runs/demo"), steps: int = 1000, held_out: int = 4, seed: int = 0) -> None:
    """Train the latent-space EBM prior on scikit-learn's digits, ask it everything, and leave one page.

    Args:
        out: directory of the run.
        steps: updates of each of the three models (ours, the same with a Gaussian prior, one without a digit).
        held_out: the digit that the anomaly detector never sees.
        seed: of everything.
    """
    console, begun = Console(highlight=False), time.monotonic()
    recipe = LatentPriorDigits(seed=seed, steps=steps)
    # Two cores: the models to compare with train in a process of their own, beside the first one.
    others = [
        (replace(recipe, anomaly=held_out), out / "held_out"),
        (replace(recipe, prior="gaussian"), out / "gaussian"),
    ]
    claim(out, recipe.resolve())  # before the others make their directories in it
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as second:
        trained_beside = [second.submit(_fit, each, run) for each, run in others]
        console.print("[bold]1/3[/bold] training the latent EBM prior, and beside it two models to compare with")
        fit(recipe, out, watchers=[ProgressBar(console)])
        console.print("[bold]2/3[/bold] waiting for the models to compare with")
        for each in trained_beside:
            each.result()
    console.print("[bold]3/3[/bold] asking the models")
    cache = out / "features"
    sample.command(out)
    reconstruct.command(out, n=360)
    interpolate.command(out)
    chain.command(out)
    trained = recipe.prior_steps
    ours = evaluate.command(out, n=2000, sweep=[0, trained // 3, 2 * trained // 3, 1000], cache=cache)
    gaussian = evaluate.command(out / "gaussian", n=2000, cache=cache)
    for figure, value in gaussian.figures.items():
        ours.baselines.setdefault(figure, {})["Gaussian prior, same budget"] = value
    ours.save(out / "evaluate")
    found = detect.command(out / "held_out")
    for picture in found.pictures:
        (out / "detect").mkdir(exist_ok=True)
        (out / "detect" / picture["file"]).write_bytes((out / "held_out" / "detect" / picture["file"]).read_bytes())
    found.save(out / "detect")
    page = report.write(out)
    _overview(out)
    for figure, value in {**ours.figures, **found.figures}.items():
        beside_it = {**ours.baselines, **found.baselines}.get(figure, {})
        line = f"  {figure}: {value:.4g}  " + "  ".join(f"({k}: {v:.4g})" for k, v in beside_it.items())
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"{time.monotonic() - begun:.0f} s. Look at [bold]{page}[/bold]", soft_wrap=True)
    console.print("Next: absynth train latent_prior_images --data FOLDER_OF_PICTURES --out runs/mine", soft_wrap=True)
    console.print(
        "      absynth train --help    lists the recipes;  absynth sample runs/demo -h    a command's flags",
        soft_wrap=True,
    )


def _overview(out: Path) -> None:
    """One picture of the run: samples, chains from the start to the prior, reconstructions."""
    parts = [Image.open(out / name) for name in ("sample/samples.png", "chain/chain.png")]
    height = max(part.height for part in parts)
    sheet = Image.new("RGB", (sum(part.width for part in parts) + 24, height), "white")
    left = 0
    for part in parts:
        sheet.paste(part, (left, 0))
        left += part.width + 24
    write_atomic(out / "overview.png", lambda aside: sheet.save(aside, format="PNG"))


def _fit(recipe: LatentPriorDigits, run: Path) -> None:
    fit(recipe, run)
