"""How good are the samples: the Fréchet distance in a named feature space, beside its floor and simple baselines."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.data.images import Images
from absynth.metrics.features import Features, classifier_features, inception_features, pixel_features
from absynth.metrics.frechet import frechet
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import Opened, open_run, result
from absynth.tasks.reconstruct import reconstruction_error
from absynth.tasks.sample import samples, with_steps


def feature_space(train: Images, cache: Path) -> Features:
    """Inception where its weights are at hand, else a classifier trained on the labels, else the pixels' PCA."""
    inception, _ = inception_features()
    if inception is not None and train.x.shape[1] == 3:
        return inception
    if train.labels is not None:
        return classifier_features(train, cache=cache)
    return pixel_features(train)


def gaussian_pixels(train: Images, n: int, *, seed: int) -> Float[Tensor, "n c h w"]:
    """n draws of the Gaussian with the training pictures' mean and covariance: what a real model must beat."""
    x = train.all().flatten(1).double()
    x = x[:20_000]
    values, vectors = torch.linalg.eigh(torch.cov(x.T))
    noise = torch.randn(n, x.shape[1], dtype=x.dtype, generator=stream(seed, 0, 0, 3))
    draws = x.mean(0) + noise * values.clamp(min=0).sqrt() @ vectors.T
    return draws.clamp(-1, 1).float().view(n, *train.x.shape[1:])


def trained_steps(opened: Opened) -> int:
    """Steps of the chain that draws, as in training; 0 where several chains draw."""
    return getattr(getattr(opened.model, opened.sampler_name or "", None), "steps", 0)


def sample_quality(opened: Opened, n: int, steps: list[int], *, seed: int, cache: Path) -> tuple[Features, dict, dict]:
    """Fréchet distances to the test split: by length of the chain that draws, and of the baselines."""
    train, test = opened.images("train"), opened.images("test")
    features = feature_space(opened.recipe.read("train"), cache)  # type: ignore[attr-defined]
    real = features(test.all())
    trained = trained_steps(opened)
    distances = {}
    for length in steps or [trained]:
        if length != trained:
            with_steps(opened, length)
        x = samples(opened.model, n, opened.recipe.conditions(n), seed=seed, device=opened.device)
        distances[length] = frechet(features(x.clamp(-1, 1)), real)
        if length != trained:
            with_steps(opened, trained)
    some = torch.randperm(len(train), generator=stream(seed, 0, 0, 4))[:n]
    baselines = {
        "training pictures": frechet(features(train.batch(some)), real),
        "Gaussian of the pixels": frechet(features(gaussian_pixels(train, n, seed=seed)), real),
    }
    return features, distances, baselines


def command(
    run: Path,
    n: int = 5000,
    sweep: list[int] | None = None,
    seed: int = 0,
    cache: Path = Path("runs/features"),
    device: str = "auto",
) -> TaskResult:
    """Measure sample quality (Fréchet distance in a named feature space) and reconstruction error.

    Args:
        run: directory of a trained run.
        n: samples to compare with the whole test split.
        sweep: lengths of the chain that draws to compare, such as [0,20,60,1000]; empty: the trained one.
        seed: of the noise.
        cache: folder where trained feature networks are kept.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    trained = trained_steps(opened)
    lengths: list[int] = sorted({*(sweep or []), trained})
    features, distances, baselines = sample_quality(opened, n, lengths, seed=seed, cache=cache)
    name = f"Fréchet distance [{features.name}]"
    test = opened.images("test").all()
    text = (
        f"{n} samples against the {len(test)} test pictures, in the feature space {features.name} (lower is better; "
        "figures of other feature spaces or sample sizes cannot be compared). Samples are clamped to [-1, 1]."
    )
    text += " Test MSE a pixel on that scale." if opened.is_latent else ""
    found = result("evaluate", "How good it is", seed, text)
    found.figures[name] = distances[trained]
    found.baselines[name] = baselines
    if opened.is_latent:
        error = reconstruction_error(opened.latent(), test, seed=seed, batch=500, device=opened.device)
        found.figures["test MSE"] = error
    folder = opened.folder("evaluate")
    if len(lengths) > 1:
        rows = [[k, distances[k]] for k in lengths]
        found.tables.append({"caption": "Quality by length of the chain", "columns": ["steps", name], "rows": rows})
        series = {"samples": (lengths, [distances[k] for k in lengths])}
        pictures.curves(folder / "lengths.png", series, "steps of the chain", name, "Short and long run")
        found.pictures.append({"file": "lengths.png", "caption": f"Trained with {trained} steps"})
    found.save(folder)
    return found
