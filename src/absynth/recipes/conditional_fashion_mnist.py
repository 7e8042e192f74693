"""Label to garment by cooperative learning: the recipe of the digits on Fashion-MNIST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.conditional_mnist import ConditionalMNIST
from absynth.recipes.latent_prior_fashion_mnist import read


@dataclass(frozen=True, kw_only=True)
class ConditionalFashionMNIST(ConditionalMNIST):
    """Conditional cooperative learning of Fashion-MNIST, label to garment, small networks."""

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
