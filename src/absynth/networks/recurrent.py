"""Sequences by a recurrent network: p(x|z) = Π_t p(x_t | x_1 … x_{t−1}, z), one LSTM layer (Pang et al. 2020, text).

z is appended to every token's embedding and mapped to the first hidden state (their section 4.2; Pang et al. 2020b,
arXiv:2010.09351, for molecules). What it learns by is teacher forcing: the likelihood of the tokens that are there.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from absynth.data.vocabulary import END, PAD
from absynth.errors import InputError
from absynth.seeding import uniform_like
from absynth.types import Rng


class Autoregressive:
    """b laws of sequences of up to ``net.length`` tokens: rows of integers ``[b, T]``, padded after their END.

    A sequence ends with END, or by reaching the full length without one; the probabilities of all of them sum to 1.
    """

    def __init__(self, net: RecurrentGenerator, z: Float[Tensor, "b d"]) -> None:
        self.net = net
        self.z = z
        self.temperature = 1.0

    def __repr__(self) -> str:
        return f"Autoregressive({len(self.z)} sequences of up to {self.net.length} of {self.net.size} tokens)"

    def log_probs(self, x: Int64[Tensor, "b T"]) -> Float[Tensor, "b T"]:
        """log p(x_t | x_1 … x_{t−1}, z) for every token, 0 where there is padding."""
        there = x != PAD
        width = max(int(there.sum(1).max()), 1)  # columns that are all padding cost nothing
        before = torch.cat([x.new_full((len(x), 1), PAD), x[:, : width - 1]], 1)
        h, _ = self.net.lstm(self._inputs(before), self._first())
        there = there[:, :width]
        # The layer over all tokens is most of the work: it sees those that are there alone.
        logits = self.net.output(h[there])
        found = -nn.functional.cross_entropy(logits, x[:, :width][there] - 1, reduction="none")
        out = found.new_zeros(x.shape)
        return out.index_put(there.nonzero(as_tuple=True), found)

    def log_prob(self, x: Int64[Tensor, "b T"]) -> Float[Tensor, "b"]:
        """log p(x|z), END included, padding not."""
        return self.log_probs(x).sum(1)

    @property
    def mode(self) -> Int64[Tensor, "b T"]:
        """The greedy sequence: the most probable token at every place (the most probable sequence is out of reach)."""
        return self._write(None)

    def sample(self, rng: Rng) -> Int64[Tensor, "b T"]:
        """One sequence from each law; row i depends on its own stream alone."""
        return self._write(uniform_like(self.z.new_empty(len(self.z), self.net.length), rng))

    def at_temperature(self, temperature: float) -> Autoregressive:
        """The laws whose every token has p(x_t | …, z) to the power of 1/T; only ``sample`` and ``mode`` follow T."""
        if temperature <= 0:
            raise InputError(f"expected a temperature above 0, got {temperature:g}: the mode is its limit")
        found = Autoregressive(self.net, self.z)
        found.temperature = temperature
        return found

    @torch.no_grad()
    def _write(self, uniform: Tensor | None) -> Tensor:
        """Token after token: the most probable one, or the one at which the distribution function passes a uniform."""
        x = torch.full((len(self.z), self.net.length), PAD, dtype=torch.int64, device=self.z.device)
        last, state = x[:, :1], self._first()
        open_ = torch.ones_like(last[:, 0], dtype=torch.bool)
        for t in range(self.net.length):
            h, state = self.net.lstm(self._inputs(last), state)
            logits = self.net.output(h[:, 0])
            if uniform is None:
                token = logits.argmax(1) + 1
            else:
                passed = (logits / self.temperature).softmax(1).cumsum(1)
                token = 1 + (passed <= uniform[:, t, None] * passed[:, -1:]).sum(1).clamp(max=logits.shape[1] - 1)
            token = torch.where(open_, token, PAD)
            x[:, t], last = token, token[:, None]
            open_ = open_ & (token != END)
            if not open_.any():
                break
        return x

    def _inputs(self, before: Tensor) -> Tensor:
        z = self.z[:, None].expand(-1, before.shape[1], -1)
        return torch.cat([self.net.embedding(before), z.to(self.net.embedding.weight.dtype)], 2)

    def _first(self) -> tuple[Tensor, Tensor]:
        first = self.net.first
        h = self.z.new_zeros(1, len(self.z), self.net.lstm.hidden_size) if first is None else first(self.z)[None]
        return h, torch.zeros_like(h)


class RecurrentGenerator(nn.Module):
    """z ↦ p(x|z), a law of sequences of tokens.

    Args:
        size: tokens in the vocabulary, the special ones included.
        latent: numbers in z, and in the condition, if there is one: it is appended to z. 0 makes a language model.
        embedding: width of a token's embedding.
        hidden: width of the LSTM.
        length: longest sequence in tokens, END included.

    >>> p = RecurrentGenerator(10, latent=2, embedding=4, hidden=8, length=6)(torch.zeros(3, 2))
    >>> p.mode.shape, p.log_prob(p.mode).shape
    (torch.Size([3, 6]), torch.Size([3]))
    """

    def __init__(self, size: int, *, latent: int, embedding: int, hidden: int, length: int) -> None:
        super().__init__()
        self.size, self.latent, self.length = size, latent, length
        self.embedding = nn.Embedding(size, embedding)
        self.first = nn.Linear(latent, hidden) if latent else None
        self.lstm = nn.LSTM(embedding + latent, hidden, batch_first=True)
        self.output = nn.Linear(hidden, size - 1)  # every token but PAD, which is never generated

    def extra_repr(self) -> str:
        return f"{self.size} tokens, length {self.length}"

    def forward(self, z: Float[Tensor, "b _"], c: Tensor | None = None) -> Autoregressive:
        return Autoregressive(self, z if c is None else torch.cat([z, c.to(z.dtype)], 1))


class RecurrentEncoder(nn.Module):
    """A sequence of tokens to ``[b, out]``: one GRU layer read at the last token, for an inference model.

    Args:
        size: tokens in the vocabulary, the special ones included.
        embedding: width of a token's embedding.
        hidden: width of the GRU.
        out: numbers that come out.
    """

    def __init__(self, size: int, *, embedding: int, hidden: int, out: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, embedding)
        self.gru = nn.GRU(embedding, hidden, batch_first=True)
        self.output = nn.Linear(hidden, out)

    def forward(self, x: Int64[Tensor, "b T"]) -> Float[Tensor, "b out"]:
        tokens = (x != PAD).sum(1).clamp(min=1)
        h, _ = self.gru(self.embedding(x[:, : int(tokens.max())]))
        return self.output(h[torch.arange(len(x), device=x.device), tokens - 1])
