"""A run's report: one self-contained HTML page with images, curves and figures, and no link that leaves it."""

from __future__ import annotations

import re
from pathlib import Path

from absynth import pictures, tasks
from absynth.files import write_atomic
from absynth.report import html, logs
from absynth.report.html import escape
from absynth.report.logs import RunLog, Series
from absynth.report.result import TaskResult
from absynth.results import number

_STATES = {"finish": "finished", "interrupt": "stopped by its user", "diverged": "stopped by the guard: diverged"}


def write(run: Path) -> Path:
    """Write ``run/report.html`` from what the run's directory holds, and return its path.

    Args:
        run: Run directory; ``recipe.json`` must be there. Everything else is shown if it is there.

    Raises:
        InputError: There is no recipe, or the page cannot be written.
    """
    log = logs.read(run)
    titles = tasks.titles()
    sections = [
        ("samples", "Samples", _samples(log)),
        ("figures", "Figures", _figures(log)),
        *((task, titles.get(task, "Other tasks"), _tasks(log, task)) for task in (*titles, "")),
        ("curves", "Learning curves", _curves(log)),
        ("journal", "What happened during training", _journal(log)),
        ("recipe", "The recipe", _fields(log)),
        ("repeat", "How to repeat it", _repeat(log)),
    ]
    sections = [(key or "others", title, content) for key, title, content in sections]
    heading = f"<h1>{escape(log.name)}</h1>{_facts(log)}"
    path = run / "report.html"
    write_atomic(path, html.page(f"{log.name}: {run.resolve().name}", heading, sections))
    return path


def _facts(log: RunLog) -> str:
    times = [text for entry in log.journal if (text := html.clock(entry.get("time")))]
    step = max([entry["step"] for entry in [*log.metrics[-1:], *log.journal[-1:]] if "step" in entry], default=None)
    last = log.journal[-1].get("event") if log.journal else None
    state = _STATES.get(str(last), "not finished, last seen")
    state += f" at step {number(step)}" if isinstance(step, int) else " before its first step"
    when = f"{times[0]} to {times[-1]}" if len(times) > 1 else times[0] if times else "not recorded"
    facts = {"Run": log.run.resolve().name, "Data": log.data, "Date": when, "State": state}
    if log.seconds is not None:
        facts["Training time"] = html.duration(log.seconds)
    return html.facts(facts)


def _samples(log: RunLog) -> str:
    """The samples alone: their section among the tasks says the rest."""
    found = log.result("sample")
    return "" if found is None else html.images(*found) + _tables(found[1])


def _tables(result: TaskResult) -> str:
    return "".join(html.table(each["caption"], each["columns"], each["rows"]) for each in result.tables)


def _figures(log: RunLog) -> str:
    rows = []
    for folder, result in log.results:
        for name, value in result.figures.items():
            if result.task != "sample" or name in result.baselines:
                others = result.baselines.get(name, {})
                rows.append([name, value, "; ".join(f"{m} {number(v)}" for m, v in others.items()), folder.name])
    rows.sort(key=lambda row: not row[2])  # what has a baseline first
    damaged = "".join(f'<p class="soft">{escape(line)}</p>' for line in log.damaged)
    caption = "Figures with a baseline first. Each task's section says how they were measured."
    return damaged + (html.table(caption, ["figure", "this run", "baselines", "task"], rows) if rows else "")


def _tasks(log: RunLog, task: str) -> str:
    """The results of one task; of all that are no task of this version if it is ""."""
    known = tasks.titles()
    mine = [(f, r) for f, r in log.results if (r.task == task if task else r.task not in known)]
    return "".join(task_section(folder, result) for folder, result in mine)


def task_section(folder: Path, result: TaskResult) -> str:
    parts = [f"<h3>{escape(result.title)}</h3>", html.paragraphs(result.text)]
    if result.task != "sample":  # shown at the top
        parts += [html.images(folder, result), _tables(result)]
    return "".join(parts) + f'<p class="soft">Seed {result.seed}. <code>{escape(result.command)}</code></p>'


def _curves(log: RunLog) -> str:
    if not log.metrics:
        return ""
    shown, said = [], []

    def draw(file: str, caption: str, series: Series, y_label: str, log_scale: bool = False) -> None:
        path = log.run / "curves" / f"{re.sub(r'[^A-Za-z0-9_-]', '_', file)}.png"
        pictures.curves(path, series, "step", y_label, caption, log=log_scale)
        ends = ", ".join(f"{name} {number(ys[-1])}" for name, (_, ys) in series.items() if name != "limit 4")
        shown.append(html.image(path, f"{caption}. Last: {ends}."))

    for player, line in logs.series(log.metrics, "loss").items():
        draw(f"loss_{player}", f"Loss of the {player}", {player: line}, "loss")
        if player in log.meanings:
            said.append(f"The loss of the {player} {log.meanings[player]}.")
    if energy := logs.series(log.metrics, "energy"):
        draw("energy", "Mean energy of positive and negative examples", energy, "−f − log p_0")
    if held_out := logs.series(log.metrics, "held-out"):
        draw("held_out", "Held-out figure at the checkpoints; the weights of the lowest are saved", held_out, "figure")
    if gradient := logs.series(log.metrics, "gradient"):
        draw("gradient", "Norm of each player's gradient", gradient, "norm", log_scale=True)
    if stability := logs.series(log.metrics, "stability"):
        steps = [xs for xs, _ in stability.values()]
        ends = [min(xs[0] for xs in steps), max(xs[-1] for xs in steps)]
        limit = {"limit 4": (ends, [4.0, 4.0])}
        draw("stability", "Stability δ²λ of the chains", {**stability, **limit}, "δ²λ", log_scale=True)
        said.append(
            "δ²λ is the squared step size times the largest curvature of the density that the chain moves on: "
            "above 4 a Langevin step without noise overshoots further each time, and chains diverge."
        )
    if chain := logs.series(log.metrics, "chain"):
        draw("chain", "Size of the chains' states", chain, "size", log_scale=True)
    if log.dropped:
        said.append(f"{log.dropped} lines that a roll-back withdrew are not drawn.")
    if log.cut:
        many = log.cut > 1
        left = "are left out" if many else "is left out"
        said.append(f"{log.cut} line{'s' * many} of metrics.jsonl could not be read and {left}.")
    text = "".join(f"<p>{escape(sentence)}</p>" for sentence in said)
    return f'{text}<div class="curves">{"".join(shown)}</div>'


def _journal(log: RunLog) -> str:
    if not log.journal:
        return ""
    acted = sum(entry.get("event") == "guard" for entry in log.journal)
    times = {0: "did not need to act", 1: "acted once"}.get(acted, f"acted {acted} times")
    note = f" {log.cut_journal} of the journal's lines could not be read." if log.cut_journal else ""
    rows = [[html.clock(j.get("time")), j.get("step", ""), j.get("event", ""), j.get("text", "")] for j in log.journal]
    marks = [str(j.get("event")) if j.get("event") in ("guard", "damaged", "diverged") else "" for j in log.journal]
    table = html.table("The run's journal", ["time", "step", "event", "what"], rows, marks)
    return f"<p>The guard, which looks for divergence, {times}.{note}</p>{table}"


def _fields(log: RunLog) -> str:
    rows = [[key, html.brief(html.text(value))] for key, value in log.fields.items()]
    return html.table("Every number of the run", ["field", "value"], rows)


def _repeat(log: RunLog) -> str:
    trained = next((j["command"] for j in log.journal if isinstance(j.get("command"), str)), None)
    note = "" if trained else "<p>Train with every field as in the recipe above, then run the tasks.</p>"
    train = trained or f"absynth train {log.name.split('/')[0]} --out {log.run.resolve().name}_again"
    lines = [train, *(result.command for _, result in log.results)]
    return f"{note}<pre><code>{escape(chr(10).join(lines))}</code></pre>"
