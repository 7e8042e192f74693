"""The latent-space EBM prior of text, one sentence per line (Pang et al. 2020, section 4.2).

p(x|z) is one LSTM layer with z beside every token's embedding and in its first state; f is a fully connected network on
z. The widths are the paper's for Penn Treebank (Table 6); the chains are those of its authors' code for text: δ = 0.5
for both, and no noise in the posterior's, so that it climbs to a mode and does not sample. Where the generator learns
to ignore z (``absynth reconstruct`` shows it), fix the rate of the posterior with ``--share``: z is then inferred by a
network and not by a chain. More posterior steps help too, or ``--posterior-start inference`` with a
``--likelihood-weight`` above 1 and ``--posterior-noise`` equal to the step size, at a price in perplexity. The preset
of Penn Treebank has sentences of up to 20 of the 2,000 most frequent words and ``--share``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import nn

from absynth.algorithms import AlternatingBackprop, LatentPrior
from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.data.text_set import TextSet, Unit
from absynth.density import EBM
from absynth.distributions import GaussianInference, StandardNormal
from absynth.networks.mlp import Activation, Flat, mlp_f
from absynth.networks.recurrent import RecurrentGenerator
from absynth.recipes._fields import CHAINS, FinalRate, PriorChoice
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive
from absynth.recipes.latent_prior._sequences import SequenceRecipe
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromLast, Langevin
from absynth.seeding import stream

PRESETS = {
    "ptb": Preset(
        minutes=4, recorded="latent_prior_ptb", source="Pang et al. 2020, Table 2, at a fraction of its size",
        published="forward perplexity 107.45, reverse 181.54, real text 100.36", steps=2000, batch=64, threads=1,
        checkpoint_every=250, vocabulary_size=2000, length=21, latent=16, embedding=64, generator_width=96,
        energy_width=64, prior_steps=30, share=0.7, prior_after=0.45, prior_alone=0.25, clip=5.0,
        posterior_step_size=0.2, posterior_noise=0.2, energy_lr=1e-3, generator_lr=6e-3, inference_lr=6e-3,
        final_lr=0.0,
    ),
    "ptb/paper": Preset(source="Pang et al. 2020, Tables 2 and 6", published="forward perplexity 107.45", length=79),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LatentPriorText(FinalRate, PriorChoice, SequenceRecipe):
    """Latent-space EBM prior of text (Pang et al. 2020)."""

    kinds = ("text",)
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "limit": 400, "vocabulary_size": 60, "posterior_steps": 2}

    unit: Unit = "word"
    """What a token is: a word, a character, or a byte pair learned from the text (pip install 'absynth[text]')."""
    vocabulary_size: Count = 10_000
    """Number of tokens to keep, the most frequent ones; the rest are <unk>."""
    length: Count = 41
    """Longest sequence in tokens, with its end; longer lines are left out."""
    steps: Count = 40_000
    checkpoint_every: Count = 1000
    latent: Count = 32
    embedding: Count = 128
    """Width of a token's embedding (Table 6)."""
    generator_width: Count = 512
    """Width of the LSTM (Table 6)."""
    energy_activation: Activation = "gelu"
    init_range: NonNegative = 0.1
    """The generator's weights start uniform on ± this (appendix); 0: torch's own."""
    prior_steps: Natural = 40
    prior_step_size: Positive = 0.5
    posterior_step_size: Positive = 0.5
    posterior_noise: NonNegative = 0.0
    """Noise scale τ of a posterior step: δ samples, 0 climbs to a mode."""
    likelihood_weight: Positive = 1.0
    """Weight of log p(x|z) in the posterior chain, or with ``share`` in q's loss; above 1 z is kept in use."""
    posterior_start: Literal["noise", "last", "inference"] = "noise"
    """Initialization of posterior chains: p_0 as in the paper, the sentence's last z, or a learned inference model.
    With ``share`` there are none in training: z is drawn from q(z|x)."""
    generator_lr: Positive = 1e-3
    beta1: Decay = 0.9
    inference_lr: Positive = 1e-3
    """Learning rate of the inference network (Adam)."""

    @property
    def tokens(self) -> int:
        """Size of the vocabulary."""
        assert isinstance(self.examples, TextSet)
        return len(self.examples.vocabulary)

    def algorithm(self) -> LatentPrior | AlternatingBackprop:
        reference = StandardNormal(self.latent)
        posterior_sampler = Langevin(self.posterior_steps, self.posterior_step_size, self.posterior_noise)
        if self.share:
            return AmortizedLatentPrior(
                EBM(self.f(), reference), self.generator(), self.inference(), prior_sampler=self.prior_sampler(),
                posterior_sampler=posterior_sampler, likelihood_weight=self.likelihood_weight,
            )  # fmt: skip
        last = None
        if self.posterior_start == "last":
            last = FromLast(self.examples.examples, reference, rng=stream(self.seed, 0, 0, CHAINS))
        inference = self.inference() if self.posterior_start == "inference" else None
        generator = self.generator()
        if self.prior == "gaussian" and inference is None:
            return AlternatingBackprop(
                reference, generator, posterior_sampler=posterior_sampler, posterior_start=last,
                likelihood_weight=self.likelihood_weight,
            )  # fmt: skip
        return LatentPrior(
            EBM(self.f(), reference),
            generator,
            prior_sampler=self.prior_sampler(),
            posterior_sampler=posterior_sampler,
            posterior_start=last,
            inference=inference,
            likelihood_weight=self.likelihood_weight,
        )

    def f(self) -> nn.Module:
        """f of the prior, freshly initialized; 0 for a Gaussian one."""
        return Flat() if self.prior == "gaussian" else mlp_f(self.latent, self.energy_width, self.energy_activation)

    def inference(self) -> GaussianInference:
        """q(z|x), freshly initialized."""
        return self.posterior_network(
            self.tokens, embedding=self.embedding, hidden=self.generator_width, latent=self.latent
        )

    def generator(self) -> RecurrentGenerator:
        """p(x|z), freshly initialized."""
        net = RecurrentGenerator(
            self.tokens, latent=self.latent, embedding=self.embedding, hidden=self.generator_width, length=self.length
        )
        if self.init_range:
            for p in net.parameters():
                nn.init.uniform_(p, -self.init_range, self.init_range)
        return net
