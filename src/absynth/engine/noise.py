"""The noise of whole chains."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import torch
from torch import Generator, Tensor

from absynth.engine.library import build
from absynth.seeding import noise_like
from absynth.types import Rng

NOISE_BYTES = 1 << 18
STATE_BYTES = 5056  # of torch's generator on a CPU
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


def normals(out: Tensor, rng: Generator) -> Tensor:
    """``out`` in place as ``out.normal_(generator=rng)`` leaves it and the generator, to rounding, but quicker."""
    if out.numel() % 16 or not _draws_as_torch(out.dtype):
        return draw(out, rng)
    return _normals(out, rng)


def _normals(out: Tensor, rng: Generator) -> Tensor:
    library, state = build(), rng.get_state()
    fill = library.normals_float32 if out.dtype == torch.float32 else library.normals_float64
    sizes = ctypes.c_int64(out.numel()), ctypes.c_int64(min(torch.get_num_threads(), 1 + out.numel() // 2**15))
    fill(ctypes.c_void_p(state.data_ptr()), ctypes.c_void_p(out.data_ptr()), *sizes)
    rng.set_state(state)
    return out


@lru_cache(maxsize=2)
def _draws_as_torch(dtype: torch.dtype) -> bool:
    """Whether this torch's generator keeps its state and turns it into numbers as ``noise.cpp`` does."""
    ours, theirs = (Generator().manual_seed(1) for _ in range(2))
    got, wanted = (torch.empty(2000, dtype=dtype) for _ in range(2))
    draw(wanted, theirs)
    same = len(ours.get_state()) == STATE_BYTES and torch.allclose(_normals(got, ours), wanted, 1e-4, 1e-5)
    return same and torch.equal(ours.get_state(), theirs.get_state())
