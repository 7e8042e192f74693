"""How good is generated text: forward and reverse perplexity, beside real text and simple baselines."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from absynth.algorithms import AlternatingBackprop, LatentPrior
from absynth.errors import InputError
from absynth.metrics.text import KneserNey, forward_perplexity, reverse_perplexity
from absynth.recipes._sequences import SequenceRecipe
from absynth.report import TaskResult
from absynth.tasks.opened import Opened, open_run, result
from absynth.tasks.sample import samples

ORDER = 3
"""Of the evaluator."""


def sequences(opened: Opened) -> SequenceRecipe:
    """The run's recipe, where it is one on sequences of tokens."""
    if not isinstance(opened.recipe, SequenceRecipe):
        raise InputError(f"this task needs a model of text, {opened.path} is {opened.recipe.name()}")
    return opened.recipe


def from_reference(
    model: LatentPrior, n: int, *, seed: int, batch: int, device: torch.device
) -> Int64[Tensor, "n length"]:
    """n draws of the model's generator at z ~ p_0, its prior left out; draw i follows from (seed, i)."""
    plain = AlternatingBackprop(model.prior.reference, model.generator, posterior_sampler=model.posterior_sampler)
    return samples(plain, n, seed=seed, batch=batch, device=device, decoding="draw")


def perplexities(x: Int64[Tensor, "n length"], recipe: SequenceRecipe) -> tuple[float, float]:
    """Forward and reverse perplexity of generated sequences, against the recipe's training and test text."""
    size = len(recipe.words())
    return (
        forward_perplexity(x, recipe.examples("train"), size, order=ORDER),
        reverse_perplexity(x, recipe.examples("test"), size, order=ORDER),
    )


def ceilings(recipe: SequenceRecipe, n: int) -> dict[str, tuple[float, float]]:
    """Forward and reverse perplexity of real text, and of text of the right words in random order."""
    size, train, test = len(recipe.words()), recipe.examples("train"), recipe.examples("test")
    unigram = KneserNey(train, size, order=1).perplexity(test)
    real = KneserNey(train, size, order=ORDER).perplexity(test)
    return {
        "real text": (real, KneserNey(train[:n], size, order=ORDER).perplexity(test)),
        "unigram model of real text": (unigram, unigram),
    }


def command(run: Path, n: int = 0, seed: int = 0, batch: int = 500, device: str = "auto") -> TaskResult:
    """Measure generated text: forward perplexity (is it fluent?) and reverse perplexity (is it varied?).

    Args:
        run: directory of a trained run on text.
        n: sequences to draw; 0: as many as were trained on.
        seed: of the noise.
        batch: sequences drawn at once.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    recipe, model = sequences(opened), opened.latent()
    size, train, test = len(recipe.words()), len(recipe.examples("train")), len(recipe.examples("test"))
    n = n or train
    x = samples(model, n, seed=seed, batch=batch, device=opened.device, decoding="draw")
    beside = ceilings(recipe, n)
    if not isinstance(model, AlternatingBackprop):
        plain = from_reference(model, n, seed=seed, batch=batch, device=opened.device)
        beside["same generator, z from p_0"] = perplexities(plain, recipe)
    text = (
        f"{n} sequences, each token drawn. Evaluator: interpolated Kneser-Ney, order {ORDER}, over the run's own "
        f"{size} tokens, end of sequence counted. Forward: a model of the {train} training sequences reads the "
        f"samples. Reverse: a model of the samples reads the {test} test sequences. Real text: a model of the training "
        f"sequences (for reverse, of the first {n}) reads the test sequences. Figures of other evaluators or "
        "vocabularies cannot be compared."
    )
    found = result("perplexity", "Perplexity", seed, text)
    for i, (name, value) in enumerate(zip(("forward perplexity", "reverse perplexity"), perplexities(x, recipe))):
        found.figures[name] = value
        found.baselines[name] = {method: values[i] for method, values in beside.items()}
    found.save(opened.folder("perplexity"))
    return found
