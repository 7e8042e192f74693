"""What recipes on tracks share: the windows, the belief and its networks, how predictions are shown."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from absynth.algorithms.latent_belief import LatentBelief
from absynth.algorithms.vae import VAE
from absynth.data import tracks
from absynth.data.order import minibatches
from absynth.data.tracks import Frames, Tracks, Windows
from absynth.density import EBM
from absynth.distributions import GaussianInference, StandardNormal
from absynth.networks.mlp import Activation
from absynth.networks.trajectory import ConditionalMLP, PlanGenerator
from absynth.recipes.recipe import Recipe
from absynth.report import Picture, ResultTable
from absynth.samplers import Langevin
from absynth.scenes import draw
from absynth.types import Batch

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class TrackRecipe(Recipe):
    """Latent belief energy-based model (Pang et al. 2021) on tracks.

    Each agent's future is predicted from its own past: no neighbours are seen, as in the published model on ETH-UCY.
    The generator is small and f is not: what can happen is then the belief's to tell. (On the validation windows the
    belief's lead over N(0, I) was 8 % so, and nothing with a generator four times as wide.)
    """

    steps: int = 800
    batch: int = 256
    threads: int = 1
    log_every: int = 50
    prior: Literal["ebm", "gaussian"] = "ebm"
    """Learned belief p(z|past), or the fixed N(0, I): a conditional variational autoencoder of the same networks."""
    past: int = tracks.PAST
    """Positions observed."""
    future: int = tracks.FUTURE
    """Positions predicted."""
    goals: int = 4
    """Sub-goals of the plan, evenly spaced; divides ``future``."""
    mirror: bool = True
    """Train on every window's mirror image too."""
    unit: float = 0.0
    """An ordinary agent's step, in the tracks' unit of length; 0: found from the training tracks."""
    latent: int = 8
    """Dimension of z."""
    width: int = 32
    """Hidden units of the generator and of the inference model."""
    features: int = 8
    """Numbers that the generator encodes a past in."""
    nef: int = 128
    """Hidden units of f."""
    activation: Activation = "silu"
    """Activation of every network."""
    std: float = 0.2
    """σ of a sub-goal given z, in the units of the agent's frame."""
    rest_std: float = 0.05
    """σ of another position given the plan, in the same units."""
    prior_steps: int = 20
    """K_0, Langevin steps on the prior."""
    prior_step_size: float = 0.5
    """δ of the prior chain."""
    posterior_steps: int = 20
    """K_1, for tasks that ask for the posterior itself; learning draws from the inference model."""
    posterior_step_size: float = 0.1
    """δ of the posterior chain."""
    prior_lr: float = 2e-4
    """Adam's rate for f."""
    generator_lr: float = 1e-3
    """Adam's rate for the generator and for the inference model."""

    @abstractmethod
    def tracks(self, split: Split) -> list[Tracks]:
        """The recordings of a split; val and test may be the same."""

    def windows(self, split: Split) -> Windows:
        """The windows of a split, futures known; cut once a process."""
        return _windows(self, split)

    def frames(self, windows: Windows) -> Frames:
        """The frames of coordinates in which the windows' futures are predicted."""
        return Frames.of(windows.past, self.unit, self.future)

    def resolve(self) -> Recipe:
        return self if self.unit else replace(self, unit=tracks.ordinary_step(self.windows("train")))

    def algorithm(self) -> LatentBelief | VAE:
        condition = 2 * (self.past - 1) + 1
        generator = PlanGenerator(
            self.latent,
            condition,
            steps=self.future,
            goals=self.goals,
            width=self.width,
            features=self.features,
            std=self.std,
            rest_std=self.rest_std,
            act=self.activation,
        )
        sizes = (self.width, self.width, 2 * self.latent)
        inference = GaussianInference(
            ConditionalMLP(2 * self.goals, condition, sizes, self.activation, generator.goals)
        )
        reference = StandardNormal(self.latent)
        if self.prior == "gaussian":
            return VAE(generator, inference, reference)
        f = ConditionalMLP(self.latent, condition, (self.nef, self.nef, 1), self.activation)
        return LatentBelief(
            EBM(f, reference),
            generator,
            inference,
            prior_sampler=Langevin(self.prior_steps, self.prior_step_size),
            posterior_sampler=Langevin(self.posterior_steps, self.posterior_step_size),
        )

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        found: dict[str, Optimizer] = {
            name: Adam(algorithm.get_submodule(name).parameters(), self.generator_lr)
            for name in ("generator", "inference")
        }
        if self.prior == "ebm":
            found["prior"] = Adam(algorithm.get_submodule("prior").parameters(), self.prior_lr, (0.5, 0.999))
        return found

    def schedule(self, step: int) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * min(step / self.steps, 1.0)))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        x, c = self._examples()
        order = minibatches(len(x), self.batch, seed=self.seed, start=start)
        return (Batch(x[index], c[index]) for index in order)

    def _examples(self) -> tuple[Tensor, Tensor]:
        """Every departure from constant velocity that is trained on, and what is known before it."""
        windows = self.windows("train")
        parts = [windows, tracks.mirrored(windows)] if self.mirror else [windows]
        framed = [(self.frames(part), part) for part in parts]
        x = torch.cat([frames.departure(part.future) for frames, part in framed])
        return x, torch.cat([frames.condition(part.past) for frames, part in framed])

    def held_out(self, n: int) -> Tensor:
        windows = self.windows("test")[:n]
        return self.frames(windows).departure(windows.future)

    def conditions(self, n: int) -> Tensor:
        """The pasts of the first n test windows, over again where there are fewer."""
        windows = self.windows("test")
        rows = torch.arange(n) % len(windows)
        return self.frames(windows).condition(windows.past)[rows]

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """Row i is a prediction for test window i: the first moments of the test recordings, drawn over the scene."""
        windows = self.windows("test")[: len(x)]
        paths = self.frames(windows).positions(x[: len(windows)])
        draw(file, windows, paths[None])
        return [{"file": file.name, "caption": f"{len(windows)} pasts, one prediction and the truth of each"}]

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=8, width=8, features=4, nef=8, latent=3, prior_steps=3, posterior_steps=3,
            log_every=1, checkpoint_every=2,
        )  # fmt: skip


@lru_cache(maxsize=8)
def _windows(recipe: TrackRecipe, split: Split) -> Windows:
    return tracks.cut(recipe.tracks(split), recipe.past, recipe.future)
