"""The net of q(z|x) for sequences of tokens: what a gated recurrent layer remembers at the end of each."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from absynth.data.vocabulary import PAD


class RecurrentEncoder(nn.Module):
    """``[b, T]`` tokens, padded -> ``[b, outputs]``, from one GRU that reads forwards and one that reads backwards.

    Padding is not read: the forward state is taken at the last token, and the backward one begins there.

    Args:
        size: tokens in the vocabulary, the special ones included.
        embedding: width of a token's embedding.
        hidden: width of each GRU.
        outputs: numbers out; twice the latent dimension for a Gaussian q.

    >>> RecurrentEncoder(10, embedding=4, hidden=8, outputs=6)(torch.tensor([[3, 4, 1, 0], [5, 1, 0, 0]])).shape
    torch.Size([2, 6])
    """

    def __init__(self, size: int, *, embedding: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, embedding)
        self.forwards = nn.GRU(embedding, hidden, batch_first=True)
        self.backwards = nn.GRU(embedding, hidden, batch_first=True)
        self.output = nn.Linear(2 * hidden, outputs)

    def forward(self, x: Int64[Tensor, "b T"]) -> Float[Tensor, "b outputs"]:
        lengths = (x != PAD).sum(1).clamp(min=1)
        width = int(lengths.max())
        places = torch.arange(width, device=x.device)
        # Row by row the tokens in the opposite order, padding still at the end.
        turned = x.gather(1, (lengths[:, None] - 1 - places).clamp(min=0)).where(places < lengths[:, None], PAD)
        rows = torch.arange(len(x), device=x.device)
        ends = [
            gru(self.embedding(tokens))[0][rows, lengths - 1]
            for gru, tokens in ((self.forwards, x[:, :width]), (self.backwards, turned))
        ]
        return self.output(torch.cat(ends, 1))
