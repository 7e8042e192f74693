"""Features of examples: what the layers of a network make of them, pooled over space.

Xie, Zheng, Gao, Wang, Zhu, Wu, CVPR 2018, section 4.4: the maxima of the responses of the first layers of a descriptor
network that was learned without labels, over blocks, serve a linear classifier.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from absynth.errors import Unsupported

_LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@torch.no_grad()
def pooled_features(net: nn.Module, x: Float[Tensor, "b *event"], cells: int = 3) -> Float[Tensor, "b d"]:
    """Responses behind each activation of a network, the largest in each of ``cells`` blocks per side.

    Args:
        net: A network of linear layers with activations between them.
        x: Examples.
        cells: Blocks per side, at most; sides that are shorter keep their length.

    Returns:
        The features of all layers but the last, whose output is f itself.

    Raises:
        Unsupported: The network has one layer, or is none of layers over examples.
    """
    found: list[Tensor] = []
    layers = [m for m in net.modules() if not list(m.children())]
    hooked = [b for a, b in pairwise(layers) if isinstance(a, _LINEAR) and not isinstance(b, nn.Flatten)]
    handles = [layer.register_forward_hook(lambda _m, _i, y: found.append(y)) for layer in hooked]
    try:
        net(x)
    finally:
        for handle in handles:
            handle.remove()
    kept = [_blocks(y, cells).flatten(1) for y in found if y.ndim > 1 and y[0].numel() > 1]
    if not kept:
        raise Unsupported(f"features need an energy network of several layers over examples, got {type(net).__name__}")
    return torch.cat(kept, 1)


def _blocks(y: Tensor, cells: int) -> Tensor:
    pools = {3: functional.adaptive_max_pool1d, 4: functional.adaptive_max_pool2d, 5: functional.adaptive_max_pool3d}
    return pools[y.ndim](y, [min(side, cells) for side in y.shape[2:]]) if y.ndim in pools else y
