"""The noise of whole chains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Generator, Tensor

from absynth.seeding import noise_like
from absynth.types import Rng

NOISE_BYTES = 1 << 18
Fill = Callable[[Tensor, Generator], Tensor]


def draw(out: Tensor, rng: Generator) -> Tensor:
    """Normal noise by torch, in place."""
    return out.normal_(generator=rng)


def noises(
    x: Tensor, noise_scales: Sequence[float], rng: Rng, most: int = NOISE_BYTES, fill: Fill = draw
) -> Iterator[Tensor | None]:
    """The noise of every step of a chain, as ``noise_like(x)`` would draw it step by step; None where there is none.

    On a CPU torch's generator gives the same numbers in one large draw as in several whose sizes are multiples of 16,
    and one is quicker. At most ``most`` bytes are drawn ahead, each time into the same memory: new memory costs more
    than a tenth of a small chain. ``fill`` draws them.
    """
    together = x.device.type == "cpu" and x.numel() % 16 == 0 and x.is_contiguous() and min(noise_scales, default=0) > 0
    if not together or not isinstance(rng, Generator):
        yield from (noise_like(x, rng) if scale > 0 else None for scale in noise_scales)
        return
    ahead = max(1, min(most // max(x.numel() * x.element_size(), 1), len(noise_scales)))
    ring = x.new_empty(ahead, *x.shape)
    for first in range(0, len(noise_scales), ahead):
        yield from fill(ring[: len(noise_scales) - first], rng)
