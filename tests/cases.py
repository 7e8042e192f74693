"""The table of the conformance tests: a new algorithm is one factory in ``small_models.py`` and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import small_models as m
import torch

from absynth.algorithms import Algorithm
from absynth.seeding import noise_like, stream
from absynth.types import Batch

F64 = torch.float64

# --- batches of n examples ------------------------------------------------------------------------------------------


def paths(n: int) -> Batch:
    """x [n, 4, 2], c [n, 3]."""
    noise = noise_like(torch.empty(n, 11, dtype=F64), stream(11))
    return Batch(noise[:, :8].unflatten(1, (4, 2)), noise[:, 8:])


def vectors(n: int) -> Batch:
    """x [n, 5]."""
    return Batch(noise_like(torch.empty(n, 5, dtype=F64), stream(7)))


def squares(n: int) -> Batch:
    """x [n, 1, 4, 4], in [-1, 1]."""
    return Batch(noise_like(torch.empty(n, 1, 4, 4, dtype=F64), stream(8)).clamp(-1, 1))


def cubes(n: int) -> Batch:
    """x [n, 1, 2, 4, 4], in [-1, 1]."""
    return Batch(noise_like(torch.empty(n, 1, 2, 4, 4, dtype=F64), stream(8)).clamp(-1, 1))


def numbered(n: int) -> Batch:
    """x [n, 5] with each example's number."""
    return vectors(n)._replace(index=torch.arange(n))


def half_labelled(n: int) -> Batch:
    """x [n, 5]; y one of three classes for every other example, −1 (unlabelled) for the rest."""
    return vectors(n)._replace(y=torch.tensor([0, -1, 1, -1, 2, -1])[torch.arange(n) % 6])


def labelled(n: int) -> Batch:
    """x [n, 5], c [n]: labels 0, 1, 2."""
    return Batch(vectors(n).x, torch.arange(n) % 3)


def unpaired(n: int) -> Batch:
    """x [n, 5] of one domain, c [n, 5] of the other."""
    return Batch(vectors(n).x, 2 + noise_like(torch.empty(n, 5, dtype=F64), stream(9)))


def unpaired_sequences(n: int) -> Batch:
    """x [n, 4, 5] of one domain, c [n, 4, 5] of the other."""
    return Batch(*(noise_like(torch.empty(n, 4, 5, dtype=F64), stream(seed)) for seed in (10, 11)))


def sentences(n: int) -> Batch:
    """x [n, 5], tokens of a vocabulary of 9, padded after their end."""
    return Batch(torch.tensor([[3, 4, 1, 0, 0], [8, 2, 5, 1, 0], [7, 7, 6, 4, 3], [1, 0, 0, 0, 0]]).repeat(n, 1)[:n])


def gaps(n: int) -> Batch:
    """x [n, 5], about a third of it missing."""
    x = vectors(n).x
    mask = (x > -0.4).to(x.dtype)
    return Batch(x * mask, mask=mask)


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Args:
        make: a small algorithm, float64, new at every call.
        batch: n examples to learn from; their condition, if any, is what ``sample`` is given too.
        players: the names of the players that learn.
        resting: those of them that do not at this progress of the training.
        progress: the share of the updates that is done; None is an algorithm that was not told.
        least: the smallest batch.
        draws: whether the algorithm has samples.
        slopes: whether f is learned by its gradients alone, so that its last bias is not.
    """

    make: Callable[[], Algorithm]
    batch: Callable[[int], Batch]
    players: tuple[str, ...]
    resting: tuple[str, ...] = ()
    progress: float | None = None
    least: int = 1
    draws: bool = True
    slopes: bool = False

    def batches(self, n: int) -> tuple[Batch, ...]:
        """What ``losses`` takes: the batch, or one of each of two unpaired domains."""
        batch = self.batch(n)
        unpaired = "to_x" in self.players
        return (Batch(batch.x), Batch(batch.c)) if unpaired and batch.c is not None else (batch,)

    def build(self, seed: int = 0) -> Algorithm:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = self.make()
        if self.progress is not None:
            made.set_progress(self.progress)
        return made


CASES = {
    "LatentBelief": Case(m.latent_belief, paths, ("prior", "generator", "inference")),
    "LatentPrior": Case(m.latent_prior, vectors, ("prior", "generator")),
    "LatentPrior with inference": Case(m.latent_prior_with_inference, vectors, ("prior", "generator", "inference")),
    "LatentPrior with stored chains": Case(m.latent_prior_with_stored_chains, numbered, ("prior", "generator")),
    "AlternatingBackprop": Case(m.alternating_backprop, vectors, ("generator",)),
    "AmortizedLatentPrior": Case(m.amortized_latent_prior, vectors, ("prior", "generator", "inference", "flow")),
    "SymbolVector": Case(m.symbol_vector, half_labelled, ("prior", "generator", "inference")),
    "InformationBottleneck": Case(m.information_bottleneck, half_labelled, ("prior", "generator", "inference")),
    "LatentPrior of sentences": Case(m.sentences_prior, sentences, ("prior", "generator")),
    "LatentPrior with a feature map": Case(m.feature_map_prior, squares, ("prior", "generator")),
    "DiffusionAmortized": Case(m.diffusion_amortized, vectors, ("prior", "generator", "amortizer")),
    "DiscrepancyPrior": Case(m.discrepancy_prior, vectors, ("prior", "generator", "inference")),
    "MixturePrior": Case(m.mixture_prior, vectors, ("prior", "generator", "inference"), resting=("prior",)),
    "MixturePrior later": Case(
        m.mixture_prior, vectors, ("prior", "generator", "inference"), ("generator", "inference"), 0.7, least=4
    ),
    "DenoisingScoreMatching": Case(m.denoising, vectors, ("ebm",), slopes=True),
    "SlicedScoreMatching": Case(m.sliced, vectors, ("ebm",), slopes=True),
    "MultilevelScoreMatching": Case(m.multilevel, vectors, ("ebm",), slopes=True),
    "DiffusiveClassification": Case(m.diffusive_classification, vectors, ("ebm",)),
    "EnergyMatching": Case(m.energy_matching, vectors, ("ebm",)),
    "TrimmedEnsemble": Case(m.trimmed_ensemble, vectors, ("ebm",), draws=False),
    "EnergyDiscrepancy": Case(m.energy_discrepancy, vectors, ("ebm",)),
    "MaximumLikelihood from noise": Case(m.short_run, vectors, ("ebm",)),
    "MaximumLikelihood persistent": Case(m.persistent, vectors, ("ebm",)),
    "MaximumLikelihood from data": Case(m.contrastive_divergence, vectors, ("ebm",)),
    "MaximumLikelihood with missing entries": Case(m.short_run, gaps, ("ebm",)),
    "MaximumLikelihood given labels": Case(m.conditional_short_run, labelled, ("ebm",)),
    "LearnedRecovery": Case(m.learned_recovery, cubes, ("ebm",)),
    "ImprovedContrastiveDivergence": Case(m.improved_contrastive_divergence, vectors, ("ebm",)),
    "Frame": Case(m.frame, squares, ("ebm",)),
    "FilterPursuit": Case(m.filter_pursuit, squares, ("ebm",)),
    "SparseFrame": Case(m.sparse_frame, squares, ("ebm",)),
    "TexturePyramid": Case(m.texture_pyramid, squares, ("canvas",)),
    "Patchwise": Case(m.patchwise, squares, ("canvas",)),
    "InverseControl": Case(m.inverse_control, paths, ("ebm",)),
    "JointEnergy": Case(m.joint_energy, half_labelled, ("ebm",)),
    "Introspective": Case(m.introspective, half_labelled, ("ebm",)),
    "NoiseContrastive": Case(m.flow_contrastive, half_labelled, ("ebm", "noise")),
    "DiffusionRecovery": Case(m.diffusion_recovery, vectors, ("ebm",)),
    "CooperativeRecovery": Case(m.cooperative_recovery, vectors, ("ebm", "initializer")),
    "MultiGrid": Case(m.multigrid, squares, ("ebms.0", "ebms.1")),
    "Cooperative fast": Case(m.cooperative, vectors, ("ebm", "generator")),
    "Cooperative full": Case(m.cooperative_full, vectors, ("ebm", "generator")),
    "DualTeaching": Case(m.dual_teaching, vectors, ("ebm", "generator", "inference")),
    "VAE": Case(m.vae, vectors, ("generator", "inference")),
    "VariationalTeaching": Case(m.variational_teaching, vectors, ("ebm", "generator", "inference")),
    "DivergenceTriangle": Case(m.divergence_triangle, vectors, ("ebm", "generator", "inference")),
    "JointVAE": Case(m.joint_vae, vectors, ("ebm", "generator", "inference")),
    "CoarseToFine": Case(m.coarse_to_fine, squares, ("ebm",)),
    "ConditionalCooperative": Case(m.conditional_cooperative, labelled, ("ebm", "generator")),
    "CycleCooperative": Case(m.cycle_cooperative, unpaired, ("ebm_x", "ebm_y", "to_x", "to_y")),
    "CycleSequences": Case(m.cycle_sequences, unpaired_sequences, ("ebm_x", "ebm_y", "to_x", "to_y", "rec_x", "rec_y")),
}
