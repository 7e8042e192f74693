"""The divergence triangle: energy, generator and inference model learned together, without a chain.

Han, Nijkamp, Fang, Hill, Zhu, Wu: "Divergence Triangle for Joint Training of Generator Model, Energy-based Model, and
Inferential Model", CVPR 2019, arXiv:1812.10907.

    Q(x, z) = p_data(x) q_φ(z|x)        inference
    P(x, z) = p_0(z) p_α(x|z)           generator
    Π(x, z) = p_θ(x) q_φ(z|x)           ebm,  p_θ ∝ exp(f_θ(x)) q_0(x)

    max_θ min_{α,φ}  Δ = KL(Q‖P) + KL(P‖Π) − KL(Q‖Π)

    θ: ascends E_data f(x) − E_P f(x)                               in KL(P‖Π) − KL(Q‖Π) log Z(θ) cancels
    α: descends KL(Q‖P) + KL(P‖Π): the variational bound, and −E_P[log p_θ(x) + log q_φ(z|x)]
    φ: descends KL(Q‖P) + KL(P‖Π): the same bound, and −E_P log q_φ(z|x); in KL(Q‖Π) φ cancels

The entropy of P's x cannot be computed; −log q_φ(z|g(z)) stands in for it, because z is recovered only where initial
samples differ. Without it (``entropy`` = 0) the ELBO alone keeps the generator from sending all of z where f is
highest. At the recipe's weights that is enough on small data; where the energy outweighs the ELBO a pilot kept one mode
of eight (``absynth reproduce divergence_triangle`` has both). As in the authors' code P's x is the generator's mode: σ
is noise of observation, and the energy judges what will be shown.

The authors' CIFAR-10 code weighs Σ(x − g)² by 1, the divergence by 1/d (they average it over the d coordinates of z),
the energy by 1 and −log q by 0.1. That is Δ at σ² = 1/(2d), times 1/d, with ``energy`` = d and ``entropy`` =
``sleep`` = d/10.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.teaching import Teaching
from absynth.density import EBM
from absynth.types import Batch, Conditional, Reference, Rng, Sampler


class DivergenceTriangle(Teaching):
    """Players: ``ebm``, ``generator`` and ``inference``.

    Args:
        ebm: p_θ(x|c).
        generator: p_α(x|z, c).
        inference: q_φ(z|x, c).
        prior: p_0(z), a standard normal.
        sampler: steps on p_θ that refine initial samples on request; learning and ``sample`` run no chain.
        energy: weight of log p_θ in the generator's loss; 1 is Δ.
        entropy: weight of −log q_φ(z|g(z)) in the generator's loss; 1 is Δ, 0 leaves the entropy surrogate out.
        sleep: weight of −log q_φ(z|g(z)) in the inference model's loss; 1 is Δ.

    Raises:
        InputError: a weight is negative.
    """

    def __init__(
        self,
        ebm: EBM,
        generator: Conditional,
        inference: Conditional,
        prior: Reference,
        *,
        sampler: Sampler,
        energy: float = 1.0,
        entropy: float = 1.0,
        sleep: float = 1.0,
    ) -> None:
        weights = {"energy": energy, "entropy": entropy, "sleep": sleep}
        super().__init__(ebm, generator, prior, sampler=sampler, inference=inference, weights=weights)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c = batch.x, batch.c
        assert self.inference is not None
        energy, entropy, sleep = (self.weights[name] for name in ("energy", "entropy", "sleep"))
        reconstruction, divergence, _ = self.negative_elbo(x, c, rng=rng)  # KL(Q‖P), up to the data's entropy
        z = self.reference.sample(len(x), rng)
        generated = self.generator(z, c).mode  # with its graph: the generator climbs f through it
        ebm = self.ebm(c)
        f_generated, f_data = ebm.f(generated), ebm.f(x)
        log_pi = f_generated + ebm.reference.log_prob(generated)  # log p_θ, up to log Z(θ)
        latent_nll = -self.inference(generated, c).log_prob(z)  # −log q_φ(z|g(z))
        return {
            "ebm": f_generated.mean() - f_data.mean(),  # −KL(P‖Π) + KL(Q‖Π)
            "generator": (reconstruction - energy * log_pi + entropy * latent_nll).mean(),  # KL(Q‖P) + KL(P‖Π)
            "inference": (reconstruction + divergence + sleep * latent_nll).mean(),  # KL(Q‖P) + KL(P‖Π)
        }

    def sampling_sampler(self) -> str | None:
        return None

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n initial samples, not refined."""
        return self.initial_samples(n, c, rng=rng)[1]
