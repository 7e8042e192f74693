"""Where chains begin. A start is not the reference p_0: they coincide in latent space and differ in data space.

``draw`` gives the first states and a ticket; ``keep`` hands back where the chains ended. Only :class:`Persistent` and
:class:`FromLast` have a memory, and it lives in buffers, so a resumed run continues its chains. Each slice of a
minibatch has stored chains to itself, so several processes move the chains that one process would.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from absynth.errors import InputError
from absynth.seeding import noise_like, uniform_like
from absynth.types import Conditional, Reference, Rng

Ticket = Tensor | None
"""What tells ``keep`` which stored chains came back: their rows, or nothing."""


class Start(nn.Module, ABC):
    """Where chains begin."""

    @abstractmethod
    def draw(self, x: Tensor, *, rng: Rng, index: Tensor | None = None) -> tuple[Tensor, Ticket]:
        """First states for ``len(x)`` chains, beside a batch of data ``x [b, *event]``.

        Args:
            x: the data.
            rng: where fresh states come from.
            index: ``[b]``, the examples' numbers in their data set, for a start that remembers each of them.
        """

    def keep(self, ticket: Ticket, x: Tensor) -> None:
        """Take back the chains' last states. Nothing, unless the start remembers."""


class FromNoise(Start):
    """Every chain from a fresh draw of a reference: the short-run start (Nijkamp et al. 2019)."""

    def __init__(self, reference: Reference) -> None:
        super().__init__()
        self.reference = reference

    def draw(self, x: Tensor, *, rng: Rng, index: Tensor | None = None) -> tuple[Tensor, Ticket]:
        return self.reference.sample(len(x), rng), None


class FromData(Start):
    """Every chain from a data example, with noise if wanted: contrastive divergence (Hinton 2002)."""

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        self.noise = noise

    def draw(self, x: Tensor, *, rng: Rng, index: Tensor | None = None) -> tuple[Tensor, Ticket]:
        x = x.detach()
        return (x + self.noise * noise_like(x, rng) if self.noise else x), None


class Persistent(Start):
    """Chains that survive between updates, some of them restarted (Tieleman 2008; Du and Mordatch 2019).

    Args:
        size: stored chains (a replay buffer).
        reference: where a chain begins, and begins again.
        restart: probability that a drawn chain starts afresh.
        rng: draws the first states.
    """

    chains: Tensor
    """Stored chains, ``[size, *event]``."""

    def __init__(self, size: int, reference: Reference, restart: float = 0.0, *, rng: Rng) -> None:
        super().__init__()
        self.reference = reference
        self.restart = restart
        self.register_buffer("chains", reference.sample(size, rng))
        self.slice = (0, 1)
        """Which slice of a minibatch comes next, and of how many; the training loop sets it."""

    def rows(self, device: torch.device | None = None) -> Tensor:
        """The rows of the stored chains that belong to the slice."""
        first, every = self.slice
        return torch.arange(first, len(self.chains), every, device=device)

    def merge(self, gather: Callable[[Tensor], list[Tensor]]) -> None:
        """Take every process's own rows, before a checkpoint; ``gather`` exchanges tensors on the CPU."""
        parts = gather(self.chains.cpu())
        for rank, part in enumerate(parts):  # slice s is process (s modulo their number)'s
            self.chains[rank :: len(parts)] = part[rank :: len(parts)].to(self.chains.device)

    def extra_repr(self) -> str:
        return f"size={len(self.chains)}, restart={self.restart:g}"

    def draw(self, x: Tensor, *, rng: Rng, index: Tensor | None = None) -> tuple[Tensor, Ticket]:
        rows = self.rows(x.device)
        if len(x) > len(rows):
            raise InputError(
                f"persistent chains must be at least {len(x) * self.slice[1]}, got {len(self.chains)}: "
                "store as many as a batch has examples"
            )
        # Rows are the first b of a random order, so that no chain is drawn twice in one batch.
        order = uniform_like(torch.empty(len(rows), dtype=self.chains.dtype, device=x.device), rng).argsort()
        ticket = rows[order[: len(x)]]
        return self._taken(ticket, x, rng), ticket

    def _taken(self, ticket: Tensor, x: Tensor, rng: Rng) -> Tensor:
        """The stored chains ``ticket``, some of them restarted."""
        chains = self.chains[ticket]
        if self.restart:
            again = uniform_like(torch.empty(len(chains), dtype=chains.dtype, device=x.device), rng) < self.restart
            fresh = self.reference.sample(len(chains), rng)
            chains = torch.where(again.view(-1, *[1] * (chains.ndim - 1)), fresh, chains)
        return chains

    def keep(self, ticket: Ticket, x: Tensor) -> None:
        if ticket is not None:
            self.chains[ticket] = x.detach()


class FromLast(Persistent):
    """Every chain from where the last one of the same example ended: the posterior's persistent chains.

    Alternating back-propagation infers so (Han et al. 2017): the generator moves little between two visits of an
    example, so a few steps carry its z along. An example that is not of the data set begins at the reference.

    One stored chain an example. Processes tell each other after every update which rows they moved.
    """

    def __init__(self, size: int, reference: Reference, restart: float = 0.0, *, rng: Rng) -> None:
        super().__init__(size, reference, restart, rng=rng)
        self.moved: list[Tensor] = []

    def keep(self, ticket: Ticket, x: Tensor) -> None:
        super().keep(ticket, x)
        if ticket is not None and self.slice[1] > 1:
            self.moved.append(ticket)

    def merge(self, gather: Callable[[Tensor], list[Tensor]]) -> None:
        """Take the rows that other processes moved since the last exchange."""
        if not self.moved:
            return
        rows, self.moved = torch.cat(self.moved), []
        for index, states in zip(gather(rows.cpu()), gather(self.chains[rows].cpu())):
            self.chains[index.to(self.chains.device)] = states.to(self.chains.device)

    def draw(self, x: Tensor, *, rng: Rng, index: Tensor | None = None) -> tuple[Tensor, Ticket]:
        if index is None:
            return self.reference.sample(len(x), rng), None
        if int(index.max()) >= len(self.chains):
            raise InputError(
                f"chains stored for each example must be more than {int(index.max())}, got {len(self.chains)}: "
                "store as many as the data set has examples"
            )
        return self._taken(index, x, rng), index


class FromInference(Start):
    """Every posterior chain from a draw of an inference model q_φ(z|x), which need not know the condition.

    The model is a player of the algorithm, so it is held without being registered as a child of the start.
    """

    def __init__(self, inference: Conditional) -> None:
        super().__init__()
        self._inference = [inference]

    def draw(self, x: Tensor, *, rng: Rng, index: Tensor | None = None) -> tuple[Tensor, Ticket]:
        with torch.no_grad():
            return self._inference[0](x).sample(rng).detach(), None


class FromGenerator(Start):
    """Every chain from a generator's sample: cooperative learning (Xie et al. 2018).

    The generator is a player of the algorithm, so it is held without being registered as a child of the start.
    """

    def __init__(self, generator: Conditional, latent: Reference) -> None:
        super().__init__()
        self._generator = [generator]
        self.latent = latent

    def draw(self, x: Tensor, *, rng: Rng, index: Tensor | None = None) -> tuple[Tensor, Ticket]:
        z = self.latent.sample(len(x), rng)
        with torch.no_grad():
            return self._generator[0](z).mode.detach(), z
