"""The latent-space EBM prior on a user's own molecules, SMILES one a line (Pang, Han, Wu 2020, arXiv:2010.09351).

p(x|z) is one LSTM layer with z beside every token, f an MLP on z, trained for two CPU cores: where the paper runs a
chain on every posterior, an inference model draws z, since each step of that chain costs as much as the generator's own
learning. A weight on the likelihood keeps z in use.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.data import molecules
from absynth.data.molecules import PATTERNS, Tokens
from absynth.data.order import minibatches
from absynth.data.text import Part, Text
from absynth.density import EBM
from absynth.distributions import GaussianInference, StandardNormal
from absynth.errors import InputError
from absynth.files import write_atomic
from absynth.metrics.molecules import draw
from absynth.networks.mlp import Activation, mlp_f
from absynth.networks.recurrent import RecurrentEncoder, RecurrentGenerator
from absynth.recipes._sequences import SequenceRecipe, Unit
from absynth.recipes.recipe import Recipe
from absynth.report import Picture, ResultTable
from absynth.samplers import Langevin
from absynth.types import Batch, Rng

BUCKET = 4
"""Batches that are drawn together and cut by length, so that short molecules do not wait for long ones."""


@dataclass(frozen=True, kw_only=True)
class LatentPriorSMILES(SequenceRecipe):
    """Latent-space EBM prior (Pang, Han, Wu 2020) on your own molecules."""

    steps: int = 10_000
    batch: int = 64
    threads: int = 1
    log_every: int = 50
    unit: Unit = "character"
    tokens: Tokens = "atoms"
    """What a token is: an atom with its brackets, or a character (Cl and Br are one either way)."""
    length: int = 80
    """Longest molecule in tokens, its end among them; longer ones are left out."""
    latent: int = 32
    """Dimension of z."""
    embedding: int = 48
    """Width of a token's embedding."""
    hidden: int = 128
    """Width of the LSTM."""
    encoder: int = 64
    """Width of the inference model's layer."""
    nef: int = 64
    """Hidden units of f."""
    ebm_activation: Activation = "gelu"
    """Activation of f."""
    weight: float = 8.0
    """Of log p(x|z) in the inference model's loss: above 1 it keeps z in use."""
    temperature: float = 0.5
    """T of the tokens where molecules are written: 1 draws from p(x|z), less keeps to what is probable (see write)."""
    prior_steps: int = 30
    """K_0, Langevin steps on the prior."""
    prior_step_size: float = 0.5
    """δ of the prior chain."""
    posterior_steps: int = 20
    """K_1, for tasks that ask for the posterior itself; learning draws from the inference model."""
    posterior_step_size: float = 0.1
    """δ of the posterior chain."""
    prior_lr: float = 2e-4
    """Adam's rate for f."""
    generator_lr: float = 4e-3
    """Adam's rate for the generator and for the inference model."""

    def read(self, split: Part) -> Text:
        return read_smiles(self.data, split)

    def pattern(self) -> tuple[str, str]:
        return PATTERNS[self.tokens], ""

    def algorithm(self) -> AmortizedLatentPrior:
        size = len(self.words())
        encoder = RecurrentEncoder(size, embedding=self.embedding, hidden=self.encoder, out=2 * self.latent)
        return AmortizedLatentPrior(
            EBM(mlp_f(self.latent, self.nef, self.ebm_activation), StandardNormal(self.latent)),
            RecurrentGenerator(
                size, latent=self.latent, embedding=self.embedding, hidden=self.hidden, length=self.length
            ),
            GaussianInference(encoder),
            prior_sampler=Langevin(self.prior_steps, self.prior_step_size),
            posterior_sampler=Langevin(self.posterior_steps, self.posterior_step_size),
            likelihood_weight=self.weight,
        )

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        rates = {"generator": self.generator_lr, "inference": self.generator_lr}
        found: dict[str, Optimizer] = {k: Adam(algorithm.get_submodule(k).parameters(), lr) for k, lr in rates.items()}
        found["prior"] = Adam(algorithm.get_submodule("prior").parameters(), self.prior_lr, (0.5, 0.999))
        return found

    def schedule(self, step: int) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * min(step / self.steps, 1.0)))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        x = self.examples("train")
        together = min(BUCKET, len(x) // self.batch) or 1
        first, skip = divmod(start, together)
        lengths = (x > 0).sum(1)
        for index in minibatches(len(x), together * self.batch, seed=self.seed, start=first):
            # The rows of a batch are alike in length; which batch comes first follows from the draw, too.
            ordered = index[lengths[index].argsort(stable=True)].view(together, self.batch)
            for part in ordered[index[:together].argsort()][skip:]:
                yield Batch(x[part], index=part)
            skip = 0

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """All molecules as lines of a .smi file, valid or not, and the first valid ones as a picture."""
        smiles = self.words().texts(x)
        written = file.with_suffix(".smi")
        write_atomic(written, "\n".join(smiles) + "\n")
        shown = draw(smiles, file, columns=min(columns, 6))
        caption = f"{shown} of {len(smiles)} molecules of {self.name()} as generated, those that are valid"
        return [{"file": file.name, "caption": caption}] if shown else []

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=8, limit=64, latent=3, embedding=4, hidden=8, encoder=8, nef=8, prior_steps=3,
            posterior_steps=3, log_every=1, checkpoint_every=2,
        )  # fmt: skip


def write(model: AmortizedLatentPrior, z: Tensor, temperature: float, *, rng: Rng) -> Tensor:
    """A molecule for each z, as rows of tokens: drawn token by token from p(x_t | …, z) to the power of 1/T.

    Args:
        model: its generator writes.
        z: latent vectors ``[n, d]``.
        temperature: T; 1 is the model's own law.
        rng: draws the tokens.
    """
    if temperature <= 0:
        raise InputError(f"expected a temperature above 0, got {temperature:g}; the generator's mode is its limit")
    generator = deepcopy(model.generator)
    assert isinstance(generator, RecurrentGenerator)
    with torch.no_grad():
        generator.output.weight.div_(temperature)
        generator.output.bias.div_(temperature)
        return generator(z).sample(rng)


@lru_cache(maxsize=4)
def read_smiles(path: str, split: Part) -> Text:
    """A user's molecules, read once a process."""
    return molecules.smiles_file(Path(path), split)
