"""How good is generated text: forward and reverse perplexity, with real text and simple baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from absynth.algorithms import Algorithm
from absynth.errors import Unsupported
from absynth.metrics.ngram import NGram
from absynth.metrics.text import KneserNey, forward_perplexity, reverse_perplexity
from absynth.report import TaskResult
from absynth.seeding import Streams, stream
from absynth.tasks.opened import Opened, check_positive, open_run
from absynth.tasks.sample import samples

TITLE = "Perplexity of generated text"
NEEDS = "a model of text with a latent variable"
REPORT = {"n": 2000}

ORDER = 3
"""Order of the evaluator."""
_UNIGRAMS = int.from_bytes(b"unigram", "big")  # the noise of the baseline is its own


def text_of(opened: Opened) -> Any:
    """The training split of a run on text, with its ``vocabulary``.

    Raises:
        Unsupported: The run was trained on other data.
    """
    opened.require_kind("text", "smiles")
    return opened.dataset


def from_reference(
    model: Algorithm, n: int, *, seed: int, batch: int, device: torch.device
) -> Int64[Tensor, "n length"]:
    """n draws of the generator at z ~ p_0, the prior left out; draw i follows from (seed, i)."""
    reference, parts = model.latent_density().reference, []
    for start in range(0, n, batch):
        rows = range(start, min(start + batch, n))
        rng = Streams(seed, rows, device=device)
        parts.append(model.draw(reference.sample(len(rows), rng), rng=rng).cpu())
    return torch.cat(parts)


def perplexities(x: Int64[Tensor, "n length"], data: Any) -> tuple[float, float]:
    """Forward and reverse perplexity of generated sequences, against the training and test text."""
    size, train, test = len(data.vocabulary), data.all(), data.split("test").all()
    return forward_perplexity(x, train, size, order=ORDER), reverse_perplexity(x, test, size, order=ORDER)


def compute_baselines(data: Any, n: int) -> dict[str, tuple[float, float]]:
    """Forward and reverse perplexity of real text, and of n sequences of words drawn one by one by their frequency."""
    size, train, test = len(data.vocabulary), data.all(), data.split("test").all()
    real = KneserNey(train, size, order=ORDER).perplexity(test)
    unigrams = NGram(train, 0).sample(n, stream(0, 0, 0, _UNIGRAMS))
    return {
        "real text": (real, KneserNey(train[:n], size, order=ORDER).perplexity(test)),
        "samples of a unigram model": perplexities(unigrams, data),
    }


def command(
    run: Path,
    n: int = 0,
    seed: int = 0,
    batch: int = 500,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Measure generated text: forward perplexity (is it fluent?) and reverse perplexity (is it varied?).

    Args:
        run: Run directory.
        n: Number of sequences to draw; 0 is as many as were trained on.
        seed: Seed of the noise.
        batch: Sequences drawn at once.
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/perplexity.
        device: auto, cpu, cuda.
    """
    check_positive(batch=batch)
    opened = open_run(run, device, task="perplexity", data=data, out=out)
    text, model = text_of(opened), opened.model
    size, train, test = len(text.vocabulary), len(text), len(text.split("test"))
    n = n or train
    x = samples(model, n, seed=seed, batch=batch, device=opened.device, decoding="draw")
    others = compute_baselines(text, n)
    if has_learned_prior(model):
        plain = from_reference(model, n, seed=seed, batch=batch, device=opened.device)
        others["same generator, z from p_0"] = perplexities(plain, text)
    said = (
        f"{n} sequences, each token drawn. Evaluator: interpolated Kneser-Ney, order {ORDER}, over the run's own "
        f"{size} tokens, end of sequence counted. Forward: a model of the {train} training sequences reads the "
        f"samples. Reverse: a model of the samples reads the {test} test sequences. Real text: a model of the training "
        f"sequences (for reverse, of the first {n}) reads the test sequences. Figures of other evaluators or "
        "vocabularies cannot be compared."
    )
    found = opened.result("Perplexity", said, seed)
    for i, (name, value) in enumerate(zip(("forward perplexity", "reverse perplexity"), perplexities(x, text))):
        found.figures[name] = value
        found.baselines[name] = {method: values[i] for method, values in others.items()}
    return opened.save(found)


def has_learned_prior(model: Algorithm) -> bool:
    """Whether z is drawn by a chain on a learned prior."""
    try:
        return model.chain().latent
    except Unsupported:
        return False
