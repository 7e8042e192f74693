"""Networks on a latent feature map: z is ``[b, maps, side, side]``, each site answering for a patch of the image.

Xu: "Generative modeling with energy-based models in a convolutional latent space", thesis, 2021: z of 4×4×100, f a
network on the map, a deconvolutional generator that begins at it. No layer here but convolutions, so a site of z acts
on its own neighbourhood alone.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from absynth.networks.mlp import Activation, activation
from absynth.networks.strided import upsample


def map_f(maps: int, side: int, width: int, act: Activation = "leaky_relu", leak: float = 0.2) -> nn.Sequential:
    """f of a feature map, ``[b, maps, side, side] -> [b]``.

    Two 3×3 convolutions, and a 1×1 one whose output is summed over all sites: so f is a sum of local terms, and its
    gradient at a site does not shrink as the map grows.

    >>> import torch
    >>> map_f(4, 4, 8)(torch.zeros(3, 4, 4, 4)).shape
    torch.Size([3])
    """
    layers = [nn.Conv2d(maps, width, 3, padding=1), activation(act, leak), nn.Conv2d(width, width, 3, padding=1)]
    return nn.Sequential(*layers, activation(act, leak), nn.Conv2d(width, 1, 1), nn.Flatten(1), SumOut())


class SumOut(nn.Module):
    """Sum over all but the first dimension."""

    def forward(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b"]:
        return x.flatten(1).sum(1)


def map_generator(maps: int, side: int, size: int, channels: int, width: int, leak: float = 0.1) -> nn.Sequential:
    """``[b, maps, side, side] -> [b, channels, size, size]`` in [-1, 1].

    Every layer doubles the side, the last one makes the image. Where the size is not ``side`` times a power of two, the
    first layer makes ``2·side − 1`` of ``side``: 4 to 7 to 14 to 28. The first layer has ``width`` maps, each further
    one half as many, but never under 8.

    Raises:
        InputError: the size cannot be reached from the side by doubling.
    """
    layers = upsample((maps, side, side), (channels, size, size), width, leak=leak)
    return carry_variance(nn.Sequential(*layers, nn.Tanh()), leak)


def carry_variance(net: nn.Sequential, leak: float) -> nn.Sequential:
    """Weights under which every layer hands on the variance it is given (He et al. 2015), in place.

    torch's own rule counts a transposed convolution's outputs for its inputs: behind a z of few maps the signal shrinks
    tenfold in the first layer alone, and with it the gradient by which z is inferred.
    """
    for module in net:
        if isinstance(module, (nn.ConvTranspose2d, nn.Linear)):
            seen = module.weight[0].numel()
            if isinstance(module, nn.ConvTranspose2d):  # each output sees a 1/stride² of the kernel
                kernel, stride = module.kernel_size[0], module.stride[0]
                seen = module.in_channels * kernel**2 // stride**2
            nn.init.normal_(module.weight, std=(2 / (1 + leak**2) / seen) ** 0.5)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return net


def vector_generator(
    latent: int, side: int, size: int, channels: int, width: int, like: int, leak: float = 0.1
) -> nn.Sequential:
    """The same from a vector ``[b, latent]``: a dense layer in place of the first convolution, otherwise alike.

    The dense layer has as many maps as make the whole nearest to ``like`` parameters: the ablation of a feature map.
    """
    tail = list(map_generator(1, side, size, channels, width, leak))[1:]
    after = [layer for layer in tail if isinstance(layer, nn.ConvTranspose2d)]
    base = size >> len(after)
    n_next, rest = after[0].out_channels, sum(p.numel() for layer in after[1:] for p in layer.parameters())
    a_map = base * base * (latent + 1) + 16 * n_next
    maps = max(1, round((like - rest - n_next) / a_map))
    head = [nn.Linear(latent, maps * base * base), nn.Unflatten(1, (maps, base, base)), tail[0]]
    net = nn.Sequential(*head, nn.ConvTranspose2d(maps, n_next, 4, stride=2, padding=1), *tail[2:])
    return carry_variance(net, leak)
