"""Models of a generator and a prior of its latent variable: the trunk of every latent variable method.

    p(x, z) = p(z) p_α(x|z)                                         prior and generator
    q_φ(z|x) = N(μ_φ(x), diag σ²_φ(x))                              inference, where a method has one

The prior is a reference that is drawn from exactly, or an EBM. What teaches the players is each method's own.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.algorithm import Algorithm, distinct
from absynth.algorithms.chain import AnomalyScores, Projection, with_steps
from absynth.density import EBM, Density, observe
from absynth.distributions import Normal, StandardNormal, observed_log_prob
from absynth.errors import Unsupported
from absynth.samplers import Start
from absynth.seeding import stream
from absynth.types import Conditional, Distribution, LogDensity, Reference, Rng, Sampler


def _zero(z: Tensor) -> Float[Tensor, "b"]:
    return z.new_zeros(len(z))


class GeneratorModel(Algorithm):
    """Players: ``generator``, ``prior`` where it is an EBM, ``inference`` where there is one; a method may add more.

    Args:
        generator: p_α(x|z, c).
        prior: p(z): a reference, or an EBM whose reference is p_0.
        inference: q_φ(z|x, c).
        posterior_sampler: Steps on p(z|x, c), where a method infers z by a chain.
        posterior_start: Initial states of the posterior chain. Defaults to a draw of ``inference``, else of the prior.
        likelihood_weight: w of p(z) p_α(x|z)^w, on which posterior chains move; 1 is the model itself.
    """

    def __init__(
        self,
        generator: Conditional,
        prior: Reference | EBM,
        inference: Conditional | None = None,
        *,
        posterior_sampler: Sampler | None = None,
        posterior_start: Start | None = None,
        likelihood_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.prior = prior
        self.generator = generator
        self.inference = inference
        self.posterior_sampler = None if posterior_sampler is None else distinct(posterior_sampler)
        self.posterior_start = posterior_start
        self.likelihood_weight = likelihood_weight

    def extra_repr(self) -> str:
        return "\n".join(f"{name}={sampler}" for name, sampler in self.samplers().items())

    @property
    def reference(self) -> Reference:
        """p_0: the prior itself, or the reference of its EBM."""
        return self.prior.reference if isinstance(self.prior, EBM) else self.prior

    def samplers(self) -> dict[str, Sampler]:
        return {} if self.posterior_sampler is None else {"posterior_sampler": self.posterior_sampler}

    def latent_density(self, c: Tensor | None = None) -> Density:
        return self.prior(c) if isinstance(self.prior, EBM) else Density(_zero, self.prior)

    def sample_prior(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """Draw z ``[n, *latent]`` from p_0, whatever the condition; methods with an EBM prior override this."""
        return self.reference.sample(n, rng)

    def likelihood(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        return self.generator(z, c)

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        with torch.no_grad():
            return self.likelihood(z, c).mode.detach()

    def draw(self, z: Tensor, c: Tensor | None = None, *, temperature: float = 1.0, rng: Rng) -> Tensor:
        p = self.likelihood(z, c)
        if temperature != 1:
            if not hasattr(p, "at_temperature"):
                raise Unsupported(
                    f"expected a generator of sequences for a temperature, got p(x|z) of {type(p).__name__}"
                )
            p = p.at_temperature(temperature)
        with torch.no_grad():
            return p.sample(rng).detach()

    def initial_samples(self, n: int, c: Tensor | None = None, *, rng: Rng) -> tuple[Tensor, Tensor]:
        """``(z [n, *latent], x̂ [n, *event])``: z from the prior and the generator's mode there, detached."""
        z = self.sample_prior(n, c, rng=rng)
        return z, self.generate(z, c)

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """The generator's mode at n draws from the prior."""
        return self.initial_samples(n, c, rng=rng)[1]

    def posterior(
        self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None, *, weight: float = 1.0
    ) -> LogDensity:
        """z ↦ log p(z) + log p_α(x|z), the posterior up to a constant.

        Args:
            x: Observations ``[b, *event]``.
            c: Conditions, one row per observation, or None.
            mask: 1 where x is observed, broadcastable to x. Missing entries do not enter the likelihood.
            weight: Weight of the log likelihood.
        """

        def log_likelihood(z: Tensor) -> Tensor:
            found = observed_log_prob(self.likelihood(z, c), x, mask)
            return found if weight == 1 else weight * found

        return observe(self.latent_density(c).log_density, log_likelihood)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        if self.inference is None:
            self._unsupported("has no inference network")
        return self.inference(x, c)

    def initial_latent(self, x: Tensor, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """A draw of q_φ(z|x) ``[b, *latent]``, detached; of the prior where there is no inference network."""
        if self.inference is None:
            return self.sample_prior(len(x), c, rng=rng)
        with torch.no_grad():
            return self.encode(x, c).sample(rng)

    def refine_latent(
        self, x: Tensor, z: Tensor, c: Tensor | None = None, mask: Tensor | None = None, *, rng: Rng
    ) -> Tensor:
        """z̃ ``[b, *latent]``: the steps of ``posterior_sampler`` on p(z|x) from z."""
        assert self.posterior_sampler is not None
        log_density = self.posterior(x, c, mask, weight=self.likelihood_weight)
        return self.run_chain("posterior", self.posterior_sampler, log_density, z, rng=rng)

    def sample_posterior(
        self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None, *, rng: Rng, index: Tensor | None = None
    ) -> Tensor:
        """Draw z from p(z|x): an initial draw, refined by the ``posterior_sampler`` where there is one.

        Args:
            x: Observations, shape ``[b, *event]``.
            c: Conditions, one row per observation, or None.
            mask: 1 where x is observed, broadcastable to x.
            rng: Source of randomness.
            index: Dataset indices, shape ``[b]``. Required if chains start from stored states.

        Returns:
            Latent samples, shape ``[b, *latent]``, detached.

        Raises:
            Unsupported: There is neither an inference network nor a chain on z.
        """
        if self.inference is None and self.posterior_sampler is None:
            self._unsupported("was trained without an inference network and without a chain on z: use --teaching full")
        if self.posterior_start is None:
            z, ticket = self.initial_latent(x, c, rng=rng), None
        else:
            z, ticket = self.posterior_start.draw(x, rng=rng, index=index)
        if self.posterior_sampler is not None:
            z = self.refine_latent(x, z, c, mask, rng=rng)
        if self.posterior_start is not None:
            self.posterior_start.keep(ticket, z)
        return z

    def negative_elbo(
        self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None, *, rng: Rng
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"], Tensor]:
        """The two parts of the negative ELBO on log p_α(x), and the z ~ q_φ(z|x) at which it was computed.

        Returns:
            Reconstruction NLL −log p_α(x|z), KL(q_φ(z|x) ‖ p_0) in closed form, and z ``[b, *latent]``; all with their
            graph.
        """
        reference, q = self.reference, self.encode(x, c)
        assert isinstance(reference, StandardNormal)
        assert isinstance(q, Normal)
        z = q.sample(rng)
        reconstruction = -observed_log_prob(self.likelihood(z, c), x, mask)
        return reconstruction, Normal(q.mean / reference.std, q.std / reference.std).kl_standard(), z

    def complete(self, project: Projection, n: int, *, steps: int = 0, rng: Rng) -> Tensor:
        """Modes of x given z and the observation, at draws of z given the observation.

        p(y|z) ∝ exp(−‖g(z) − project(g(z))‖² / 2σ²) is exact: y = Px sees the part Pε of the noise, N(0, σ² I) on the
        range of P. Given z too, x has its mode at project(g(z)).
        """
        if self.posterior_sampler is None:
            self._unsupported("has no chain on z that could look at an observation")
        sampler = with_steps(self.posterior_sampler, steps) if steps else self.posterior_sampler
        start = self.reference.sample(n, rng)

        def log_likelihood(z: Tensor) -> Tensor:
            p = self.likelihood(z)
            if not isinstance(p, Normal):
                raise Unsupported(
                    f"examples are completed through a Gaussian generator, got one that returns {type(p).__name__}"
                )
            return p.log_prob(project(p.mode))

        z = sampler(observe(self.latent_density().log_density, log_likelihood), start, rng=rng)
        return project(self.generate(z))

    def anomaly_scores(self, x: Tensor, *, steps: int = 0, rng: Rng | None = None) -> AnomalyScores:
        """−log p(x, z) at a posterior draw of z (Pang et al. 2020, section 4.4), and its two parts."""
        rng = stream(0, device=x.device) if rng is None else rng
        if self.posterior_sampler is None:
            z, note = self.sample_posterior(x, rng=rng), "z from the inference network."
        else:
            sampler = with_steps(self.posterior_sampler, steps) if steps else self.posterior_sampler
            z = sampler(self.posterior(x), self.reference.sample(len(x), rng), rng=rng)
            note = f"Posterior chains of {getattr(sampler, 'steps', 1)} steps."
        with torch.no_grad():
            nll, prior = -self.likelihood(z).log_prob(x), self.latent_density().energy(z)
        return AnomalyScores({"−log p(x, z)": nll + prior, "−log p(x|z) alone": nll, "−log p(z) alone": prior}, note)

    def explain_metrics(self) -> dict[str, str]:
        taught = "is its negative log-likelihood of what it learns from: it should fall, then level off"
        return {"generator": taught} | ({} if self.inference is None else {"inference": taught})
