"""The model card of a saved model: README.md, written from what its folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absynth import citations, pictures, recipes, released, tasks
from absynth.errors import InputError
from absynth.files import read_json, write_atomic
from absynth.recipes.recipe import Recipe
from absynth.report import html, logs
from absynth.report.logs import RunLog
from absynth.report.result import TaskResult
from absynth.results import number

LICENSES = ("apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "cc0-1.0", "gpl-3.0", "mit")
"""Licenses that the hub knows by name; any other is "other" there."""


def write(folder: Path) -> Path:
    """Write ``folder/README.md`` and the pictures of its learning curves.

    Raises:
        InputError: The folder holds no saved model, or cannot be written.
    """
    config, log = read_json(folder / "config.json"), logs.read(folder)
    recipe = Recipe.from_entry(config)
    name = config.get("name") or folder.resolve().name
    sections = [
        f"# {log.name} on {log.data.split(',')[0]}",
        _what(recipe, log),
        _picture(log),
        "## Use",
        _use(recipe, folder, name),
        "## Data",
        _data(config),
        "## Training",
        _training(folder, config, log),
        _curves(folder, log),
        "## Figures",
        _figures(log),
        "## Limits",
        _limits(recipe, config, log),
        "## License",
        config.get("license") or "None was given: ask the author before you use the weights.",
        "## Citation",
        _citation(config),
    ]
    path = folder / "README.md"
    write_atomic(path, "\n\n".join([_header(config, log), *(part for part in sections if part)]) + "\n")
    return path


def _header(config: dict[str, Any], log: RunLog) -> str:
    """What the hub reads of a card."""
    license = str(config.get("license", "")).lower()
    lines = ["library_name: absynth"]
    if license:
        lines.append(f"license: {license if license in LICENSES else 'other'}")
        lines += [f"license_name: {license}"] if license not in LICENSES else []
    tags = ["energy-based-model", log.name.replace(":", "-"), config["data"]["kind"]]
    return "\n".join(["---", *lines, "tags:", *(f"- {tag}" for tag in tags), "---"])


def _what(recipe: Recipe, log: RunLog) -> str:
    first = (type(recipe).__doc__ or "").split("\n\n")[0]
    seen = log.data.partition(", ")[2]
    return " ".join(f"{first} Trained by absynth on {log.data.split(',')[0]}{seen and f' ({seen})'}.".split())


def _picture(log: RunLog) -> str:
    """The picture of the samples, or of another task."""
    found = log.result("sample") or next(((f, r) for f, r in log.results if r.pictures), None)
    if found is None or not found[1].pictures:
        return ""
    folder, result = found
    return _image(f"{folder.name}/{result.pictures[0]['file']}", result.pictures[0]["caption"])


def _image(file: str, caption: str) -> str:
    return f"![{caption.replace('[', '(').replace(']', ')')}]({file})"


def _use(recipe: Recipe, folder: Path, name: str) -> str:
    """Lines that use the model, in Python and from the shell."""
    released_here = released.models_folder().resolve() in folder.resolve().parents
    task = type(recipe).first_task
    lines = ["import absynth as ab", f'model = ab.{"pretrained" if released_here else "from_pretrained"}("{name}")']
    shell = f"absynth {task} {name}" + (" --n 16" if task == "sample" else "")
    if task == "sample":
        try:
            c = "" if recipe.conditions(2) is None else "model.recipe.conditions(16), "
            lines.append(f"x = model.sample(16, {c}rng=ab.stream(seed=0))")
        except (InputError, RuntimeError, IndexError, ZeroDivisionError):
            pass  # conditions come from the data
    return "\n".join(["```python", *lines, "```", "", "```", "pip install absynth", shell, "```"])


def _table(rows: list[tuple[str, Any]]) -> str:
    cells = [f"| {key} | {str(value).replace('|', '/')} |" for key, value in rows if value not in ("", None)]
    return "\n".join(["| | |", "|---|---|", *cells])


def _data(config: dict[str, Any]) -> str:
    data = config["data"]
    classes = data.get("class_names") or []
    shown = ", ".join(map(str, classes[:10])) + (", ..." if len(classes) > 10 else "")
    rows = [
        ("name", data["name"]),
        ("kind", data["kind"]),
        ("shape of an example", "×".join(map(str, data["shape"]))),
        ("training examples", data["examples"] or "unlimited"),
        ("classes", f"{len(classes)}: {shown}" if classes else ""),
        ("fingerprint", data["fingerprint"]),
    ]
    return _table(rows)


def _training(folder: Path, config: dict[str, Any], log: RunLog) -> str:
    fields = config["fields"]
    acted = sum(entry.get("event") == "guard" for entry in log.journal)
    selected = config.get("selected") or {}
    rows = [
        ("method", log.name),
        ("preset", fields.get("preset")),
        ("updates", config.get("step")),
        ("weights of update", selected.get("step")),
        ("examples per update", fields.get("batch")),
        ("decay of the weight average", fields.get("ema") or ""),
        ("seed", fields.get("seed")),
        ("time", html.duration(log.seconds) if log.seconds else ""),
        ("roll-backs of the guard", acted),
        ("size of the weights", f"{(folder / 'model.safetensors').stat().st_size / 1e3:.0f} kB"),
        ("saved by", f"absynth {config.get('absynth', '')}"),
    ]
    return _table(rows) + "\n\nEvery number of the recipe is in `recipe.json`."


def _curves(folder: Path, log: RunLog) -> str:
    """Pictures of the losses and of the energies."""
    shown = []
    for key, y_label, title in (
        ("loss", "loss", "Loss of each player"),
        ("energy", "−f − log p_0", "Mean energy of positive and negative examples"),
        ("held-out", "figure", "Held-out figure"),
    ):
        series = logs.series(log.metrics, key)
        if series:
            file = f"curves/{key.replace('-', '_')}.png"
            pictures.curves(folder / file, series, "step", y_label, title)
            shown.append(_image(file, title))
    said = [f"The loss of the {player} {text}." for player, text in log.meanings.items() if player]
    return "\n\n".join([*shown, " ".join(said)]).strip()


def summary(folder: Path) -> dict[str, Any]:
    """What a list of models says of one: its data, its size, its first figure and the baselines beside it."""
    config, log = read_json(folder / "config.json"), logs.read(folder)
    result, figure, value = next(iter(_measured(log)), (None, "", None))
    return {
        "data": config["data"]["name"],
        "kind": config["data"]["kind"],
        "bytes": (folder / "model.safetensors").stat().st_size,
        "figure": figure,
        "value": value,
        "baselines": {} if result is None else result.baselines.get(figure, {}),
        "command": "" if result is None else result.command,
    }


def _measured(log: RunLog) -> list[tuple[TaskResult, str, float]]:
    """Figures that have a baseline, else all, in the order of the tasks."""
    order = {name: i for i, name in enumerate(tasks.tasks())}
    results = sorted((result for _, result in log.results), key=lambda result: order.get(result.task, len(order)))
    found = [(r, f, v) for r in results for f, v in r.figures.items()]
    return [row for row in found if row[1] in row[0].baselines] or [row for row in found if row[0].task != "sample"]


def _figures(log: RunLog) -> str:
    """A table of the figures with their baselines, and below how each was measured."""
    found = _measured(log)
    if not found:
        return "None were measured: `absynth report` on this folder measures what the model supports."
    lines = ["| figure | this model | baselines | measured by |", "|---|---|---|---|"]
    for result, figure, value in found:
        others = "; ".join(f"{name} {number(v)}" for name, v in result.baselines.get(figure, {}).items())
        lines.append(f"| {figure} | {number(value)} | {others} | `{result.command}` |")
    said = {result.task: f"*{result.title}.* {' '.join(result.text.split())}" for result, _, _ in found}
    return "\n\n".join(["\n".join(lines), *said.values()])


def _limits(recipe: Recipe, config: dict[str, Any], log: RunLog) -> str:
    """What follows from the recipe, and what the author added."""
    fields, limits = config["fields"], list(config.get("limits", []))
    data = config["data"]
    limits.append(
        f"Trained on {data['name']} alone: nothing is known about other {data['kind']} data, and samples repeat the "
        "biases of the training examples."
    )
    if fields.get("limit"):
        limits.append(f"Trained on {fields['limit']} of the training examples.")
    if any(key.endswith(("chain_steps", "prior_steps")) for key in fields):
        limits.append(
            "Samples are the ends of chains of the trained length; longer chains may leave what was learned "
            "(`absynth chain` shows them). Energies are unnormalized log densities: compare them within one model."
        )
    if not any(result.figures.keys() & result.baselines.keys() for _, result in log.results):
        limits.append("Its quality was not measured.")
    return "\n".join(f"- {limit}" for limit in limits)


def _citation(config: dict[str, Any]) -> str:
    method = config["recipe"]
    found = citations.of_method(method) if method in recipes.methods() else []
    entries = [entry.bibtex() for entry in [citations.of_library(), *found]]
    return "\n".join(["```bibtex", "\n\n".join(entries), "```"])
