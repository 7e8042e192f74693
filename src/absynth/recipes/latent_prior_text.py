"""The latent-space EBM prior on a user's own text, one sentence a line (Pang et al. 2020, section 4.2).

p(x|z) is one LSTM layer with z beside every token's embedding and in its first state; f is an MLP on z. The widths are
those of the paper for Penn Treebank (Table 6); the chains are those of its authors' code for text: δ = 0.5 for both,
and no noise in the posterior's, so that it climbs to a mode and no longer samples. Where the generator learns to do
without z (``absynth reconstruct`` tells), more posterior steps help, or ``--posterior_start inference`` with a
``--likelihood_weight`` above 1 and ``--posterior_noise`` equal to the step size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from torch import nn
from torch.optim import Adam, Optimizer

from absynth.algorithms import AlternatingBackprop, LatentPrior
from absynth.algorithms.alternating_backprop import Flat
from absynth.density import EBM
from absynth.distributions import GaussianInference, StandardNormal
from absynth.networks.mlp import Activation, mlp_f
from absynth.networks.recurrent import RecurrentEncoder, RecurrentGenerator
from absynth.recipes._sequences import SequenceRecipe
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromLast, Langevin
from absynth.seeding import stream

BANK = int.from_bytes(b"bank", "big")
"""Tells the noise of the first z of every example from all other noise."""


@dataclass(frozen=True, kw_only=True)
class LatentPriorText(SequenceRecipe):
    """Latent-space EBM prior (Pang et al. 2020) on your own text."""

    steps: int = 40_000
    checkpoint_every: int = 1000
    prior: Literal["ebm", "gaussian"] = "ebm"
    """Learned prior, or the fixed N(0, I)."""
    latent: int = 32
    """Dimension of z."""
    embedding: int = 128
    """Width of a token's embedding (Table 6)."""
    hidden: int = 512
    """Width of the LSTM (Table 6)."""
    nef: int = 200
    """Hidden units of f."""
    ebm_activation: Activation = "gelu"
    """Activation of f."""
    init_range: float = 0.1
    """The generator's weights begin uniform on ± this (appendix); 0: torch's own."""
    prior_steps: int = 40
    """K_0, Langevin steps on the prior."""
    prior_step_size: float = 0.5
    """δ of the prior chain, in z + (δ²/2)·score + δ·noise."""
    posterior_steps: int = 20
    """K_1, Langevin steps on the posterior."""
    posterior_step_size: float = 0.5
    """δ of the posterior chain."""
    posterior_noise: float = 0.0
    """τ, the noise that a posterior step adds: δ samples, 0 climbs."""
    likelihood_weight: float = 1.0
    """Times that log p(x|z) counts in the posterior chain; above 1 against a generator that does without z."""
    posterior_start: Literal["noise", "last", "inference"] = "noise"
    """Where posterior chains begin: p_0 as in the paper, the sentence's last z, or a learned inference model."""
    examples_kept: int = 0
    """Sentences whose last z is kept, with --posterior_start last; 0: found from the text."""
    inference_lr: float = 1e-3
    """Adam's rate for the inference model, with --posterior_start inference."""
    prior_lr: float = 1e-4
    """Adam's rate for f."""
    generator_lr: float = 1e-3
    """Adam's rate for the generator."""
    last_lr: float = 1.0
    """Factor on both rates at the last update, reached linearly; small networks in few updates gain by 0."""

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, LatentPriorText)
        if self.posterior_start == "last" and not self.examples_kept:
            found = replace(found, examples_kept=len(found.examples("train")))
        return found

    def algorithm(self) -> LatentPrior:
        reference = StandardNormal(self.latent)
        posterior_sampler = Langevin(self.posterior_steps, self.posterior_step_size, self.posterior_noise)
        last = None
        if self.posterior_start == "last":
            last = FromLast(self.examples_kept, reference, rng=stream(self.seed, 0, 0, BANK))
        inference = self.inference() if self.posterior_start == "inference" else None
        generator = self.generator()
        if self.prior == "gaussian" and inference is None:
            return AlternatingBackprop(
                reference,
                generator,
                posterior_sampler=posterior_sampler,
                posterior_start=last,
                likelihood_weight=self.likelihood_weight,
            )
        f = Flat() if self.prior == "gaussian" else mlp_f(self.latent, self.nef, self.ebm_activation)
        return LatentPrior(
            EBM(f, reference),
            generator,
            prior_sampler=Langevin(self.prior_steps, self.prior_step_size),
            posterior_sampler=posterior_sampler,
            posterior_start=last,
            inference=inference,
            likelihood_weight=self.likelihood_weight,
        )

    def inference(self) -> GaussianInference:
        """q(z|x), freshly initialized."""
        net = RecurrentEncoder(len(self.words()), embedding=self.embedding, hidden=self.hidden, out=2 * self.latent)
        return GaussianInference(net)

    def generator(self) -> RecurrentGenerator:
        """p(x|z), freshly initialized."""
        net = RecurrentGenerator(
            len(self.words()),
            latent=self.latent,
            embedding=self.embedding,
            hidden=self.hidden,
            length=self.length,
        )
        if self.init_range:
            for p in net.parameters():
                nn.init.uniform_(p, -self.init_range, self.init_range)
        return net

    def schedule(self, step: int) -> float:
        return 1 - (1 - self.last_lr) * min(step / self.steps, 1)

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        rates = {"prior": self.prior_lr, "generator": self.generator_lr}
        if self.prior == "gaussian":
            del rates["prior"]
        if self.posterior_start == "inference":
            rates["inference"] = self.inference_lr
        return {k: Adam(algorithm.get_submodule(k).parameters(), lr) for k, lr in rates.items()}

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=8, limit=400, vocabulary_size=60, latent=4, embedding=8, hidden=8, nef=8,
            prior_steps=3, posterior_steps=2, log_every=1, checkpoint_every=2,
        )  # fmt: skip
