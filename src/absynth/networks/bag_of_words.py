"""Bags of words: how often each word of a vocabulary occurs in a text, with no regard to order.

p(x|z) is multinomial over words, softmax(b + W h(z)), with b begun at the words' log frequencies: what z explains is
how a text differs from all texts (Gururangan et al. 2019; Pang and Wu 2021 classify news with it).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.networks.mlp import Activation, activation, mlp
from absynth.seeding import uniform_like
from absynth.types import Rng


class WordCounts:
    """``total`` words, each drawn from softmax(logits): counts ``[b, V]``.

    ``log_prob`` is that of counts given their own sum, so texts of any length may be scored; ``total`` is the length of
    what is drawn.

    >>> p = WordCounts(torch.tensor([[0.5, 0.3, 0.2]]).log(), 3)
    >>> p.log_prob(torch.tensor([[2.0, 1.0, 0.0]])).exp()  # 3 · .5² · .3
    tensor([0.2250])
    >>> p.mode
    tensor([[2., 1., 0.]])
    """

    def __init__(self, logits: Float[Tensor, "b V"], total: int) -> None:
        self.logits = logits
        self.total = total

    def __repr__(self) -> str:
        return f"WordCounts(logits={tuple(self.logits.shape)}, total={self.total})"

    @property
    def mode(self) -> Float[Tensor, "b V"]:
        """The most probable counts: each further word goes where it raises the probability most (Finucan 1964)."""
        p = self.logits.detach().softmax(1)
        counts = (self.total * p).floor()
        rows = torch.arange(len(p), device=p.device)
        while (short := counts.sum(1) < self.total).any():
            best = (p / (counts + 1)).argmax(1)
            counts[rows, best] += short.to(counts.dtype)
        return counts

    def log_prob(self, x: Float[Tensor, "b V"]) -> Float[Tensor, "b"]:
        ways = torch.lgamma(x.sum(1) + 1) - torch.lgamma(x + 1).sum(1)
        return (x * self.logits.log_softmax(1)).sum(1) + ways

    def sample(self, rng: Rng) -> Float[Tensor, "b V"]:
        edges = self.logits.detach().softmax(1).cumsum(1)
        u = uniform_like(edges.new_empty(len(edges), self.total), rng)
        words = torch.searchsorted(edges, u * edges[:, -1:]).clamp(max=edges.shape[1] - 1)
        return torch.zeros_like(edges).scatter_add_(1, words, torch.ones_like(u))


class BagGenerator(nn.Module):
    """p(x|z) of bags of words.

    Args:
        latent: dimension of z.
        width: hidden units.
        frequencies: how often each word occurs in the training texts ``[V]``; the softmax begins near it.
        total: words in a drawn bag.
        act: the activation.
    """

    def __init__(
        self, latent: int, width: int, frequencies: Float[Tensor, "V"], total: int, act: Activation = "silu"
    ) -> None:
        super().__init__()
        self.total = total
        self.net = nn.Sequential(*mlp([latent, width], act), activation(act), nn.Linear(width, len(frequencies)))
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias.copy_((frequencies + 0.5).log() - (frequencies + 0.5).sum().log())

    def extra_repr(self) -> str:
        return f"total={self.total}"

    def forward(self, z: Tensor, c: Tensor | None = None) -> WordCounts:
        return WordCounts(self.net(z if c is None else torch.cat([z, c], 1)), self.total)


class LogCounts(nn.Module):
    """x ↦ log(1 + x): the tenth occurrence of a word says less than its first."""

    def forward(self, x: Tensor) -> Tensor:
        return x.log1p()
