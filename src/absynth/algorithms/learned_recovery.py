"""Learning to recover: a chain completes what was hidden of the data, and the data say what it should have been.

Xie, Zheng, Gao, Wang, Zhu, Wu: "Learning Descriptor Networks for 3D Shape Synthesis and Analysis", CVPR 2018,
arXiv:1804.00586, section 3.4. With x = (x_known, x_hidden) a part is hidden anew in every update,

    x̃_hidden: K steps on p_θ(x_hidden | x_known), from the start given x_known                          (1)
    θ ← θ + γ (E[∇_θ f_θ(x)] − E[∇_θ f_θ(x_known, x̃_hidden)])                                           (2)

which is maximum likelihood of the conditional law, by short chains. f learns nothing about what is always known.
"""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Bool, Float
from torch import Tensor

from absynth.algorithms.chain import first_states
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.data.hidden import Hidden, hidden
from absynth.density import EBM, restrict
from absynth.errors import InputError
from absynth.samplers import Start
from absynth.seeding import uniform_like
from absynth.types import Batch, Rng, Sampler


class LearnedRecovery(MaximumLikelihood):
    """Player: ``ebm``, an energy of volumes.

    Args:
        ebm: p_θ(x).
        start: Where chains begin; a start that knows what to do given a part begins recovery there.
        sampler: K steps of (1).
        holes: What is hidden, "pixels" or "block" (the end of a volume), and its share; one kind in each update, in a
            random order.
        data_noise: Standard deviation of noise added to the data.
        sample_rounds: Times the sampler runs on a fresh chain in ``sample``.

    Raises:
        InputError: There are no holes.
    """

    def __init__(
        self,
        ebm: EBM,
        *,
        start: Start,
        sampler: Sampler,
        holes: Mapping[Hidden, float],
        data_noise: float = 0.0,
        sample_rounds: int = 1,
    ) -> None:
        super().__init__(ebm, start=start, sampler=sampler, data_noise=data_noise, sample_rounds=sample_rounds)
        if not holes:
            raise InputError("expected something to hide, got no holes: give for instance pixels=0.7")
        self.holes = dict(holes)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}\nholes={self.holes}"

    def known(self, x: Tensor, *, rng: Rng) -> Bool[Tensor, "1 1 *sides"]:
        """True where examples stay known in an update."""
        kinds = list(self.holes)
        kind = kinds[int(uniform_like(x.new_empty(1), rng) * len(kinds)) % len(kinds)]
        share = self.holes[kind]
        if kind == "pixels":
            return uniform_like(x.new_empty(1, 1, *x.shape[2:]), rng) >= share
        return ~hidden(x.shape[2:], kind, share, rng=rng, whole=True)[None].to(x.device)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x_pos, p = self.observed(batch, rng=rng), self.ebm(batch.c)
        part = restrict(p.log_density, self.known(x_pos, rng=rng), x_pos)
        start = first_states(self.initial_distribution, part.fill, len(x_pos), rng=rng)
        x_neg = part.fill(self.run_chain("ebm", self.sampler, part, start, rng=rng))  # (1)
        return {"ebm": p.f(x_neg).mean() - p.f(x_pos).mean()}  # −(2)
