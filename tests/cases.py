"""One small algorithm a case, for the conformance tests: a new algorithm is one factory and one line in ``CASES``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from absynth.algorithms import Algorithm, AlternatingBackprop, LatentPrior
from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.algorithms.coarse_to_fine import CoarseToFine
from absynth.algorithms.conditional_cooperative import ConditionalCooperative
from absynth.algorithms.cooperative import Cooperative
from absynth.algorithms.cycle_cooperative import CycleCooperative
from absynth.algorithms.cycle_sequences import CycleSequences
from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.algorithms.divergence_triangle import DivergenceTriangle
from absynth.algorithms.dual_teaching import DualTeaching
from absynth.algorithms.energy_discrepancy import EnergyDiscrepancy
from absynth.algorithms.filter_pursuit import FilterPursuit
from absynth.algorithms.frame import Frame
from absynth.algorithms.improved_contrastive_divergence import ImprovedContrastiveDivergence
from absynth.algorithms.information_bottleneck import InformationBottleneck
from absynth.algorithms.introspective import Introspective
from absynth.algorithms.joint_energy import JointEnergy
from absynth.algorithms.joint_vae import JointVAE
from absynth.algorithms.latent_belief import LatentBelief
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.algorithms.multigrid import MultiGrid
from absynth.algorithms.noise_contrastive import NoiseContrastive
from absynth.algorithms.perturbations import GaussianNoise
from absynth.algorithms.sparse_frame import SparseFrame
from absynth.algorithms.symbol_vector import SymbolF, SymbolVector
from absynth.algorithms.texture_pyramid import TexturePyramid
from absynth.algorithms.vae import VAE
from absynth.algorithms.variational_teaching import VariationalTeaching
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, StandardNormal, Uniform
from absynth.networks.conditional import WithLabel
from absynth.networks.feature_maps import map_f, map_generator
from absynth.networks.filters import differences
from absynth.networks.flow import CouplingFlow
from absynth.networks.growing import GrowingConv
from absynth.networks.heads import Cascade, Normalized
from absynth.networks.mlp import mlp, mlp_f
from absynth.networks.recurrent import RecurrentGenerator
from absynth.networks.statistics import ExponentialF, LocalResponses, WaveletResponses
from absynth.networks.time_embedding import LevelMLP
from absynth.networks.towers import mlp_towers
from absynth.networks.trajectory import ConditionalMLP, PlanGenerator
from absynth.networks.translator import FramePredictor
from absynth.samplers import FromData, FromNoise, Langevin, Persistent
from absynth.seeding import noise_like, stream
from absynth.types import Batch

F64 = torch.float64
SHORT = Langevin(3, 0.2)

# --- one small factory an algorithm: the networks are float64, their weights from the global generator --------------


def generator() -> GaussianGenerator:
    return GaussianGenerator(mlp([2, 8, 5], "silu"), 0.3).double()


def prior() -> EBM:
    return EBM(mlp_f(2, 8, "silu"), StandardNormal(2)).double()


def latent_prior() -> LatentPrior:
    return LatentPrior(prior(), generator(), prior_sampler=SHORT, posterior_sampler=SHORT)


def amortized_latent_prior() -> AmortizedLatentPrior:
    inference = GaussianInference(mlp([5, 8, 4], "silu")).double()
    flow = CouplingFlow(2, layers=2, width=8).double()
    for p in flow.parameters():  # as made it is the identity, and its inner layers have no gradient
        nn.init.normal_(p, std=0.3)
    return AmortizedLatentPrior(
        prior(), generator(), inference, flow, prior_sampler=SHORT, posterior_sampler=SHORT, refinement_sampler=SHORT
    )


def symbol_prior() -> EBM:
    return EBM(SymbolF(mlp([2, 8, 3], "silu")), StandardNormal(2)).double()


def symbol_vector() -> SymbolVector:
    inference = GaussianInference(mlp([5, 8, 4], "silu")).double()
    return SymbolVector(symbol_prior(), generator(), inference, prior_sampler=SHORT, posterior_sampler=SHORT)


def information_bottleneck() -> InformationBottleneck:
    inference = GaussianInference(mlp([5, 8, 4], "silu")).double()
    return InformationBottleneck(symbol_prior(), generator(), inference, prior_sampler=SHORT, posterior_sampler=SHORT)


def alternating_backprop() -> AlternatingBackprop:
    return AlternatingBackprop(StandardNormal(2).double(), generator(), posterior_sampler=SHORT)


def data_ebm() -> EBM:
    return EBM(mlp_f(5, 8, "silu"), StandardNormal(5)).double()


def stored_chains() -> Persistent:
    return Persistent(12, StandardNormal(5).double(), 0.3, rng=stream(5))


def short_run() -> MaximumLikelihood:
    return MaximumLikelihood(data_ebm(), start=FromNoise(StandardNormal(5).double()), sampler=SHORT, data_noise=0.1)


def persistent() -> MaximumLikelihood:
    return MaximumLikelihood(data_ebm(), start=stored_chains(), sampler=SHORT, sample_rounds=2)


def energy_discrepancy() -> EnergyDiscrepancy:
    return EnergyDiscrepancy(data_ebm(), perturb=GaussianNoise(0.1), sampler=SHORT, contrasts=3, trim=0.2)


def contrastive_divergence() -> MaximumLikelihood:
    return MaximumLikelihood(data_ebm(), start=FromData(0.1), sampler=SHORT)


def improved_contrastive_divergence() -> ImprovedContrastiveDivergence:
    return ImprovedContrastiveDivergence(data_ebm(), start=stored_chains(), sampler=SHORT, neighbours=4)


def diffusion_recovery() -> DiffusionRecovery:
    return DiffusionRecovery(LevelMLP(5, 8), StandardNormal(5), noise=(0.1, 0.5, 0.9), sampler=SHORT).double()


def multigrid() -> MultiGrid:
    nets = [nn.Sequential(nn.Flatten(), *mlp_f(size * size, 8, "silu")) for size in (2, 4)]
    return MultiGrid(nets, (2, 4), 1, samplers=[SHORT, SHORT], start_noise=0.3).double()


def coarse_to_fine() -> CoarseToFine:
    """One stage: with more, a loss reaches the newest stage's network alone (test_multiscale.py)."""
    return CoarseToFine(GrowingConv(1, (4,), 4), Uniform(1, 4, 4), samplers=[SHORT]).double()


def cooperative() -> Cooperative:
    return Cooperative(data_ebm(), generator(), StandardNormal(2).double(), sampler=SHORT)


def cooperative_full() -> Cooperative:
    latent = StandardNormal(2).double()
    return Cooperative(data_ebm(), generator(), latent, sampler=SHORT, posterior_sampler=SHORT)


def dual_teaching() -> DualTeaching:
    latent, inference = StandardNormal(2).double(), GaussianInference(mlp([5, 8, 4], "silu")).double()
    return DualTeaching(data_ebm(), generator(), inference, latent, sampler=SHORT, posterior_sampler=SHORT)


def inference() -> GaussianInference:
    return GaussianInference(mlp([5, 8, 4], "silu")).double()


def vae() -> VAE:
    return VAE(generator(), inference(), StandardNormal(2).double())


def variational_teaching() -> VariationalTeaching:
    return VariationalTeaching(data_ebm(), generator(), inference(), StandardNormal(2).double(), sampler=SHORT)


def divergence_triangle() -> DivergenceTriangle:
    return DivergenceTriangle(data_ebm(), generator(), inference(), StandardNormal(2).double(), sampler=SHORT)


def joint_vae() -> JointVAE:
    return JointVAE(mlp_towers((5,), 2, 8).double(), generator(), inference(), StandardNormal(2).double())


def conditional_cooperative() -> ConditionalCooperative:
    f, g = (WithLabel(net, 3) for net in (mlp_f(5 + 3, 8, "silu"), mlp([2 + 3, 8, 5], "silu")))
    ebm, generator = EBM(f, StandardNormal(5)), GaussianGenerator(g, 0.3)
    return ConditionalCooperative(ebm, generator, StandardNormal(2), sampler=SHORT, truth=0.2).double()


def cycle_cooperative() -> CycleCooperative:
    maps = (mlp([5, 8, 5], "silu") for _ in range(2))
    return CycleCooperative(data_ebm(), data_ebm(), *maps, sampler=SHORT, teach=1.0, cycle=10.0).double()


def cycle_sequences() -> CycleSequences:
    maps = (mlp([5, 8, 5], "silu") for _ in range(2))
    predictors = (FramePredictor(5, 4) for _ in range(2))
    return CycleSequences(
        data_ebm(), data_ebm(), *maps, *predictors, sampler=SHORT, teach=1.0, cycle=1.0, spatio_temporal=10.0
    ).double()


def sentences_prior() -> LatentPrior:
    """z in front of an LSTM: x are whole numbers."""
    net = RecurrentGenerator(9, latent=2, embedding=4, hidden=6, length=5).double()
    for p in net.parameters():  # far from uniform, so that z decides which tokens are the most probable
        nn.init.normal_(p, std=1.0)
    return LatentPrior(prior(), net, prior_sampler=SHORT, posterior_sampler=SHORT)


def feature_map_prior() -> LatentPrior:
    """z of 2 maps, 2×2."""
    p = EBM(map_f(2, 2, 4, "silu"), StandardNormal(2, 2, 2)).double()
    net = GaussianGenerator(map_generator(2, 2, 4, 1, 8), 0.3).double()
    return LatentPrior(p, net, prior_sampler=SHORT, posterior_sampler=SHORT)


def frame(kind: type[Frame] = Frame) -> Frame:
    """Differences of neighbours at every pixel; to be chosen one at a time, or two wavelets at fixed places."""
    reference = StandardNormal(1, 4, 4).double()
    h: LocalResponses | WaveletResponses = LocalResponses(differences(), (4, 4), torch.ones(3))
    if kind is SparseFrame:
        h = WaveletResponses(0.5 * torch.ones(2, 1, 4, 4) * torch.tensor([1.0, -1.0]).repeat(2).view(1, 1, 1, 4))
    f = ExponentialF(h, h.size)
    nn.init.normal_(f.weight, std=0.1)  # as made f is 0, whatever the chains
    ebm, start = EBM(f, reference).double(), Persistent(6, reference, rng=stream(5))
    if kind is FilterPursuit:
        return FilterPursuit(ebm, start=start, sampler=SHORT, filters=3, choose=2).double()
    return kind(ebm, start=start, sampler=SHORT).double()


def filter_pursuit() -> Frame:
    return frame(FilterPursuit)


def sparse_frame() -> Frame:
    return frame(SparseFrame)


def texture_pyramid() -> TexturePyramid:
    return TexturePyramid(torch.rand(1, 8, 8), side=4, steps=(3,), patch=3, filters=2).double()


def joint_energy() -> JointEnergy:
    return JointEnergy(
        EBM(SymbolF(mlp([5, 8, 3], "silu")), StandardNormal(5)), start=stored_chains(), sampler=SHORT
    ).double()


def introspective() -> Introspective:
    """One classifier: of several, the one in turn learns (test_introspective.py)."""
    ebm = EBM(Cascade([mlp([5, 8, 3], "silu")]), StandardNormal(5))
    return Introspective(ebm, sampler=SHORT, negatives=9, shape=(5,), classes=3).double()


def flow_contrastive() -> NoiseContrastive:
    flow = CouplingFlow(5, layers=2, width=8)
    for p in flow.parameters():
        nn.init.normal_(p, std=0.3)
    f = Normalized(SymbolF(mlp([5, 8, 3], "silu")))
    return NoiseContrastive(EBM(f, StandardNormal(5)), flow, sampler=SHORT, turns="together").double()


def latent_belief() -> LatentBelief:
    generator = PlanGenerator(2, 3, steps=4, goals=2, width=8, features=4)
    return LatentBelief(
        EBM(ConditionalMLP(2, 3, (8, 1)), StandardNormal(2)),
        generator,
        GaussianInference(ConditionalMLP(4, 3, (8, 4), rows=generator.goals)),
        prior_sampler=SHORT,
        posterior_sampler=SHORT,
    ).double()


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


def half_labelled(n: int) -> Batch:
    """x [n, 5]; y one of three classes for every other example, −1 (unlabelled) for the rest."""
    return vectors(n)._replace(y=torch.tensor([0, -1, 1, -1, 2, -1])[torch.arange(n) % 6])


def some_labels(n: int) -> Batch:
    """x [n, 5]; y one of three classes for every other example, −1 (unknown) for the rest."""
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
    """

    make: Callable[[], Algorithm]
    batch: Callable[[int], Batch]
    players: tuple[str, ...]

    def batches(self, n: int) -> tuple[Batch, ...]:
        """What ``losses`` takes: the batch, or one of each of two unpaired domains."""
        batch = self.batch(n)
        unpaired = "to_x" in self.players
        return (Batch(batch.x), Batch(batch.c)) if unpaired and batch.c is not None else (batch,)

    def build(self, seed: int = 0) -> Algorithm:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.make()


CASES = {
    "LatentBelief": Case(latent_belief, paths, ("prior", "generator", "inference")),
    "LatentPrior": Case(latent_prior, vectors, ("prior", "generator")),
    "AlternatingBackprop": Case(alternating_backprop, vectors, ("generator",)),
    "AmortizedLatentPrior": Case(amortized_latent_prior, vectors, ("prior", "generator", "inference", "flow")),
    "SymbolVector": Case(symbol_vector, half_labelled, ("prior", "generator", "inference")),
    "InformationBottleneck": Case(information_bottleneck, half_labelled, ("prior", "generator", "inference")),
    "LatentPrior of sentences": Case(sentences_prior, sentences, ("prior", "generator")),
    "LatentPrior with a feature map": Case(feature_map_prior, squares, ("prior", "generator")),
    "EnergyDiscrepancy": Case(energy_discrepancy, vectors, ("ebm",)),
    "MaximumLikelihood from noise": Case(short_run, vectors, ("ebm",)),
    "MaximumLikelihood persistent": Case(persistent, vectors, ("ebm",)),
    "MaximumLikelihood from data": Case(contrastive_divergence, vectors, ("ebm",)),
    "MaximumLikelihood with missing entries": Case(short_run, gaps, ("ebm",)),
    "ImprovedContrastiveDivergence": Case(improved_contrastive_divergence, vectors, ("ebm",)),
    "Frame": Case(frame, squares, ("ebm",)),
    "FilterPursuit": Case(filter_pursuit, squares, ("ebm",)),
    "SparseFrame": Case(sparse_frame, squares, ("ebm",)),
    "TexturePyramid": Case(texture_pyramid, squares, ("canvas",)),
    "JointEnergy": Case(joint_energy, some_labels, ("ebm",)),
    "Introspective": Case(introspective, some_labels, ("ebm",)),
    "NoiseContrastive": Case(flow_contrastive, some_labels, ("ebm", "noise")),
    "DiffusionRecovery": Case(diffusion_recovery, vectors, ("ebm",)),
    "MultiGrid": Case(multigrid, squares, ("ebms.0", "ebms.1")),
    "Cooperative fast": Case(cooperative, vectors, ("ebm", "generator")),
    "Cooperative full": Case(cooperative_full, vectors, ("ebm", "generator")),
    "DualTeaching": Case(dual_teaching, vectors, ("ebm", "generator", "inference")),
    "VAE": Case(vae, vectors, ("generator", "inference")),
    "VariationalTeaching": Case(variational_teaching, vectors, ("ebm", "generator", "inference")),
    "DivergenceTriangle": Case(divergence_triangle, vectors, ("ebm", "generator", "inference")),
    "JointVAE": Case(joint_vae, vectors, ("ebm", "generator", "inference")),
    "CoarseToFine": Case(coarse_to_fine, squares, ("ebm",)),
    "ConditionalCooperative": Case(conditional_cooperative, labelled, ("ebm", "generator")),
    "CycleCooperative": Case(cycle_cooperative, unpaired, ("ebm_x", "ebm_y", "to_x", "to_y")),
    "CycleSequences": Case(cycle_sequences, unpaired_sequences, ("ebm_x", "ebm_y", "to_x", "to_y", "rec_x", "rec_y")),
}
