"""Reconstruction: infer z from an example, generate the example back.

z is inferred as the model does it while it learns: by a chain on p(z|x), by an inference model, or by both in turn.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from absynth.errors import InputError
from absynth.metrics.ranking import pca_reconstruction_error
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import InfersLatent, Opened, in_chunks, open_run, result
from absynth.tasks.short_run import reconstructed, short_run
from absynth.types import Rng


def reconstruct(model: InfersLatent, x: Shaped[Tensor, "n *event"], *, rng: Rng) -> Shaped[Tensor, "n *event"]:
    """The generator's mode at one draw of the posterior, for each x."""
    return model.decode(model.sample_posterior(x, rng=rng))


def reconstruction_error(
    model: InfersLatent, x: Float[Tensor, "n *event"], *, seed: int, batch: int, device: torch.device
) -> float:
    """Mean squared error of reconstructions, a pixel, on the [-1, 1] scale (Pang et al. 2020, Table 1)."""
    total = 0.0
    for start, part in in_chunks(x, batch):
        part = part.to(device)
        total += float(((reconstruct(model, part, rng=stream(seed, 0, start, device=device)) - part) ** 2).sum())
    return total / x.numel()


@torch.no_grad()
def reconstruction_nll(
    model: InfersLatent, x: Tensor, *, seed: int, batch: int, device: torch.device
) -> tuple[float, float]:
    """−log p(x|z) in nats, averaged over examples ``[n, *event]``: with the posterior's z, and with the prior's.

    Near each other, the generator has learned to do without z. Neither is −log p(x).
    """
    totals = [0.0, 0.0]
    for start, part in in_chunks(x, batch):
        part, rng = part.to(device), stream(seed, 0, start, device=device)
        for i, z in enumerate((model.sample_posterior(part, rng=rng), model.sample_prior(len(part), rng=rng))):
            totals[i] -= float(model.generator(z).log_prob(part).sum())
    return totals[0] / len(x), totals[1] / len(x)


def examples(opened: Opened, n: int, images: str, text: str) -> Tensor:
    """n examples ``[n, *event]`` that were not trained on: a user's own pictures or lines, or the recipe's."""
    if hasattr(opened.recipe, "images"):
        if text:
            raise InputError(f"--text is for a model of text, {opened.path} is {opened.recipe.name()}: give --images")
        data = opened.pictures(images)
        return data.batch(torch.arange(min(n, len(data))))
    if images:
        raise InputError(f"--images is for a model of pictures, {opened.path} is {opened.recipe.name()}: leave it out")
    given = getattr(opened.recipe, "given", None)
    if text and given is None:
        raise InputError(f"--text is for a model of text, {opened.path} is {opened.recipe.name()}: leave it out")
    return given(Path(text))[:n] if text and given else opened.recipe.held_out(n)


def command(
    run: Path,
    n: int = 0,
    images: str = "",
    text: str = "",
    seed: int = 0,
    batch: int = 500,
    device: str = "auto",
) -> TaskResult:
    """Reconstruct examples that were not trained on; of pictures, with their mean squared error.

    Args:
        run: directory of a trained run.
        n: how many examples to measure on (the first 10 are shown); 0: 1,000, or 16 of a short run, which descends.
        images: your own pictures (folder, .npz, .npy); empty: the recipe's test split.
        text: your own file, one sentence a line, for a model of text; empty: the recipe's test split.
        seed: of the noise.
        batch: chains that run at once.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    generate = short_run(opened)
    if generate is not None:
        return reconstructed(opened, generate, examples(opened, n or 16, images, text), seed)
    model, x = opened.infers(), examples(opened, n or 1000, images, text)
    found = result("reconstruct", "Reconstruction", seed, f"z inferred, as in learning, from {len(x)} examples that "
                   "were not trained on, then generated back.")  # fmt: skip
    shown = x[:10].to(opened.device)
    folder = opened.folder("reconstruct")
    back = reconstruct(model, shown, rng=stream(seed, 0, 0, device=opened.device)).cpu()
    found.add(opened.recipe.compare({"example": x[:10], "reconstruction": back}, folder / "reconstructions.png"))
    if x.ndim == 4 and hasattr(opened.recipe, "images"):
        _squared_error(opened, found, x, seed, batch)
    else:
        posterior, prior = reconstruction_nll(model, x, seed=seed, batch=batch, device=opened.device)
        found.figures["−log p(x|z), nats"] = posterior
        found.baselines["−log p(x|z), nats"] = {"z from the prior": prior}
        found.text += " −log p(x|z) an example; where the prior's z does as well, the generator does without z."
    found.save(folder)
    return found


def _squared_error(opened: Opened, found: TaskResult, x: Tensor, seed: int, batch: int) -> None:
    """The mean squared error of reconstructed pictures, and of the mean picture and PCA."""
    model = opened.infers()
    train = opened.images("train").all().flatten(1)
    rank = min(model.sample_prior(1, rng=stream(0, device=opened.device)).numel(), train.shape[1])
    found.text += (
        " Mean squared error a pixel on the [-1, 1] scale. "
        f"PCA keeps as many numbers as z has, at most those of a picture: {rank}."
    )
    found.figures["test MSE"] = reconstruction_error(model, x, seed=seed, batch=batch, device=opened.device)
    found.baselines["test MSE"] = {
        "mean picture": float(((x.flatten(1) - train.mean(0)) ** 2).mean()),
        f"PCA-{rank}": float(pca_reconstruction_error(train, x.flatten(1), rank).mean()) / x[0].numel(),
    }
