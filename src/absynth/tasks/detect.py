"""Anomaly detection: examples ranked by the model's anomaly score.

A latent variable model scores x by −log p(x, z) at posterior draws of z (Pang et al. 2020, section 4.4), a density of
the data by −log p(x) / T, T the temperature of its chains.

Published tables of this task mix protocols. Ours, printed with every figure: one class held out; 80 % of all other
images train, the other 20 % and all of the held-out class are the test set; the split is fixed, no test image was
trained on, the model is the last one, and the base rate is given with the AUPRC (which it bounds from below).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from sklearn.ensemble import IsolationForest
from torch import Tensor

from absynth import pictures
from absynth.algorithms import Algorithm, AnomalyScores
from absynth.errors import InputError, Unsupported
from absynth.metrics.ranking import Detection, detection, pca_reconstruction_error, precision_recall
from absynth.report import Picture, TaskResult
from absynth.seeding import stream
from absynth.tasks.attribution import contributions, gradient_maps
from absynth.tasks.opened import UNLIMITED, Opened, check_positive, in_chunks, open_run
from absynth.tasks.rows import folder_and_file, write_beside

TITLE = "Anomaly detection"
NEEDS = "an energy or a posterior to score examples by"
REPORT: dict | None = {"n": 2000}
THRESHOLD_EXAMPLES = 5000
SHOWN = 20  # examples in a picture
MAPS = 500  # files with an image and its map


def anomaly_scores(
    model: Algorithm, x: Float[Tensor, "n *event"], *, steps: int, seed: int, batch: int, device: torch.device | str
) -> AnomalyScores:
    """Scores of all x, higher is more anomalous; the noise of a chunk follows from where it begins.

    Args:
        model: A trained model.
        x: Examples.
        steps: Length of the posterior's chain; 0 is as in training.
        seed: Seed of the noise.
        batch: Examples at once.
        device: Where the model is.
    """
    parts = [
        model.anomaly_scores(part.to(device), steps=steps, rng=stream(seed, 0, start, device=device))
        for start, part in in_chunks(x, batch)
    ]
    scores = {name: torch.cat([part.scores[name].cpu() for part in parts]) for name in parts[0].scores}
    return AnomalyScores(scores, parts[0].note)


def write_scores(
    file: Path,
    names: Sequence[str],
    scores: Float[Tensor, "n"],
    threshold: float,
    parts: Float[Tensor, "n d"] | None = None,
    columns: Sequence[str] = (),
    copy: Path | None = None,
) -> None:
    """A line per example in their order: name, score, 1 for an outlier, and what each column adds to the energy."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["example", "score", "outlier", *(f"energy of {c}" for c in columns)])
    rows = [[]] * len(names) if parts is None else [[f"{v:.4g}" for v in row] for row in parts.tolist()]
    for name, score, row in zip(names, scores.tolist(), rows, strict=True):
        writer.writerow([name, f"{score:.6g}", int(score > threshold), *row])
    write_beside(file, text.getvalue(), copy)


def find_threshold(opened: Opened, scores: Tensor, contamination: float, seed: int, steps: int, batch: int) -> float:
    """The score that this share of the training examples lies above; of the given ones if training's are not at
    hand."""
    try:
        train = opened.examples("train")
        rows = torch.linspace(0, len(train) - 1, min(len(train), THRESHOLD_EXAMPLES)).long()
        some = train.batch(rows).x if len(train) else train.head(UNLIMITED)
        x = opened.recipe.model_inputs(some)
    except InputError:
        return float(scores.double().quantile(1 - contamination))
    found = anomaly_scores(opened.model, x, steps=steps, seed=seed, batch=batch, device=opened.device)
    return float(found.score.double().quantile(1 - contamination))


def explain(
    opened: Opened, x: Tensor, names: Sequence[str], scores: Tensor, *, each: bool
) -> tuple[Tensor | None, list[str], list[Picture]]:
    """What makes examples anomalous, as far as the model has a density of the data.

    Args:
        opened: The run.
        x: Examples.
        names: Their names.
        scores: Their scores.
        each: Whether to write an image with its map of the gradient for each of them, into ``maps``.

    Returns:
        What each column of a table adds to each row's energy, the columns' names, and images of where the gradient is
        large.
    """
    try:
        log_density = opened.model.data_chain().density.log_density
    except Unsupported:
        return None, [], []
    if opened.data.kind == "table":
        typical = torch.zeros(x.shape[1:])  # columns are standardized
        parts = [contributions(log_density, part.to(opened.device), typical).cpu() for _, part in in_chunks(x, 500)]
        owners = [c.rpartition("=")[0] or c for c in opened.data.columns]  # type: ignore[attr-defined]
        columns = list(dict.fromkeys(owners))
        total = torch.zeros(len(x), len(columns))
        total.index_add_(1, torch.tensor([columns.index(c) for c in owners]), torch.cat(parts))
        return total, columns, []
    if opened.data.kind != "image":
        return None, [], []
    order = scores.argsort(descending=True)[: MAPS if each else SHOWN]
    maps = torch.cat([gradient_maps(log_density, part.to(opened.device)).cpu() for _, part in in_chunks(x[order], 100)])
    maps = maps.expand(-1, x.shape[1], -1, -1)
    caption = "The most anomalous above, where the gradient of their energy is large below"
    if each:
        for i, row in enumerate(order.tolist()):
            file = opened.folder / "maps" / f"{names[row].removesuffix('.png')}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pictures.grid(torch.stack([x[row], maps[i]]), file, columns=2)
        caption += f"; {'each' if len(order) == len(x) else f'the first {len(order)}'} by its name in maps/"
    few = order[:SHOWN]
    pictures.grid(torch.cat([x[few], maps[: len(few)]]), opened.folder / "gradients.png", columns=len(few))
    return None, [], [{"file": "gradients.png", "caption": caption}]


def compute_baselines(
    train: Float[Tensor, "m d"], x: Float[Tensor, "n d"], components: Sequence[int] = (8, 32)
) -> dict[str, Float[Tensor, "n"]]:
    """Scores without a model: the error of reconstructions by principal components."""
    return {f"PCA-{q}": pca_reconstruction_error(train, x, q) for q in components if q < min(train.shape)}


def show_extremes(opened: Opened, found: TaskResult, x: Tensor, names: Sequence[str], scores: Tensor) -> None:
    """The most usual and the most anomalous examples: as images, or as a table of names."""
    order = scores.argsort(descending=True)
    few = min(SHOWN, len(x))
    if opened.data.kind == "image":
        both = torch.cat([x[order[-few:]].flip(0), x[order[:few]]])
        pictures.grid(both, opened.folder / "extremes.png", columns=few)
        caption = f"The {few} most usual images above, the {few} most anomalous below"
        found.pictures.append({"file": "extremes.png", "caption": caption})
    rows = [[names[i], float(scores[i])] for i in order[:few].tolist()]
    found.tables.append({"caption": "The most anomalous", "columns": ["example", "score"], "rows": rows})


def rank_unlabelled(
    opened: Opened, x: Tensor, names: list[str], what: str, scored: AnomalyScores, seed: int
) -> TaskResult:
    """Scores of examples of which nobody said which are anomalous."""
    text = f"Score {scored.name} of {len(x)} examples of {what}, higher is more anomalous, in scores.csv. {scored.note}"
    found = opened.result("Anomaly scores", text, seed)
    pictures.histogram(opened.folder / "scores.png", {what: scored.score}, scored.name)
    found.pictures.append({"file": "scores.png", "caption": "Scores"})
    show_extremes(opened, found, x, names, scored.score)
    found.figures |= {"examples": len(x), "median score": float(scored.score.median())}
    return found


def rank_held_out(
    opened: Opened,
    x: Tensor,
    names: list[str],
    anomaly: Bool[Tensor, "n"],
    held_out: int,
    scored: AnomalyScores,
    seed: int,
) -> TaskResult:
    """Precision and recall of finding the held-out class, with baselines."""
    named = scored.scores | compute_baselines(opened.examples("train").all().flatten(1), x.flatten(1))
    measured: dict[str, Detection] = {name: detection(s, anomaly) for name, s in named.items()}
    ours = measured[scored.name]
    text = (
        f"Class {held_out} held out. Training: 80 % of all other examples. Test: the other 20 % ({ours.n_normal}) and "
        f"all of the held-out class ({ours.n_anomaly}), so the base rate is {ours.base_rate:.3f}, the AUPRC of chance. "
        f"Split fixed, last model, anomaly is the positive class, higher score is more anomalous. {scored.note}"
    )
    found = opened.result(f"Anomaly detection, class {held_out} held out", text, seed)
    curves = {}
    for name, s in named.items():
        precision, recall = precision_recall(s, anomaly)
        curves[name] = (recall, precision)
    pictures.precision_recall(opened.folder / "precision_recall.png", curves, ours.base_rate)
    found.pictures.append({"file": "precision_recall.png", "caption": "Precision against recall"})
    show_extremes(opened, found, x, names, scored.score)
    found.figures |= {"AUPRC": ours.auprc, "AUROC": ours.auroc, "base rate": ours.base_rate}
    others = {name: d for name, d in measured.items() if d is not ours}
    found.baselines["AUPRC"] = {name: d.auprc for name, d in others.items()}
    found.baselines["AUROC"] = {name: d.auroc for name, d in others.items()}
    return found


def rank_rarest(found: TaskResult, opened: Opened, x: Tensor, labels: Tensor, scores: Tensor) -> None:
    """How well the scores find the rarest class of a table with classes, which training did not see apart."""
    counts = labels[labels >= 0].bincount()
    rarest = int(torch.where(counts > 0, counts, len(labels) + 1).argmin())
    anomaly = labels == rarest
    if not 0 < int(anomaly.sum()) < len(labels):
        return
    name = f"AUROC of class {opened.data.class_names[rarest]}"
    train = opened.examples("train").all().flatten(1)
    forest = IsolationForest(random_state=0).fit(train.numpy())
    others = {"isolation forest": torch.from_numpy(-forest.score_samples(x.flatten(1).numpy()))}
    others |= compute_baselines(train, x.flatten(1))
    found.figures[name] = detection(scores, anomaly).auroc
    found.baselines[name] = {method: detection(s, anomaly).auroc for method, s in others.items()}
    found.text += (
        f" AUROC: how well scores tell the {int(anomaly.sum())} rows of the rarest class, which are among the training "
        "rows too, from the others; 0.5 is chance. No label was used in training."
    )


def command(
    run: Path,
    data: str = "",
    contamination: float = 0.1,
    steps: int = 60,
    n: int = 0,
    seed: int = 0,
    batch: int = 500,
    input: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Score examples for being anomalous: scores.csv. With a run trained by --anomaly, precision and recall too.

    Args:
        run: Run directory.
        data: File or folder of the examples to score. Defaults to the test split of the run's data. For a run trained
            by --anomaly, the data of the run, if they moved since training.
        contamination: Share of the training examples above the threshold for an outlier.
        steps: Length of the posterior's chain; a density of the data needs none.
        n: At most so many examples, taken evenly; 0 takes all.
        seed: Seed of the noise.
        batch: Examples at once.
        input: Another name of --data, as in other tasks; examples to score for a run trained by --anomaly too.
        out: Folder for the result, or a .csv file for the scores. Defaults to RUN/detect.
        device: auto, cpu, cuda.
    """
    check_positive(batch=batch)
    if not 0 < contamination < 1:
        raise InputError(f"expected --contamination between 0 and 1, got {contamination:g}")
    folder, file = folder_and_file(out)
    opened = open_run(run, device, task="detect", out=folder)
    held_out = int(opened.recipe.fields().get("anomaly", -1))
    if data and input:
        raise InputError(f"expected --data or --input, got both ({data} and {input}): leave one out")
    if data and held_out >= 0:
        opened = replace(opened, source=data)
    source = input or ("" if held_out >= 0 else data)
    if opened.data.kind == "picture":
        raise Unsupported(f"detect needs many examples, {run} was trained on the patches of one image")
    opened.require_unconditional()
    x, names = opened.inputs(source, 0)
    if not len(x):
        raise InputError(f"expected examples to score, got none in {source or opened.data.name}")
    rows = torch.arange(len(x)) if not n else torch.linspace(0, len(x) - 1, min(n, len(x))).long()
    x, names = x[rows], [names[i] for i in rows.tolist()]
    scored = anomaly_scores(opened.model, x, steps=steps, seed=seed, batch=batch, device=opened.device)
    threshold = find_threshold(opened, scored.score, contamination, seed, steps, batch)
    parts, columns, images = explain(opened, x, names, scored.score, each=bool(source))
    write_scores(opened.folder / "scores.csv", names, scored.score, threshold, parts, columns, file)
    labels = None if source else opened.examples("test").labels
    if labels is None or held_out < 0:
        found = rank_unlabelled(opened, x, names, opened.input_name(source), scored, seed)
        if labels is not None and opened.data.kind == "table":
            rank_rarest(found, opened, x, labels[rows], scored.score)
    else:
        found = rank_held_out(opened, x, names, labels[rows] == held_out, held_out, scored, seed)
    found.pictures += images
    found.figures |= {
        f"threshold at contamination {contamination:g}": threshold,
        "outliers": int((scored.score > threshold).sum()),
    }
    return opened.save(found)
