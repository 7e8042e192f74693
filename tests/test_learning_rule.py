"""What every energy learns from: the end of the chain that is named after it, against the data as they are seen.

The gradient of its loss is that of f(end of the chain) − f(data), so a loss that takes where the chain began, a clamped
chain, or another sign is found whatever the networks are. The chains must move on the density that learns, each row
under its own condition, and inference must look at what was refined.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from cases import CASES, F64
from torch import Tensor, nn

from absynth.algorithms import Algorithm
from absynth.density import EBM
from absynth.distributions import observed_log_prob
from absynth.seeding import Streams, noise_like, stream
from absynth.types import Batch

Seen = Callable[[Algorithm, tuple[Batch, ...]], Tensor]


def data(model: Algorithm, batches: tuple[Batch, ...]) -> Tensor:
    return batches[0].x


def other(model: Algorithm, batches: tuple[Batch, ...]) -> Tensor:
    return batches[1].x


def inferred(model: Algorithm, batches: tuple[Batch, ...]) -> Tensor:
    return model.chains["posterior"].end


def drawn(model: Algorithm, batches: tuple[Batch, ...]) -> Tensor:
    """The draw of the inference network, the first that its losses make."""
    return model.encode(batches[0].x, batches[0].c).sample(stream(1)).detach()


def noisy(model: Algorithm, batches: tuple[Batch, ...]) -> Tensor:
    """With the data's noise, the first draw of the losses; where a part is missing, with the end of its own chain."""
    x, mask = batches[0].x, batches[0].mask
    x = x + model.data_noise * noise_like(x, stream(1))
    return x if mask is None else torch.where(mask.bool(), x, model.chains["recovery"].end)


def averaged(model: Algorithm, batches: tuple[Batch, ...]) -> Tensor:
    return nn.functional.avg_pool2d(batches[0].x, 2)


@dataclass(frozen=True)
class Rule:
    """What one player is compared with.

    Args:
        seen: What the energy sees of the data.
        off: Weights of further terms of the loss, which are set to 0.
        frames: Whether examples are sequences whose frames are compared.
    """

    seen: Seen = data
    off: tuple[str, ...] = ()
    frames: bool = False


RULES: dict[str, dict[str, Rule]] = {
    "LatentPrior": {"prior": Rule(inferred)},
    "LatentPrior with inference": {"prior": Rule(inferred)},
    "LatentPrior with stored chains": {"prior": Rule(inferred)},
    "LatentPrior of sentences": {"prior": Rule(inferred)},
    "LatentPrior with a feature map": {"prior": Rule(inferred)},
    "LatentBelief": {"prior": Rule(drawn)},
    "AmortizedLatentPrior": {"prior": Rule(drawn)},
    "SymbolVector": {"prior": Rule(drawn, ("label_weight",))},
    "InformationBottleneck": {"prior": Rule(drawn, ("label_weight", "information_weight"))},
    "DiffusionAmortized": {"prior": Rule(inferred)},
    "MaximumLikelihood from noise": {"ebm": Rule(noisy)},
    "MaximumLikelihood persistent": {"ebm": Rule()},
    "MaximumLikelihood from data": {"ebm": Rule()},
    "MaximumLikelihood with missing entries": {"ebm": Rule(noisy)},
    "MaximumLikelihood given labels": {"ebm": Rule()},
    "ImprovedContrastiveDivergence": {"ebm": Rule(off=("energy_penalty", "through", "entropy"))},
    "Frame": {"ebm": Rule()},
    "FilterPursuit": {"ebm": Rule()},
    "SparseFrame": {"ebm": Rule()},
    "JointEnergy": {"ebm": Rule(off=("label_weight",))},
    "MultiGrid": {"ebms.0": Rule(averaged), "ebms.1": Rule()},
    "Cooperative fast": {"ebm": Rule()},
    "Cooperative full": {"ebm": Rule()},
    "DualTeaching": {"ebm": Rule()},
    "VariationalTeaching": {"ebm": Rule()},
    "CoarseToFine": {"ebm": Rule()},
    "ConditionalCooperative": {"ebm": Rule()},
    "CycleCooperative": {"ebm_x": Rule(), "ebm_y": Rule(other)},
    "CycleSequences": {"ebm_x": Rule(frames=True), "ebm_y": Rule(other, frames=True)},
}
LINES = [(name, player) for name, players in RULES.items() for player in players]

OTHERWISE = {
    "AlternatingBackprop": "no energy",
    "VAE": "no energy",
    "JointVAE": "no chain: test_variational.py",
    "DivergenceTriangle": "no chain: test_variational.py",
    "TexturePyramid": "no energy",
    "Patchwise": "no energy",
    "InverseControl": "an energy of the controls: test_inverse_control.py",
    "NoiseContrastive": "no chain: test_noise_contrastive.py",
    "Introspective": "a classifier of stored ends: test_introspective.py",
    "EnergyDiscrepancy": "no chain: test_energy_discrepancy.py",
    "TrimmedEnsemble": "no chain: test_energy_discrepancy.py",
    "DiscrepancyPrior": "no chain on z",
    "MixturePrior": "no chain on z",
    "MixturePrior later": "no chain on z",
    "DenoisingScoreMatching": "no chain: test_score_matching.py",
    "SlicedScoreMatching": "no chain: test_score_matching.py",
    "LearnedRecovery": "a part of each example: test_learned_recovery.py",
    "MultilevelScoreMatching": "no chain: test_score_matching.py",
    "DiffusiveClassification": "no chain: test_diffusive_classification.py",
    "EnergyMatching": "two chains and a flow: below",
    "DiffusionRecovery": "chains in units of their step: below",
    "CooperativeRecovery": "chains in units of their step: below",
}
"""Algorithms whose rule is another one, and where it is tested."""


def learned(name: str) -> tuple[Algorithm, tuple[Batch, ...], dict[str, Tensor]]:
    """A small algorithm after its losses, with the further terms left out."""
    model, batches = CASES[name].build(), CASES[name].batches(6)
    for weight in {w for rule in RULES.get(name, {}).values() for w in rule.off}:
        assert isinstance(getattr(model, weight), float)
        setattr(model, weight, 0.0)
    return model, batches, model.losses(*batches, rng=stream(1))


def slopes(value: Tensor, model: nn.Module) -> list[Tensor]:
    parameters = list(model.parameters())
    found = torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def agrees(name: str, player: str, *, sign: float = 1.0, at: str = "end") -> None:
    """The gradient of the player's loss is that of f(end) − f(data)."""
    compare(name, player, *learned(name), sign=sign, at=at)


def compare(
    name: str,
    player: str,
    model: Algorithm,
    batches: tuple[Batch, ...],
    losses: dict[str, Tensor],
    *,
    sign: float = 1.0,
    at: str = "end",
) -> None:
    rule, ebm = RULES[name][player], model.get_submodule(player)
    assert isinstance(ebm, EBM)
    negative, positive = getattr(model.chains[player], at), rule.seen(model, batches)
    if rule.frames:
        negative, positive = negative.flatten(0, 1), positive.flatten(0, 1)
    f = ebm(None if player in ("ebm_x", "ebm_y") else condition(name, batches)).f
    expected = slopes(sign * (f(negative).mean() - f(positive).mean()), ebm)
    for found, wanted in zip(slopes(losses[player], ebm), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def condition(name: str, batches: tuple[Batch, ...]) -> Tensor | None:
    return None if "x_to_y" in CASES[name].build().translations() else batches[0].c


def test_every_algorithm_has_a_rule():
    assert RULES.keys() | OTHERWISE.keys() == CASES.keys()
    assert not RULES.keys() & OTHERWISE.keys()


@pytest.mark.parametrize(("name", "player"), LINES)
def test_an_energy_learns_from_the_end_of_its_own_chain_and_from_the_data(name, player):
    agrees(name, player)


@pytest.mark.parametrize(("name", "player"), LINES)
def test_that_test_sees_another_sign_and_the_start_of_the_chain(name, player):
    with pytest.raises(AssertionError):
        agrees(name, player, sign=-1.0)
    with pytest.raises(AssertionError):
        agrees(name, player, at="start")


@pytest.mark.parametrize(("name", "player"), LINES)
def test_its_chain_moves_on_its_own_density_each_row_under_its_own_condition(name, player):
    model, batches, _ = learned(name)
    record, ebm = model.chains[player], model.get_submodule(player)
    density = ebm(condition(name, batches)).log_density
    x, frames = record.end, RULES[name][player].frames
    expected = density(x.flatten(0, 1)).unflatten(0, x.shape[:2]).sum(1) if frames else density(x)
    torch.testing.assert_close(record.log_density(x), expected)
    if condition(name, batches) is not None:
        assert not torch.allclose(record.log_density(x), ebm(condition(name, batches).roll(1, 0)).log_density(x))


@pytest.mark.parametrize(
    ("name", "player"),
    [
        line for line in LINES
        if line[0] in {"CoarseToFine", "MultiGrid", "ConditionalCooperative", "CycleCooperative"}
    ],
)  # fmt: skip
def test_the_data_are_seen_with_noise_of_the_given_deviation(name, player, monkeypatch):
    """With noise that is 2 everywhere, the data are moved by twice its deviation."""
    model, batches = CASES[name].build(), CASES[name].batches(6)
    model.data_noise = 0.3
    monkeypatch.setattr(sys.modules[type(model).__module__], "noise_like", lambda x, rng: torch.full_like(x, 2.0))
    losses = model.losses(*batches, rng=stream(1))
    compare(name, player, model, tuple(b._replace(x=b.x + 0.6) for b in batches), losses)


REFINED = {"Cooperative full"}
POSTERIOR = [name for name in CASES if "posterior" in learned(name)[0].chains]


@pytest.mark.parametrize("name", POSTERIOR)
def test_posterior_chains_move_on_the_posterior_of_the_data_or_of_what_was_refined(name):
    model, (batch,), _ = learned(name)
    chain = model.chains["posterior"]
    x = model.chains["ebm"].end if name in REFINED else batch.x
    likelihood = observed_log_prob(model.likelihood(chain.end, batch.c), x, batch.mask)
    expected = model.latent_density(batch.c).log_density(chain.end) + model.likelihood_weight * likelihood
    torch.testing.assert_close(chain.log_density(chain.end), expected)
    assert not torch.equal(chain.start, chain.end)


@pytest.mark.parametrize("name", ["DiffusionRecovery", "CooperativeRecovery"])
def test_recovery_learns_from_chains_that_begin_at_the_noisier_example(name):
    """In units of each row's step; cooperative recovery begins at the initializer's proposal."""
    model, (batch,), losses = learned(name)
    rng, chain = stream(1), model.chains["ebm"]
    t = (model.levels * torch.rand(6, dtype=F64, generator=rng)).long()
    y, x_next = model.diffuse(batch.x, t, rng=rng)
    unit = model.unit[t][:, None]
    start = model.propose(x_next, t, rng=rng) if name == "CooperativeRecovery" else x_next
    torch.testing.assert_close(unit * chain.start, start)
    assert not torch.allclose(start, y)
    weight = (model.unit * model.sampler.step_size)[t] ** 2 * model.width[0] / model.width[t]
    f = model.ebm(t).f
    expected = slopes((weight * (f(unit * chain.end) - f(y))).mean(), model.ebm)
    for found, wanted in zip(slopes(losses["ebm"], model.ebm), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(chain.log_density(chain.end), model.recovery(x_next, t)(unit * chain.end))


def test_energy_matching_learns_from_both_its_chains(monkeypatch):
    model, batch = CASES["EnergyMatching"].build(), CASES["EnergyMatching"].batch(6)
    ends = []
    run_chain = type(model).run_chain

    def record(self, *args, **kwargs):
        ends.append((args[3], run_chain(self, *args, **kwargs)))
        return ends[-1][1]

    monkeypatch.setattr(type(model), "run_chain", record)
    with_chains = model.losses(batch, rng=stream(1))["ebm"]
    flow = model.flow_loss(batch.x, rng=stream(1))
    (near_start, near), (_, far) = ends
    assert torch.equal(near_start, batch.x[3:])
    density = model.ebm().log_density
    x_neg = torch.cat([far, near])
    expected = flow + model.temperature * model.contrast_weight * (density(x_neg).mean() - density(batch.x).mean())
    torch.testing.assert_close(with_chains, expected)


OTHER_ROWS = {
    "LatentPrior with stored chains", "DiffusionAmortized", "DiscrepancyPrior", "MixturePrior later",
    "DiffusiveClassification", "EnergyMatching", "TrimmedEnsemble", "EnergyDiscrepancy", "MaximumLikelihood persistent",
    "LearnedRecovery", "ImprovedContrastiveDivergence", "Frame", "FilterPursuit", "SparseFrame", "TexturePyramid",
    "Patchwise", "JointEnergy", "Introspective",
}  # fmt: skip
"""Algorithms that also draw another number of rows than the batch has."""


@pytest.mark.parametrize("name", [name for name in CASES if name not in OTHER_ROWS])
def test_a_batch_twice_over_has_the_losses_of_the_batch(name):
    """With the same draws for the same rows, so every term is a mean over the batch."""
    case, seeds = CASES[name], [*range(6)]
    once = case.build().losses(*case.batches(6), rng=Streams(1, seeds))
    batches = tuple(Batch(*(None if v is None else torch.cat([v, v]) for v in batch)) for batch in case.batches(6))
    twice = case.build().losses(*batches, rng=Streams(1, seeds * 2))
    torch.testing.assert_close(twice, once)


BUFFERED = {
    "LatentPrior with stored chains", "MaximumLikelihood persistent", "ImprovedContrastiveDivergence", "JointEnergy",
}  # fmt: skip
"""Algorithms whose stored chains are fewer than eight batches have."""


@pytest.mark.parametrize("name", sorted(OTHER_ROWS - BUFFERED))
def test_losses_do_not_grow_with_the_batch(name):
    """Eight batches in one have about the mean of their losses: a sum would be eight times as large."""
    case, found = CASES[name], []
    for copies, seeds in ((1, 6), (8, 2)):
        batches = tuple(Batch(*(None if v is None else torch.cat([v] * copies) for v in b)) for b in case.batches(6))
        losses = [case.build().losses(*batches, rng=stream(seed)) for seed in range(seeds)]
        found.append({player: sum(float(each[player].detach()) for each in losses) / seeds for player in losses[0]})
    for player, loss in found[0].items():
        assert found[1][player] == pytest.approx(loss, rel=0.5, abs=0.2)


@pytest.mark.parametrize(
    ("test", "name"),
    [
        (test_a_batch_twice_over_has_the_losses_of_the_batch, "VAE"),
        (test_losses_do_not_grow_with_the_batch, "DiscrepancyPrior"),
        (test_losses_do_not_grow_with_the_batch, "EnergyMatching"),
    ],
)
def test_those_tests_see_a_sum(test, name, monkeypatch):
    monkeypatch.setattr(Tensor, "mean", Tensor.sum)
    with pytest.raises(AssertionError):
        test(name)
