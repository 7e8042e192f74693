"""The latent-space EBM prior of molecules, one SMILES per line (Pang, Han, Wu 2020, arXiv:2010.09351).

z is inferred by a network in one pass, as in the paper's code; the prior's chain is short. Molecules of a batch are
alike in length. The paper reports validity .955, novelty and uniqueness 1.000 on ZINC with an LSTM of 1024 trained on
all 250k molecules; the preset's 34k molecules and an LSTM of 128 see less than a hundredth of that work. The presets
fix the rate of q(z|x) with ``share``: at weight 1 a learned variance lets an LSTM ignore z, and a larger weight on the
likelihood keeps z but halves the share of valid molecules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.data.molecules import Tokens
from absynth.data.text_set import SmilesSet
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.networks.mlp import Activation, mlp_f
from absynth.networks.recurrent import RecurrentGenerator
from absynth.recipes._fields import PriorChain, half_cosine
from absynth.recipes.bounds import Count, Decay, Natural, Positive
from absynth.recipes.latent_prior._sequences import SequenceRecipe
from absynth.recipes.presets import Preset

FIXED_RATE: dict[str, Any] = {"share": 0.5, "clip": 5.0, "energy_lr": 5e-4}
"""A posterior of 4.6 nats over a z of 32, and the clip of the authors' code."""

PRESETS = {
    "zinc": Preset(
        minutes=6, recorded="latent_prior_zinc", source="Pang, Han, Wu 2020, at a fraction of its size",
        published="validity .955", steps=4400, prior_after=0.55, prior_alone=1 / 11, length=72, **FIXED_RATE,
    ),
    "moses": Preset(
        minutes=20, recorded="latent_prior_moses", source="Pang, Han, Wu 2020, at a fraction of its size",
        published="validity .955 on ZINC", steps=16_000, generator_width=256, prior_after=0.55, prior_alone=1 / 11,
        length=60, limit=300_000, **FIXED_RATE,
    ),
    "nci5k": Preset(minutes=1, steps=660, prior_after=0.55, prior_alone=1 / 11, length=50, **FIXED_RATE),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LatentPriorSMILES(PriorChain, SequenceRecipe):
    """Latent-space EBM prior of molecules (Pang, Han, Wu 2020)."""

    kinds = ("smiles",)
    tokens: Tokens = "atoms"
    """What a token is: an atom with its brackets, or a character (Cl and Br are one either way)."""
    column: str = ""
    """Column of your file that holds SMILES. Defaults to the one called smiles, or the first that holds them."""
    length: Count = 80
    """Longest molecule in tokens, with its end; longer ones are left out."""
    steps: Count = 10_000
    batch: Count = 64
    threads: int = 1
    log_every: Count = 50
    latent: Count = 32
    embedding: Count = 48
    """Width of a token's embedding."""
    generator_width: Count = 128
    """Width of the LSTM."""
    inference_width: Count = 64
    """Width of the inference network's layer."""
    energy_width: Count = 64
    energy_activation: Activation = "gelu"
    likelihood_weight: Positive = 1.0
    """Weight of log p(x|z) in the inference model's loss: above 1 it keeps z in use where ``share`` is 0."""
    temperature: Positive = 0.5
    """Temperature of the tokens where molecules are generated: 1 draws from p(x|z), less keeps to the probable."""
    prior_steps: Natural = 30
    prior_step_size: Positive = 0.5
    posterior_steps: Natural = 20
    """Number of Langevin steps on the posterior, for tasks that need them; learning draws from the inference model."""
    energy_lr: Positive = 2e-4
    energy_beta1: Decay = 0.5
    """Adam's β1 of the energy network; the others' is 0.9."""
    generator_lr: Positive = 4e-3
    """Learning rate of the generator and of the inference network (Adam)."""

    def algorithm(self) -> AmortizedLatentPrior:
        assert isinstance(self.examples, SmilesSet)
        size = len(self.examples.vocabulary)
        f = mlp_f(self.latent, self.energy_width, self.energy_activation)
        return AmortizedLatentPrior(
            EBM(f, StandardNormal(self.latent)),
            RecurrentGenerator(
                size, latent=self.latent, embedding=self.embedding, hidden=self.generator_width, length=self.length
            ),
            self.posterior_network(size, embedding=self.embedding, hidden=self.inference_width, latent=self.latent),
            prior_sampler=self.prior_sampler(),
            posterior_sampler=self.posterior_sampler(),
            likelihood_weight=self.likelihood_weight,
        )

    def schedule(self, step: int) -> float:
        return half_cosine(step, self.steps)
