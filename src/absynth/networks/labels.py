"""Any network with a label: f(x, c) of an energy-based model, q(z|x, c) of an inference model.

The generator's is :class:`absynth.networks.conditional.WithLabel`.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from absynth.networks.conditional import WithLabel, one_hot
from absynth.networks.mlp import mlp


class ByLabel(nn.Module):
    """``(x [b, ...], c [b]) -> net(x)[c]``: f by a network with one output a label.

    >>> import torch
    >>> ByLabel(nn.Linear(4, 3), 3)(torch.zeros(2, 4), torch.tensor([0, 2])).shape
    torch.Size([2])
    """

    def __init__(self, net: nn.Module, classes: int) -> None:
        super().__init__()
        self.net = net
        self.classes = classes

    def forward(self, x: Float[Tensor, "b ..."], c: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
        return (self.net(x) * one_hot(c, self.classes, x)).sum(1)


class LabelEncoder(nn.Module):
    """``(x [b, ...], c [b]) -> [b, 2·latent]``: the network of q(z|x, c), means and then log variances.

    ``features`` sees the example, and two layers above it hear the label: what of x is worth telling z may differ with
    it.

    Args:
        features: ``[b, ...] -> [b, width]``.
        width: numbers that ``features`` makes of an example.
        latent: d, the dimension of z.
        classes: how many labels.
    """

    def __init__(self, features: nn.Module, width: int, latent: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.top = WithLabel(mlp([width + classes, width, 2 * latent], "leaky_relu"), classes)

    def forward(self, x: Float[Tensor, "b ..."], c: Int[Tensor, "b"]) -> Float[Tensor, "b d2"]:
        return self.top(self.features(x), c)
