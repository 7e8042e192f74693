"""Noise contrastive estimation, and flow contrastive estimation where the noise is a flow that learns too.

Gutmann and Hyvärinen, AISTATS 2010; Gao et al., CVPR 2020, arXiv:1912.00589. Nothing runs a chain in training, and
log Z is learned. The nearer the noise to the data, the better: on eight Gaussians the KL of the model learned against
the data's own Gaussian is a twentieth of that Gaussian's, and against a flow a tenth of the flow's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm
from absynth.algorithms.noise_contrastive import NoiseContrastive, Turns
from absynth.algorithms.symbol_vector import SymbolF
from absynth.density import EBM
from absynth.errors import InputError
from absynth.networks.classifier import classifier
from absynth.networks.flow import CouplingFlow
from absynth.networks.heads import Normalized
from absynth.networks.mlp import Scaled
from absynth.networks.ready import Network
from absynth.recipes._few_labels import FewLabels
from absynth.recipes._fields import DataChain, ImageOptions, half_cosine, noisy
from absynth.recipes._reference import fitted, reference_of
from absynth.recipes.bounds import Count, Natural, NonNegative, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin
from absynth.types import Batch, Reference

PRESETS = {
    "ring": Preset(minutes=1, recorded="noise_contrastive_ring.KL, flow contrastive", input_scale=3.0, noise="flow"),
    "ring/gaussian": Preset(
        minutes=0.5, recorded="noise_contrastive_ring.KL, Gaussian noise", input_scale=3.0, steps=2500
    ),
    "moons": Preset(minutes=1, input_scale=2.0, noise="flow"),
    "breast_cancer": Preset(minutes=0.5, steps=1500, batch=100, hidden=2),
    "digits": Preset(minutes=0.5, steps=1500, batch=100, hidden=2, energy_width=128, data_noise=0.1),
}


@dataclass(frozen=True, kw_only=True)
class NoiseContrastiveRecipe(ImageOptions, DataChain, FewLabels):
    """Noise contrastive estimation: a normalized density learned without chains (Gao et al. 2020)."""

    kinds = ("toy", "table", "image")
    TINY: ClassVar[Mapping[str, Any]] = {**FewLabels.TINY, "flow_width": 8, "flow_layers": 2}

    steps: Count = 4000
    batch: Count = 500
    threads: Natural = 1
    noise: Literal["gaussian", "flow"] = "gaussian"
    """The noise: the Gaussian of the data, or a flow of affine couplings (vectors only)."""
    turns: Turns = "fixed"
    """Who learns after the warm-up: the energy alone, both together, or one of them in turn (flow contrastive)."""
    warmup: Share = 0.375
    """Share of the updates, at the beginning, in which a flow learns by maximum likelihood."""
    margin: Positive = 0.025
    """Accuracy beyond 1/2 at which the turn changes."""
    energy_network: Network = "mlp"
    """Fully connected or convolutional, for images."""
    hidden: Count = 3
    """Hidden layers of a fully connected f."""
    input_scale: Positive = 1.0
    """f sees the data times this; smooth activations need about 3 on data of small scale."""
    flow_layers: Count = 6
    """Couplings of the flow."""
    flow_width: Count = 64
    """Hidden units of each coupling."""
    label_weight: NonNegative = 1.0
    """Weight λ of a labelled example's log p(y|x)."""
    data_noise: NonNegative = 0.0
    """Standard deviation of noise added to the data; data with discrete values need some."""
    chain_steps: Count = 200
    """Number of Langevin steps of a sample, from the noise (none run in training)."""
    chain_step_size: Positive = 0.07
    energy_lr: Positive = 2e-3
    constant_lr: Positive = 1e-2
    """Learning rate of log Z."""
    flow_lr: Positive = 2e-3
    """Learning rate of the flow in the warm-up."""
    contrast_lr: Positive = 3e-4
    """Learning rate of the flow after the warm-up, with --turns together or alternate."""

    def resolve(self) -> Recipe:
        found = Recipe.resolve(self)
        assert isinstance(found, NoiseContrastiveRecipe)
        if found.noise == "flow" and len(found.shape) > 1:
            raise InputError(f"flows are of vectors, got examples of shape {list(found.shape)}: give --noise gaussian")
        if found.classes and not 0 < self.labelled_batch < self.batch:
            raise InputError(f"expected --labelled-batch between 1 and --batch {self.batch}, got {self.labelled_batch}")
        return found

    def batches(self, start: int = 0) -> Iterator[Batch]:
        found = super().batches(start) if self.classes else Recipe.batches(self, start)
        return noisy(found, self.data_noise, seed=self.seed, start=start)

    def algorithm(self) -> NoiseContrastive:
        kind, shape = self.examples.kind, self.shape
        outputs = max(self.classes, 1)
        net = classifier(
            kind, shape, outputs, self.energy_width, act=self.energy_activation, network=self.energy_network,
            hidden=self.hidden,
        )  # fmt: skip
        f = SymbolF(Scaled(net, self.input_scale))
        # A box of volume 1: f alone is the log density up to log Z.
        flat = reference_of("flat", self.examples, low=-0.5, high=0.5)
        return NoiseContrastive(
            EBM(Normalized(f), flat),
            self._noise(),
            sampler=Langevin(self.chain_steps, self.chain_step_size),
            turns=self.turns,
            warmup=self.warmup if self.noise == "flow" else 0.0,
            margin=self.margin,
            label_weight=self.label_weight,
        )

    def _noise(self) -> Reference:
        if self.noise == "gaussian":
            return fitted(self.examples, self.data_noise)
        return CouplingFlow(self.shape[0], layers=self.flow_layers, width=self.flow_width, hidden=2)

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        f = algorithm.get_submodule("ebm.f.f")
        log_z = algorithm.get_parameter("ebm.f.log_z")
        slow = self._slow()
        groups = [
            {"params": list(f.parameters()), "lr": self.energy_lr / slow},
            {"params": [log_z], "lr": self.constant_lr / slow},
        ]
        found: dict[str, Optimizer] = {"ebm": Adam(groups)}
        if self.noise == "flow":
            found["noise"] = Adam(algorithm.get_submodule("noise").parameters(), self.flow_lr)
        return found

    def _slow(self) -> float:
        """Factor on the flow's learning rate after the warm-up; f, which rests in the warm-up, makes up for it."""
        return self.contrast_lr / self.flow_lr if self.noise == "flow" else 1.0

    def schedule(self, step: int) -> float:
        """A half cosine over the warm-up, in which the flow learns alone, and another over the rest."""
        first = round(self.warmup * self.steps) if self.noise == "flow" else 0
        if step < first:
            return half_cosine(step, first)
        return self._slow() * half_cosine(step - first, max(self.steps - first, 1))
