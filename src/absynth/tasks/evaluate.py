"""Quality of the samples: their distance to the test split, with its floor and simple baselines.

Images are compared by the Fréchet distance in a named feature space, rows of numbers by the kernel discrepancy, the
textures of one image by the distance of patches; molecules are counted: valid, different, new.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.data.dataset import Dataset
from absynth.errors import InputError, Unsupported
from absynth.metrics.features import Features, LabelledImages, classifier_features, inception_features, pixel_features
from absynth.metrics.frechet import frechet
from absynth.metrics.kernel import mmd
from absynth.metrics.patches import PATCH, patches_apart, random_phases
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.molecule_quality import molecule_quality
from absynth.tasks.opened import Opened, check_positive, open_run
from absynth.tasks.reconstruct import reconstruction_error
from absynth.tasks.sample import samples

TITLE = "Quality of the samples"
NEEDS = "a model of images, toy data, tables, molecules or one image"
REPORT = {"n": 2000}

ROWS = 1000
"""Rows that a kernel discrepancy compares: its cost is quadratic."""
PICTURES = 4
"""Samples of a model of one image that are compared with it."""


def feature_space(train: LabelledImages, cache: Path, *, seed: int = 0) -> Features:
    """Inception where its weights are at hand, else a classifier trained on the labels, else the pixels' PCA.

    Few examples have few components: the name of the space says how many. The seed is that of the classifier.
    """
    inception, _ = inception_features()
    if inception is not None and train.x.shape[1] == 3:
        return inception
    labels, sides = train.labels, train.x.shape[2:]
    if labels is not None and len(labels) >= 20 and len(labels.unique()) > 1 and 8 <= min(sides) <= max(sides) <= 64:
        return classifier_features(train, cache=cache, seed=seed)
    if len(train.x) < 3:
        raise InputError(f"expected at least 3 training images to compare samples with, got {len(train.x)}: give more")
    return pixel_features(train, min(32, len(train.x) - 1, train.x.shape[1:].numel() - 1))


def features_of(opened: Opened, cache: Path) -> Features:
    """The feature space of a run on images."""
    return feature_space(opened.unlimited().images, cache)  # type: ignore[attr-defined]


def gaussian_samples(train: Dataset, n: int, *, seed: int) -> Float[Tensor, "n *event"]:
    """n draws of the Gaussian with the training data's mean and covariance: the simplest baseline."""
    x = train.head(20_000)
    rows = x.flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(rows.T))
    noise = torch.randn(n, rows.shape[1], dtype=rows.dtype, generator=stream(seed, 0, 0, 3))
    draws = rows.mean(0) + noise * values.clamp(min=0).sqrt() @ vectors.T
    return draws.float().view(n, *x.shape[1:])


def sample_quality(opened: Opened, n: int, steps: list[int], *, features: Features, seed: int) -> tuple[dict, dict]:
    """Fréchet distances to the test split: by length of the chain that draws, and of the baselines.

    Args:
        opened: A run on images.
        n: Number of samples.
        steps: Lengths of the chain. Defaults to the trained one.
        features: Feature space of the distances.
        seed: Seed of the noise.
    """
    train, model = opened.examples("train"), opened.model
    real = features(opened.examples("test").all())
    trained = model.chain_steps()
    distances = {}
    for length in steps or [trained]:
        if length != trained:
            model.set_chain_steps(length)
        x = samples(model, n, opened.conditions(n), seed=seed, device=opened.device)
        distances[length] = frechet(features(x.clamp(-1, 1)), real)
        if length != trained:
            model.set_chain_steps(trained)
    some = torch.randperm(len(train), generator=stream(seed, 0, 0, 4))[:n]
    baselines = {
        "training images": frechet(features(train.batch(some).x), real),
        "Gaussian of the pixels": frechet(features(gaussian_samples(train, n, seed=seed).clamp(-1, 1)), real),
    }
    return distances, baselines


def _images(opened: Opened, n: int, sweep: list[int], seed: int, cache: Path) -> TaskResult:
    trained = opened.model.chain_steps()
    lengths = sorted({*sweep, trained})
    features = features_of(opened, cache)
    distances, baselines = sample_quality(opened, n, lengths, features=features, seed=seed)
    name, test = f"Fréchet distance [{features.name}]", opened.examples("test").all()
    text = (
        f"{n} samples against the {len(test)} test images, in the feature space {features.name} (lower is better; "
        "figures of other feature spaces or sample sizes cannot be compared). Samples are clamped to [-1, 1]."
    )
    found = opened.result(TITLE, text, seed)
    found.figures[name], found.baselines[name] = distances[trained], baselines
    try:
        found.figures["test MSE"] = reconstruction_error(opened.model, test, seed=seed, batch=500, device=opened.device)
        found.text += " Test MSE per pixel on that scale."
    except Unsupported:
        pass
    if len(lengths) > 1:
        rows = [[k, distances[k]] for k in lengths]
        found.tables.append({"caption": "Quality by length of the chain", "columns": ["steps", name], "rows": rows})
        series = {"samples": (lengths, [distances[k] for k in lengths])}
        pictures.curves(opened.folder / "lengths.png", series, "steps of the chain", name, "Short and long run")
        found.pictures.append({"file": "lengths.png", "caption": f"Trained with {trained} steps"})
    return opened.save(found)


def _rows(opened: Opened, n: int, seed: int) -> TaskResult:
    train, n = opened.examples("train"), min(n, ROWS)
    test = opened.examples("test").head(ROWS).flatten(1)
    x = samples(opened.model, n, opened.conditions(n), seed=seed, device=opened.device).flatten(1)
    name = "kernel discrepancy"
    text = (
        f"{len(x)} samples against {len(test)} examples that were not trained on: the maximum mean discrepancy (lower "
        "is better). Training data say what is within reach."
    )
    found = opened.result(TITLE, text, seed)
    found.figures[name] = float(mmd(x, test))
    found.baselines[name] = {
        "training data": float(mmd(train.head(ROWS).flatten(1), test)),
        "Gaussian of the data": float(mmd(gaussian_samples(train, n, seed=seed).flatten(1), test)),
    }
    return opened.save(found)


def _picture(opened: Opened, n: int, seed: int) -> TaskResult:
    """A model of one image: at most a few samples, which are large."""
    n, data = min(n, PICTURES), opened.dataset
    image = data.image  # type: ignore[attr-defined]
    x = samples(opened.model, n, seed=seed, device=opened.device)
    rng = stream(seed, 0, 0, 5)
    name = "patch distance"
    text = (
        f"{n} samples: sliced Wasserstein distance of their {PATCH}×{PATCH} patches to those of the image, mean over "
        "full, half and quarter size (lower is better). Random phases have the image's power spectrum."
    )
    found = opened.result(TITLE, text, seed)
    phases = torch.stack([random_phases(image, rng) for _ in range(n)])
    found.figures[name] = patches_apart(x, image, seed)
    found.baselines[name] = {"random phases": patches_apart(phases, image, seed)}
    return opened.save(found)


def command(
    run: Path,
    n: int = 5000,
    sweep: list[int] | None = None,
    seed: int = 0,
    cache: Path = Path("runs/features"),
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Measure the quality of samples: Fréchet distance of images, kernel discrepancy of rows, validity of molecules.

    Args:
        run: Run directory.
        n: Number of samples to compare with the test split; 4 at most of a model of one image.
        sweep: Lengths of the chain that draws to compare, such as 0,20,60,1000. Defaults to the trained one.
        seed: Seed of the noise.
        cache: Folder where trained feature networks are kept.
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/evaluate.
        device: auto, cpu, cuda.
    """
    check_positive(n=n)
    opened = open_run(run, device, task="evaluate", data=data, out=out)
    opened.require_kind("image", "toy", "table", "smiles", "picture", hint="text has perplexity, tracks have predict")
    if sweep:
        opened.require_kind("image", hint="leave --sweep out, absynth chain shows longer chains")
    if opened.data.kind == "image":
        return _images(opened, n, sweep or [], seed, cache.expanduser())
    if opened.data.kind == "smiles":
        return molecule_quality(opened, n, seed)
    if opened.data.kind == "picture":
        return _picture(opened, n, seed)
    return _rows(opened, n, seed)
