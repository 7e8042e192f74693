"""The latent belief EBM of tracks: a prior of the latent plan given an agent's past (Pang et al., CVPR 2021).

Each agent's future is predicted from its own past, as in the published model on ETH-UCY (arXiv:2104.03086), whose
networks are far larger; ``--neighbours N`` pools the pasts of the N nearest others too, as the published model does on
Stanford Drone. The generator is small and f is not: what can happen is then the
belief's to represent. (On the validation windows the belief's lead over N(0, I) was 8 % so, and nothing with a
generator four times as wide.) ETH-UCY leaves one scene out: 8 positions observed, 12 predicted, 2.5 per second, in
metres. The published test futures of the Stanford drone data are not public, so every fifth training video is held out,
whole; lengths are in the files' own unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from absynth.algorithms.latent_belief import LatentBelief
from absynth.algorithms.vae import VAE
from absynth.data import tracks
from absynth.data.track_set import TrackSet
from absynth.density import EBM
from absynth.distributions import GaussianInference, StandardNormal
from absynth.networks.mlp import Activation
from absynth.networks.trajectory import ConditionalMLP, PlanGenerator, SocialPooling
from absynth.recipes._fields import GaussianOutput, PriorChoice, half_cosine
from absynth.recipes.bounds import Count, Decay, Natural, Positive
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe

PRESETS = {
    "eth_ucy": Preset(
        minutes=1, recorded="latent_belief_eth_ucy", source="Pang et al. 2021, re-evaluated as published since",
        published="ADE .29, FDE .53",
    ),
    "sdd": Preset(minutes=1),
    "sdd_pixels": Preset(
        minutes=1, recorded="latent_belief_sdd", source="Pang et al. 2021, on another part of the videos",
        published="ADE 8.87, FDE 15.61",
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LatentPriorTracks(GaussianOutput, PriorChoice, Recipe):
    """Latent belief energy-based model of tracks (Pang et al. 2021)."""

    kinds = ("tracks",)
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "features": 4}

    past: Count = tracks.PAST
    """Number of positions observed."""
    future: Count = tracks.FUTURE
    """Number of positions predicted."""
    scene: str = ""
    """Scene of ETH-UCY that is left out of training and tested on. Defaults to zara1."""
    neighbours: Natural = 0
    """Number of other agents whose pasts are pooled, the nearest at each moment (social pooling)."""
    mirror: bool = True
    """Whether every window's mirror image is trained on too."""
    steps: Count = 800
    batch: Count = 256
    threads: int = 1
    log_every: Count = 50
    prior: Literal["ebm", "gaussian"] = "ebm"
    """Learned belief p(z|past), or the fixed N(0, I): a conditional variational autoencoder of the same networks."""
    goals: Count = 4
    """Number of sub-goals of the plan, evenly spaced; divides ``future``."""
    latent: Count = 8
    generator_width: Count = 32
    """Hidden units of the generator and of the inference network."""
    features: Count = 8
    """Numbers that the generator encodes a past in."""
    energy_width: Count = 128
    energy_activation: Activation = "silu"
    """Activation of every network."""
    std: Positive = 0.2
    """Standard deviation of a sub-goal given z, in the units of the agent's frame."""
    rest_std: Positive = 0.05
    """Standard deviation of another position given the plan, in the same units."""
    prior_steps: Natural = 20
    prior_step_size: Positive = 0.5
    posterior_steps: Natural = 20
    """Number of Langevin steps on the posterior, for tasks that need them; learning draws from the inference model."""
    energy_lr: Positive = 2e-4
    energy_beta1: Decay = 0.5
    """Adam's β1 of the energy network."""
    beta1: Decay = 0.9
    """Adam's β1 of the generator and of the inference network."""
    generator_lr: Positive = 1e-3
    """Learning rate of the generator and of the inference network (Adam)."""

    def algorithm(self) -> LatentBelief | VAE:
        own = 2 * (self.past - 1) + 1
        condition = own + self.features * (self.neighbours > 0)
        generator = PlanGenerator(
            self.latent,
            condition,
            steps=self.future,
            goals=self.goals,
            width=self.generator_width,
            features=self.features,
            std=self.std,
            rest_std=self.rest_std,
            act=self.energy_activation,
        )
        sizes = (self.generator_width, self.generator_width, 2 * self.latent)
        read = ConditionalMLP(2 * self.goals, condition, sizes, self.energy_activation, generator.goals)
        inference = GaussianInference(self._social(read))
        reference = StandardNormal(self.latent)
        if self.prior == "gaussian":
            return VAE(self._social(generator), inference, reference)
        widths = (self.energy_width, self.energy_width, 1)
        f = ConditionalMLP(self.latent, condition, widths, self.energy_activation)
        return LatentBelief(
            EBM(self._social(f), reference),
            self._social(generator),
            inference,
            prior_sampler=self.prior_sampler(),
            posterior_sampler=self.posterior_sampler(),
        )

    def _social(self, net: nn.Module) -> nn.Module:
        """The network, of neighbours that a pooling of its own has summed up: players share no parameters."""
        if not self.neighbours:
            return net
        own, size = 2 * (self.past - 1) + 1, 2 * self.past + 1
        width, act = self.generator_width, self.energy_activation
        return SocialPooling(net, own, self.neighbours, size, width, self.features, act)

    def schedule(self, step: int) -> float:
        return half_cosine(step, self.steps)

    def conditions(self, n: int) -> Tensor | None:
        """The pasts of the first n test windows, again from the first where there are fewer."""
        test = self.examples.split("test")
        assert isinstance(test, TrackSet)
        return test.batch(torch.arange(n) % max(len(test), 1)).c
