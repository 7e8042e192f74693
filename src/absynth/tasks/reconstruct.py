"""Reconstruction: infer z from an example and generate the example from it.

z is inferred as in training: by a chain on p(z|x), by an inference network, or by both in turn.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from absynth.algorithms import Algorithm
from absynth.metrics.ranking import pca_reconstruction_error
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import Opened, check_positive, in_chunks, open_run
from absynth.tasks.short_run import reconstructed, short_run
from absynth.types import Rng

TITLE = "Reconstructions"
NEEDS = "a latent variable that is inferred, or a short-run EBM"
REPORT: dict | None = {}


def reconstruct(model: Algorithm, x: Shaped[Tensor, "n *event"], *, rng: Rng) -> Shaped[Tensor, "n *event"]:
    """The generator's mode at one draw of the posterior, for each x."""
    return model.generate(model.sample_posterior(x, rng=rng))


def reconstruction_error(
    model: Algorithm, x: Float[Tensor, "n *event"], *, seed: int, batch: int, device: torch.device
) -> float:
    """Mean squared error of reconstructions per coordinate (Pang et al. 2020, Table 1)."""
    total = 0.0
    for start, part in in_chunks(x, batch):
        part = part.to(device)
        total += float(((reconstruct(model, part, rng=stream(seed, 0, start, device=device)) - part) ** 2).sum())
    return total / x.numel()


@torch.no_grad()
def reconstruction_nll(
    model: Algorithm, x: Tensor, *, seed: int, batch: int, device: torch.device
) -> tuple[float, float]:
    """−log p(x|z) in nats, averaged over examples ``[n, *event]``: with the posterior's z, and with the prior's.

    If they are close, the generator ignores z. Neither is −log p(x).
    """
    totals = [0.0, 0.0]
    for start, part in in_chunks(x, batch):
        part, rng = part.to(device), stream(seed, 0, start, device=device)
        for i, z in enumerate((model.sample_posterior(part, rng=rng), model.sample_prior(len(part), rng=rng))):
            totals[i] -= float(model.likelihood(z).log_prob(part).sum())
    return totals[0] / len(x), totals[1] / len(x)


def command(
    run: Path,
    n: int = 0,
    input: str = "",
    seed: int = 0,
    batch: int = 500,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Reconstruct examples that were not trained on, with the error.

    Args:
        run: Run directory.
        n: Number of examples (the first 10 are shown); 0 takes 1,000, or 16 for a short-run EBM.
        input: File or folder of your own examples, of the same kind as the data. Defaults to the test split.
        seed: Seed of the noise.
        batch: Chains that run at once.
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/reconstruct.
        device: auto, cpu, cuda.
    """
    check_positive(batch=batch)
    opened = open_run(run, device, task="reconstruct", data=data, out=out)
    opened.require_unconditional()
    generate = short_run(opened.model)
    if generate is not None:
        return reconstructed(opened, generate, opened.inputs(input, n or 16)[0], seed)
    model, (x, _) = opened.model, opened.inputs(input, n or 1000)
    back = reconstruct(model, x[:10].to(opened.device), rng=stream(seed, 0, 0, device=opened.device)).cpu()
    text = f"z inferred as in training from {len(x)} examples of {opened.input_name(input)}, then generated from z."
    found = opened.result("Reconstruction", text, seed)
    found.add(opened.data.compare({"example": x[:10], "reconstruction": back}, opened.folder / "reconstructions.png"))
    if opened.data.kind == "image":
        _squared_error(opened, found, x, seed, batch)
    else:
        posterior, prior = reconstruction_nll(model, x, seed=seed, batch=batch, device=opened.device)
        found.figures["−log p(x|z), nats"] = posterior
        found.baselines["−log p(x|z), nats"] = {"z from the prior": prior}
        found.text += " −log p(x|z) per example; if the prior's z does as well, the generator ignores z."
    return opened.save(found)


def _squared_error(opened: Opened, found: TaskResult, x: Tensor, seed: int, batch: int) -> None:
    """The mean squared error of reconstructed images, of the mean image and of PCA."""
    model, train = opened.model, opened.examples("train").all().flatten(1)
    rank = min(model.sample_prior(1, rng=stream(0, device=opened.device)).numel(), *train.shape)
    found.text += (
        " Mean squared error per pixel on the [-1, 1] scale. "
        f"PCA keeps as many numbers as z has, at most those of an image and the training images: {rank}."
    )
    found.figures["test MSE"] = reconstruction_error(model, x, seed=seed, batch=batch, device=opened.device)
    found.baselines["test MSE"] = {
        "mean image": float(((x.flatten(1) - train.mean(0)) ** 2).mean()),
        f"PCA-{rank}": float(pca_reconstruction_error(train, x.flatten(1), rank).mean()) / x[0].numel(),
    }
