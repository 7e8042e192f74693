"""The networks and sizes of issue's benchmarks, and their arithmetic in GFLOP."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from absynth.density import EBM, observe
from absynth.distributions import GaussianGenerator, StandardNormal
from absynth.networks.deconvnet import deconv_generator
from absynth.networks.mlp import mlp_f
from absynth.types import LogDensity

BATCH, LATENT, STD = 100, 100, 0.3


def prior() -> EBM:
    """The paper's f, 100-200-200-1, on N(0, I)."""
    torch.manual_seed(0)
    return EBM(mlp_f(LATENT, 200), StandardNormal(LATENT))


def generator() -> GaussianGenerator:
    """The SVHN generator of Table 6."""
    torch.manual_seed(1)
    return GaussianGenerator(deconv_generator(LATENT, 32, 3, 64), STD)


def posterior(p: EBM, g: GaussianGenerator, x: Tensor) -> LogDensity:
    """z ↦ log p(z) + log p(x|z), as the algorithm writes it."""
    return observe(p().log_density, lambda z: g(z).log_prob(x))


def image_f() -> nn.Sequential:
    """f of 3×32×32 pictures: 64-128-256-256 maps in four layers."""
    torch.manual_seed(2)
    leaky = nn.LeakyReLU(0.2)
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), leaky, nn.Conv2d(64, 128, 4, 2, 1), leaky, nn.Conv2d(128, 256, 4, 2, 1), leaky,
        nn.Conv2d(256, 256, 4, 2, 1), leaky, nn.Flatten(), nn.Linear(256 * 16, 1), nn.Flatten(0),
    )  # fmt: skip


def gflop(net: nn.Sequential, *shape: int) -> float:
    """2 · multiply-adds of a forward pass and of the gradient with respect to the input, for a batch of this shape."""
    total, x = 0.0, torch.zeros(1, *shape[1:])
    with torch.no_grad():
        for layer in net:
            y = layer(x)
            if isinstance(layer, nn.Linear):
                total += layer.weight.numel()
            elif isinstance(layer, nn.Conv2d):
                total += layer.weight.numel() * y[0, 0].numel()
            elif isinstance(layer, nn.ConvTranspose2d):
                total += layer.weight.numel() * x[0, 0].numel()
            x = y
    return 2 * 2 * shape[0] * total / 1e9
