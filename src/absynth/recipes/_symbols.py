"""What the recipes of symbol-vector coupling share: F on z, the prior's chain, the weights of its terms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from absynth.algorithms.information_bottleneck import InformationBottleneck
from absynth.algorithms.symbol_vector import Contrast, LabelsAt, SymbolF
from absynth.density import EBM
from absynth.distributions import GaussianInference, StandardNormal
from absynth.networks.mlp import mlp
from absynth.recipes._fields import CHAINS, PriorChain
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive, Share
from absynth.recipes.recipe import Recipe
from absynth.samplers import Persistent
from absynth.seeding import stream
from absynth.types import Conditional


@dataclass(frozen=True, kw_only=True)
class SymbolRecipe(PriorChain, Recipe):
    """Numbers of symbol-vector coupling (Pang and Wu 2021, arXiv:2108.11556)."""

    threads: Natural = 1
    information_weight: NonNegative = 100.0
    """Weight of the mutual information I(z, y) of a batch; 0: the coupling without a bottleneck."""
    label_weight: NonNegative = 1.0
    """Weight λ of a labelled example's log p(y|z), against a log p(x|z) that is a sum over all of x."""
    contrast: Contrast = "marginal"
    """Negative draws of labelled examples: of p(z), as in the paper, or of p(z|y) under each one's own label."""
    labels_at: LabelsAt = "mean"
    """Where of q(z|x) the label's log p(y|z) is taken: its mean, or a draw, so that draws can be distinguished."""
    free_nats: NonNegative = 0.0
    """A coordinate of z whose KL is below this, on average, is not pulled towards N(0, 1)."""
    min_log_variance: float = -8.0
    """Lower bound of log σ² of q(z|x): bounds how far prior and q sharpen each other, and δ²λ of the chain."""
    latent: Count = 16
    energy_width: Count = 100
    """Hidden units of F, whose softmax is p(y|z)."""
    symbol_scale: Positive = 1.0
    """Factor on the initial weights of F's last layer; with a larger one every symbol has a z from the beginning."""
    input_scale: Positive = 1.0
    """Factor on the initial weights of F; with larger ones F is not nearly linear, and every symbol has a place."""
    prior_steps: Natural = 40
    chains: Natural = 0
    """Number of persistent chains on the prior, as in the paper; 0: every chain starts at N(0, I)."""
    restart: Share = 0.05
    """Probability that a persistent chain restarts in an update."""
    sample_rounds: Count = 1
    """Number of times K_0 steps run to draw from the prior: persistent chains have run far longer than one round."""
    posterior_steps: Natural = 20
    """Number of Langevin steps on the posterior, for tasks that need them; learning infers by the network."""
    energy_lr: Positive = 1e-3
    beta1: Decay = 0.5
    """Adam's β1, for every player."""
    energy_weight_decay: NonNegative = 0.0
    """L2 penalty on F: while scores cannot grow without end, a symbol that nothing chooses stays in reach."""
    generator_lr: Positive = 1e-3
    """Learning rate of the generator and the inference network (Adam)."""

    def coupling(
        self,
        generator: Conditional,
        encoder: nn.Module,
        symbols: int,
        share: float = 0.0,
        labelled_in_bound: bool = True,
    ) -> InformationBottleneck:
        """The algorithm, of a generator, the net of q(z|x), a number of symbols and, for a fixed rate, its share.

        Without ``labelled_in_bound`` labelled examples add their label's part alone.
        """
        reference = StandardNormal(self.latent)
        net = mlp([self.latent, self.energy_width, self.energy_width, symbols], self.energy_activation)
        with torch.no_grad():
            net.get_parameter(f"{len(net) - 1}.weight").mul_(self.symbol_scale)
            net.get_parameter("0.weight").mul_(self.input_scale)
        rng = stream(self.seed, 0, 0, CHAINS)
        first = Persistent(self.chains, reference, self.restart, rng=rng) if self.chains else None
        return InformationBottleneck(
            EBM(SymbolF(net), reference),
            generator,
            GaussianInference(encoder, (self.min_log_variance, 4.0), share=share, latent=self.latent),
            prior_sampler=self.prior_sampler(),
            posterior_sampler=self.posterior_sampler(),
            prior_start=first,
            sample_rounds=self.sample_rounds,
            free_nats=self.free_nats,
            label_weight=self.label_weight,
            information_weight=self.information_weight,
            contrast=self.contrast,
            labels_at=self.labels_at,
            labelled_in_bound=labelled_in_bound,
        )
