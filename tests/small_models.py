"""One small model per algorithm, for the conformance tests: float64, weights from the global generator."""

from __future__ import annotations

import torch
from torch import nn

from absynth.algorithms import AlternatingBackprop, LatentPrior
from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.algorithms.coarse_to_fine import CoarseToFine
from absynth.algorithms.conditional_cooperative import ConditionalCooperative
from absynth.algorithms.cooperative import Cooperative
from absynth.algorithms.cooperative_recovery import CooperativeRecovery
from absynth.algorithms.cycle_cooperative import CycleCooperative
from absynth.algorithms.cycle_sequences import CycleSequences
from absynth.algorithms.diffusion_amortized import DiffusionAmortized
from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.algorithms.diffusive_classification import DiffusiveClassification
from absynth.algorithms.discrepancy_prior import DiscrepancyPrior
from absynth.algorithms.divergence_triangle import DivergenceTriangle
from absynth.algorithms.dual_teaching import DualTeaching
from absynth.algorithms.energy_discrepancy import EnergyDiscrepancy
from absynth.algorithms.energy_matching import EnergyMatching
from absynth.algorithms.filter_pursuit import FilterPursuit
from absynth.algorithms.frame import Frame
from absynth.algorithms.improved_contrastive_divergence import ImprovedContrastiveDivergence
from absynth.algorithms.information_bottleneck import InformationBottleneck
from absynth.algorithms.introspective import Introspective
from absynth.algorithms.inverse_control import InverseControl
from absynth.algorithms.joint_energy import JointEnergy
from absynth.algorithms.joint_vae import JointVAE
from absynth.algorithms.latent_belief import LatentBelief
from absynth.algorithms.learned_recovery import LearnedRecovery
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.algorithms.mixture_prior import MixturePrior
from absynth.algorithms.multigrid import MultiGrid
from absynth.algorithms.noise_contrastive import NoiseContrastive
from absynth.algorithms.patchwise import Patchwise
from absynth.algorithms.perturbations import GaussianNoise
from absynth.algorithms.score_matching import DenoisingScoreMatching, MultilevelScoreMatching, SlicedScoreMatching
from absynth.algorithms.sparse_frame import SparseFrame
from absynth.algorithms.symbol_vector import SymbolF, SymbolVector
from absynth.algorithms.texture_pyramid import TexturePyramid
from absynth.algorithms.trimmed_ensemble import HeavyTails, TrimmedEnsemble
from absynth.algorithms.vae import VAE
from absynth.algorithms.variational_teaching import VariationalTeaching
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, StandardNormal, Uniform
from absynth.gaussian import FactorGaussian
from absynth.networks.conditional import WithLabel
from absynth.networks.controls import ControlF, LinearCost, Scene, Signals
from absynth.networks.denoisers import MLPDenoiser
from absynth.networks.dynamics import Unicycle
from absynth.networks.ensemble import Ensemble
from absynth.networks.feature_maps import map_f, map_generator
from absynth.networks.filters import differences
from absynth.networks.flow import CouplingFlow
from absynth.networks.growing import GrowingConv
from absynth.networks.heads import Cascade, Normalized
from absynth.networks.latent_diffusion import LatentDiffusion
from absynth.networks.level_heads import mlp_levels
from absynth.networks.mlp import mlp, mlp_f
from absynth.networks.recurrent import RecurrentGenerator
from absynth.networks.statistics import ExponentialF, LocalResponses, WaveletResponses
from absynth.networks.time_embedding import LevelMLP
from absynth.networks.towers import mlp_towers
from absynth.networks.trajectory import ConditionalMLP, PlanGenerator
from absynth.networks.translator import FramePredictor
from absynth.references import EMMixture
from absynth.samplers import FromData, FromLast, FromNoise, Langevin, Persistent
from absynth.samplers.ramped import RampedLangevin
from absynth.seeding import noise_like, stream

SHORT = Langevin(3, 0.2)


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


def learned_recovery() -> LearnedRecovery:
    ebm = EBM(nn.Sequential(nn.Flatten(), mlp_f(32, 8, "silu")), Uniform(1, 2, 4, 4, low=-3.0, high=3.0)).double()
    start = FactorGaussian(1, 2, 4, 4, rank=3, std=0.5).fit(noise_like(torch.empty(9, 1, 2, 4, 4), stream(6)))
    holes = {"pixels": 0.5, "block": 0.5}
    return LearnedRecovery(ebm, start=FromNoise(start.double()), sampler=SHORT, holes=holes, data_noise=0.1)


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


def patchwise() -> Patchwise:
    return Patchwise(torch.rand(1, 8, 8), side=4, steps=(3,), patch=3, filters=2).double()


def inverse_control() -> InverseControl:
    """Two positions seen, four to predict."""
    f = ControlF(Scene(2, 1.0, 1.0, pose=False), Signals(Unicycle(), (0.5, 0.5)), LinearCost([1.0] * 7))
    reference = StandardNormal(4, 2, std=10.0)
    return InverseControl(
        EBM(f, reference), start=FromNoise(StandardNormal(4, 2)), sampler=SHORT, mode="langevin", steps=4, iterations=2
    ).double()


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


# --- more starts and conditions of the same algorithms --------------------------------------------------------------


def latent_prior_with_inference() -> LatentPrior:
    return LatentPrior(prior(), generator(), prior_sampler=SHORT, posterior_sampler=SHORT, inference=inference())


def latent_prior_with_stored_chains() -> LatentPrior:
    """The prior's chains and each example's last z are stored."""
    reference = StandardNormal(2).double()
    starts = (Persistent(12, reference, 0.3, rng=stream(5)), FromLast(6, reference, rng=stream(6)))
    return LatentPrior(
        prior(), generator(), prior_sampler=SHORT, posterior_sampler=SHORT, prior_start=starts[0],
        posterior_start=starts[1], likelihood_weight=2.0,
    )  # fmt: skip


def conditional_short_run() -> MaximumLikelihood:
    ebm = EBM(WithLabel(mlp_f(5 + 3, 8, "silu"), 3), StandardNormal(5))
    return MaximumLikelihood(ebm, start=FromNoise(StandardNormal(5)), sampler=SHORT).double()


# --- learned without chains, or with few ----------------------------------------------------------------------------


def denoising() -> DenoisingScoreMatching:
    return DenoisingScoreMatching(data_ebm(), noise=0.3, sampler=SHORT)


def sliced() -> SlicedScoreMatching:
    return SlicedScoreMatching(data_ebm(), sampler=SHORT, slices=2)


def multilevel() -> MultilevelScoreMatching:
    return MultilevelScoreMatching(mlp_levels(5, 8, 2), StandardNormal(5), noise=(0.1, 0.5), sampler=SHORT).double()


def diffusive_classification() -> DiffusiveClassification:
    f, reference = mlp_levels(5, 8, 3), StandardNormal(5)
    return DiffusiveClassification(
        f, reference, noise=(0.0, 0.3, 0.7), sampler=SHORT, copies=4, score_weight=0.5
    ).double()


def energy_matching() -> EnergyMatching:
    sweep = RampedLangevin(3, 0.1)
    return EnergyMatching(data_ebm(), temperature=0.2, sampler=sweep, data_sampler=SHORT, flow_share=0.0)


def trimmed_ensemble() -> TrimmedEnsemble:
    return TrimmedEnsemble(Ensemble(5, 8, 2), HeavyTails(torch.ones(5)), perturb=GaussianNoise(0.2)).double()


def cooperative_recovery() -> CooperativeRecovery:
    initializer = MLPDenoiser(5, 8)
    for p in initializer.parameters():  # as made it is the identity, and its inner layers have no gradient
        nn.init.normal_(p, std=0.3)
    return CooperativeRecovery(
        LevelMLP(5, 8), initializer, StandardNormal(5), noise=(0.1, 0.5, 0.9), sampler=SHORT, proposal_noise=0.1
    ).double()


def diffusion_amortized() -> DiffusionAmortized:
    amortizer = LatentDiffusion(2, mlp([5, 8, 4], "silu"), 4, width=8, steps=3)
    return DiffusionAmortized(
        prior(), generator(), amortizer, prior_sampler=SHORT, posterior_sampler=SHORT, average=0.5
    ).double()


def discrepancy_prior() -> DiscrepancyPrior:
    return DiscrepancyPrior(
        prior(), generator(), prior_sampler=SHORT, posterior_sampler=SHORT, perturb=GaussianNoise(0.25), contrasts=3,
        inference=inference(),
    )  # fmt: skip


def mixture_prior() -> MixturePrior:
    return MixturePrior(
        EBM(mlp_f(2, 8, "silu"), EMMixture(2, 2)), generator(), inference(), prior_sampler=SHORT,
        posterior_sampler=SHORT, memory=12, phases=(0.5, 0.6), contrasts=20,
    ).double()  # fmt: skip
