"""What every recipe of symbol-vector coupling shares: F on z, the prior's chain, the weights of its terms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from absynth.algorithms.information_bottleneck import InformationBottleneck
from absynth.algorithms.symbol_vector import SymbolF
from absynth.density import EBM
from absynth.distributions import GaussianInference, StandardNormal
from absynth.networks.mlp import Activation, mlp
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin, Persistent
from absynth.seeding import stream
from absynth.types import Conditional

BANK = int.from_bytes(b"bank", "big")
"""Tells the noise of the first chains of a bank from all other noise."""


@dataclass(frozen=True, kw_only=True)
class SymbolRecipe(Recipe):
    """Symbol-vector coupling (Pang and Wu 2021)."""

    threads: int = 1
    information_weight: float = 100.0
    """Weight of the information I(z, y) of a batch; 0: the coupling without a bottleneck."""
    label_weight: float = 1.0
    """λ of a labelled example's log p(y|z), beside a log p(x|z) that is a sum over all of x."""
    free_nats: float = 0.0
    """A coordinate of z whose KL is below this, on average, is not pulled towards N(0, 1)."""
    least_log_variance: float = -8.0
    """log σ² of q(z|x) stays above this. Prior and q may sharpen each other without end: what bounds a mode's curvature
    in z bounds δ²λ of the prior's chain too."""
    latent: int = 16
    """Dimension of z."""
    nef: int = 100
    """Hidden units of F, whose softmax is p(y|z)."""
    ebm_activation: Activation = "silu"
    """Activation of F."""
    symbol_scale: float = 1.0
    """Factor on the first weights of F's last layer: with a larger one every symbol is some z's from the beginning, and
    fewer are lost to their neighbours."""
    input_scale: float = 1.0
    """Factor on the first weights of F. As initialized F is nearly linear in z, so a symbol whose direction lies within
    the hull of the others' is chosen nowhere, and lost; with larger weights F bends and every symbol has a place."""
    prior_steps: int = 40
    """K_0, Langevin steps on the prior."""
    prior_step_size: float = 0.4
    """δ of the prior's chain."""
    bank: int = 0
    """Chains on the prior that go on from update to update, as in the paper; 0: every chain begins at N(0, I)."""
    restart: float = 0.05
    """Probability that a chain of the bank begins anew in an update."""
    sample_rounds: int = 1
    """Times K_0 steps are run to draw from the prior: chains of a bank have run far longer than one round."""
    posterior_steps: int = 20
    """K_1, of a task that asks for the posterior's chain; learning infers by the network."""
    posterior_step_size: float = 0.1
    """δ of the posterior's chain."""
    prior_lr: float = 1e-3
    """Adam's rate for F."""
    prior_decay: float = 0.0
    """Adam's weight decay for F: while scores cannot grow without end, a symbol that nothing chooses stays in reach."""
    generator_lr: float = 1e-3
    """Adam's rate for the generator and the inference network."""

    def coupling(self, generator: Conditional, encoder: nn.Module, symbols: int) -> InformationBottleneck:
        """The algorithm, of a generator, the net of q(z|x) and a number of symbols."""
        reference = StandardNormal(self.latent)
        net = mlp([self.latent, self.nef, self.nef, symbols], self.ebm_activation)
        with torch.no_grad():
            net.get_parameter(f"{len(net) - 1}.weight").mul_(self.symbol_scale)
            net.get_parameter("0.weight").mul_(self.input_scale)
        first = Persistent(self.bank, reference, self.restart, rng=stream(self.seed, 0, 0, BANK)) if self.bank else None
        return InformationBottleneck(
            EBM(SymbolF(net), reference),
            generator,
            GaussianInference(encoder, (self.least_log_variance, 4.0)),
            prior_sampler=Langevin(self.prior_steps, self.prior_step_size),
            posterior_sampler=Langevin(self.posterior_steps, self.posterior_step_size),
            prior_start=first,
            sample_rounds=self.sample_rounds,
            free_nats=self.free_nats,
            label_weight=self.label_weight,
            information_weight=self.information_weight,
        )

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        rates = {"prior": self.prior_lr, "generator": self.generator_lr, "inference": self.generator_lr}
        decay = {"prior": self.prior_decay}
        return {
            k: Adam(algorithm.get_submodule(k).parameters(), lr, (0.5, 0.999), weight_decay=decay.get(k, 0.0))
            for k, lr in rates.items()
        }
