"""What a trained model can do, as methods. Each raises :class:`Unsupported` unless an algorithm implements it.

Tasks call these methods and never ask for a class. A new algorithm implements those that apply to it and gets the tasks
built on them.
"""

from __future__ import annotations

from typing import NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.chain import AnomalyScores, Chain, Projection, Translation, with_steps
from absynth.algorithms.short_run import ShortRun
from absynth.density import Density
from absynth.errors import InputError, Unsupported
from absynth.types import Distribution, LogDensity, Rng, Sampler


class Capabilities:
    """Methods of every algorithm that tasks call."""

    condition_required = True
    """Whether a model trained with conditions needs one to sample; False for models that also sample without."""

    def _unsupported(self, why: str) -> NoReturn:
        raise Unsupported(f"{type(self).__name__} {why}")

    # Samplers --------------------------------------------------------------------------------------------------------

    def samplers(self) -> dict[str, Sampler]:
        """The samplers of the model by name, each a distinct object."""
        return {}

    def replace_sampler(self, name: str, sampler: Sampler) -> None:
        """Use another sampler under a name of :meth:`samplers`.

        Raises:
            InputError: There is no sampler of that name.
        """
        if name not in self.samplers():
            raise InputError(f"expected a sampler of {', '.join(self.samplers()) or 'none'}, got {name!r}")
        setattr(self, name, sampler)

    def sampling_sampler(self) -> str | None:
        """Name of the one sampler that ``sample`` runs; None if it runs none or several."""
        return None

    def chain_steps(self) -> int:
        """Number of steps of the chain that ``sample`` runs; 0 if it runs none or several."""
        name = self.sampling_sampler()
        return 0 if name is None else getattr(self.samplers()[name], "steps", 0)

    def set_chain_steps(self, steps: int) -> None:
        """Set the number of steps of the chain that ``sample`` runs.

        Raises:
            Unsupported: ``sample`` runs no chain, or several.
        """
        name = self.sampling_sampler()
        if name is None:
            self._unsupported("does not sample by one chain: leave --steps out")
        self.replace_sampler(name, with_steps(self.samplers()[name], steps))

    # Controls --------------------------------------------------------------------------------------------------------

    def controls(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The controls ``[n, t, m]`` that make paths, through the dynamics of the model."""
        self._unsupported("knows no dynamics: train inverse_control")

    def control_names(self) -> list[str]:
        """Names of the controls."""
        self._unsupported("knows no dynamics: train inverse_control")

    # Images of other sizes, and images to begin at -------------------------------------------------------------------

    def set_size(self, height: int, width: int = 0) -> None:
        """Set the size in pixels of the images that ``sample`` makes; a width of 0 makes squares."""
        self._unsupported("samples at the size that it was trained on: leave --height and --width out")

    def redraw(self, x: Tensor, scale: int = -1, *, rng: Rng) -> Tensor:
        """Images ``[n, c, h, w]`` redrawn by a pyramid that begins at them at a scale; −1 is the middle one."""
        self._unsupported("has no pyramid that begins at a given image: train patchwise")

    def enlarge(self, factor: int | float, n: int = 1, *, rng: Rng) -> Tensor:
        """n draws of the trained image at ``factor`` times its size."""
        self._unsupported("does not enlarge the image it was trained on: train patchwise")

    # Densities of the data and chains on them ------------------------------------------------------------------------

    def chain(self, c: Tensor | None = None) -> Chain:
        """The chain that draws from the model, in data space or in latent space.

        Args:
            c: Conditions, one row per chain, or None.

        Raises:
            Unsupported: The model samples without a chain.
        """
        self._unsupported("has no chain that draws samples")

    def data_chain(self) -> Chain:
        """:meth:`chain`, if its density is one of the data.

        Raises:
            Unsupported: There is no chain, or it moves latent variables.
        """
        found = self.chain()
        if found.latent:
            self._unsupported("has a density of a latent variable, and this needs a density of the data")
        return found

    def refinement(self, c: Tensor | None = None) -> Chain:
        """The chain that refines the initial samples of a generator.

        Args:
            c: Conditions, one row per chain, or None.
        """
        self._unsupported("has no generator whose samples an EBM refines")

    def short_run(self) -> ShortRun:
        """The chain as a deterministic map from its initial state, which serves as a latent variable."""
        self._unsupported("is no short-run EBM with Langevin chains that start at noise")

    def log_prob(self, x: Tensor) -> Float[Tensor, "b"]:
        """Log density of examples at the sampling temperature, up to a constant (the task ``likelihood`` finds it)."""
        return self.data_chain().tempered(x)

    def anomaly_scores(self, x: Tensor, *, steps: int = 0, rng: Rng | None = None) -> AnomalyScores:
        """Scores of examples, higher is more anomalous: −log p(x) / T for a density of the data.

        Args:
            x: Examples ``[n, *event]``.
            steps: Length of the posterior chain of a latent variable model; 0 is as in training.
            rng: Source of randomness, for models that draw from a posterior.
        """
        chain = self.data_chain()
        score = chain.tempered if chain.temperature else chain.density.log_density
        with torch.no_grad():
            found = -score(x)
        if chain.temperature:
            return AnomalyScores(
                {"−log p(x)": found}, f"At the sampling temperature {chain.temperature:g}, up to a constant."
            )
        return AnomalyScores(
            {"−log p(x)": found}, "The chain ends without noise: only the order of the scores has a meaning."
        )

    def anomaly_score(self, x: Tensor, *, steps: int = 0, rng: Rng | None = None) -> Float[Tensor, "b"]:
        """The first of :meth:`anomaly_scores`."""
        return self.anomaly_scores(x, steps=steps, rng=rng).score

    def complete(self, project: Projection, n: int, *, steps: int = 0, rng: Rng) -> Tensor:
        """Draw n examples that agree with an observation.

        Args:
            project: The orthogonal projection onto the examples that agree with the observation.
            n: Number of rows of the observation.
            steps: Length of the chain; 0 is as in training.
            rng: Source of randomness.
        """
        return self.data_chain().with_steps(steps).complete(project, n, rng=rng)

    def translations(self) -> dict[str, Translation]:
        """The directions of translation that the model has learned, by name; empty if none."""
        return {}

    # Latent variables ------------------------------------------------------------------------------------------------

    def sample_prior(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """Draw z ``[n, *latent]`` from the prior."""
        self._unsupported("has no latent variable")

    def latent_density(self, c: Tensor | None = None) -> Density:
        """The prior density of the latent variable."""
        self._unsupported("has no latent variable")

    def posterior(self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None) -> LogDensity:
        """z ↦ log p(z|x) up to a constant; entries of x where ``mask`` is 0 are left out."""
        self._unsupported("has no latent variable to infer")

    def sample_posterior(
        self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None, *, rng: Rng, index: Tensor | None = None
    ) -> Tensor:
        """Draw z ``[b, *latent]`` from p(z|x), as in training: by a chain, an inference network, or both."""
        self._unsupported("has no latent variable to infer")

    def encode(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """q(z|x) of the inference network."""
        self._unsupported("has no inference network")

    def likelihood(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        """p(x|z) of the generator."""
        self._unsupported("has no generator")

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The mode of p(x|z), detached."""
        self._unsupported("has no generator")

    def draw(self, z: Tensor, c: Tensor | None = None, *, temperature: float = 1.0, rng: Rng) -> Tensor:
        """A draw of p(x|z), detached; of sequences at a temperature, token by token."""
        self._unsupported("has no generator")

    # Clips of other lengths, and features ----------------------------------------------------------------------------

    def set_frames(self, frames: int) -> None:
        """Set the number of frames of the clips that ``sample`` and ``complete`` make."""
        self._unsupported("samples clips of the length that it was trained on: leave --frames out")

    def features(self, x: Tensor) -> Float[Tensor, "b d"]:
        """What the layers of an energy network make of examples, pooled: features for a linear classifier."""
        self._unsupported("has no energy network of layers over examples: train maximum_likelihood or multigrid")

    # Labels and figures ----------------------------------------------------------------------------------------------

    def classify(self, x: Tensor) -> Float[Tensor, "b C"]:
        """log p(y|x) of every class."""
        self._unsupported("does not classify: train symbol_vector or information_bottleneck on data with labels")

    def explain_metrics(self) -> dict[str, str]:
        """What each logged figure says: the key of a loss (a player's name) -> one sentence."""
        return {}
