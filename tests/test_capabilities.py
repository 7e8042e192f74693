"""Each capability of each algorithm works on a tiny instance, or raises Unsupported with a sentence.

``EXPECTED`` says which; a new algorithm is one line there.
"""

from __future__ import annotations

import pytest
import torch
from cases import CASES, Case
from small_models import inference
from torch import Tensor

from absynth.algorithms import VAE, Algorithm
from absynth.errors import InputError, Unsupported
from absynth.guard import Remedies
from absynth.samplers import Langevin
from absynth.seeding import stream
from absynth.types import Batch

N = 3


def is_example(x: Tensor, batch: Batch) -> None:
    assert x.shape == batch.x.shape
    assert x.dtype == batch.x.dtype
    assert x.isfinite().all()
    assert not x.requires_grad


def chain(model: Algorithm, batch: Batch) -> None:
    found = model.chain(batch.c)
    rng = stream(1)
    start = found.start.sample(N, rng)
    end = found.run(found.density.log_density, start, rng=rng)
    assert found.density.log_density(end).shape == (N,)
    is_example(found.generate(end), batch)
    assert found.steps > 0
    longer = found.with_steps(found.steps + 2)
    assert (longer.steps, longer.rounds) == (found.steps + 2, 1)
    if not found.latent:
        torch.testing.assert_close(found.tempered(end), found.density.log_density(end) / found.temperature)


def data_chain(model: Algorithm, batch: Batch) -> None:
    assert not model.data_chain().latent


def refinement(model: Algorithm, batch: Batch) -> None:
    found = model.refinement(batch.c)
    is_example(found.run(found.density.log_density, found.start.sample(N, stream(1)), rng=stream(2)), batch)


def short_run(model: Algorithm, batch: Batch) -> None:
    found = model.short_run()
    z = found.start.sample(N, stream(1))
    is_example(found(z).detach(), batch)
    assert torch.equal(found.between(z, z.flip(0), 0.0), z)


def log_prob(model: Algorithm, batch: Batch) -> None:
    assert model.log_prob(batch.x).shape == (N,)


def anomaly_scores(model: Algorithm, batch: Batch) -> None:
    found = model.anomaly_scores(batch.x, steps=2, rng=stream(1))
    assert found.note
    for score in found.scores.values():
        assert score.shape == (N,)
        assert score.isfinite().all()
        assert not score.requires_grad
    torch.testing.assert_close(found.score, model.anomaly_score(batch.x, steps=2, rng=stream(1)))


def complete(model: Algorithm, batch: Batch) -> None:
    known = torch.zeros(batch.x[0].numel(), dtype=torch.bool)
    known[::2] = True
    known = known.view(1, *batch.x.shape[1:])
    x = model.complete(lambda v: torch.where(known, batch.x, v), N, rng=stream(1))
    is_example(x, batch)
    assert torch.equal(x[known.expand_as(x)], batch.x[known.expand_as(x)])
    other = model.complete(lambda v: torch.where(known, batch.x, v), N, steps=2, rng=stream(1))
    assert not torch.equal(x, other)


def translations(model: Algorithm, batch: Batch) -> None:
    found = model.translations()
    if not found:
        raise Unsupported("no translations: a dictionary that is empty says so")
    source = batch.x if "x_to_y" in found else batch.c
    for way in found.values():
        initial, refined = way.apply(source, rng=stream(1))
        is_example(initial, batch)
        is_example(refined, batch)
        if way.invert is not None:
            assert way.invert(initial).shape == source.shape


def sample_prior(model: Algorithm, batch: Batch) -> None:
    z = model.sample_prior(N, batch.c, rng=stream(1))
    assert len(z) == N
    assert not z.requires_grad


def latent_density(model: Algorithm, batch: Batch) -> None:
    density = model.latent_density(batch.c)
    z = model.sample_prior(N, batch.c, rng=stream(1))
    assert density.log_density(z).shape == (N,)
    assert density.reference.sample(N, stream(2)).shape == z.shape


def posterior(model: Algorithm, batch: Batch) -> None:
    z = model.sample_prior(N, batch.c, rng=stream(1))
    log_density = model.posterior(batch.x, batch.c)
    expected = model.latent_density(batch.c).log_density(z) + model.likelihood(z, batch.c).log_prob(batch.x)
    torch.testing.assert_close(log_density(z), expected)


def sample_posterior(model: Algorithm, batch: Batch) -> None:
    z = model.sample_posterior(batch.x, batch.c, rng=stream(1))
    assert z.shape == model.sample_prior(N, batch.c, rng=stream(1)).shape
    assert not z.requires_grad
    assert not torch.equal(z, model.sample_posterior(batch.x, batch.c, rng=stream(2)))


def encode(model: Algorithm, batch: Batch) -> None:
    assert len(model.encode(batch.x, batch.c).mode) == N


def generate(model: Algorithm, batch: Batch) -> None:
    z = model.sample_prior(N, batch.c, rng=stream(1))
    is_example(model.generate(z, batch.c), batch)
    is_example(model.draw(z, batch.c, rng=stream(2)), batch)


def classify(model: Algorithm, batch: Batch) -> None:
    log_p = model.classify(batch.x)
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(N, dtype=log_p.dtype))


CAPABILITIES = {
    f.__name__: f
    for f in (
        chain, data_chain, refinement, short_run, log_prob, anomaly_scores, complete, translations, sample_prior,
        latent_density, posterior, sample_posterior, encode, generate, classify,
    )
}  # fmt: skip

DENSITY = {"chain", "data_chain", "log_prob", "anomaly_scores", "complete"}
LATENT = {"sample_prior", "latent_density", "posterior", "generate"}
INFERS = LATENT | {"sample_posterior", "anomaly_scores"}
CHAINED = INFERS | {"complete", "chain"}
EXPECTED = {
    "LatentBelief": CHAINED - {"anomaly_scores", "complete"} | {"encode"},
    "LatentPrior": CHAINED,
    "LatentPrior with inference": CHAINED | {"encode"},
    "LatentPrior with stored chains": CHAINED,
    "DiffusionAmortized": CHAINED,
    "DiscrepancyPrior": CHAINED | {"encode"},
    "MixturePrior": CHAINED | {"encode"},
    "MixturePrior later": CHAINED | {"encode"},
    "AlternatingBackprop": CHAINED - {"chain"},
    "AmortizedLatentPrior": CHAINED | {"encode"},
    "SymbolVector": CHAINED | {"encode", "classify"},
    "InformationBottleneck": CHAINED | {"encode", "classify"},
    "LatentPrior of sentences": CHAINED - {"complete"},
    "LatentPrior with a feature map": CHAINED,
    "EnergyDiscrepancy": DENSITY,
    "DenoisingScoreMatching": DENSITY,
    "SlicedScoreMatching": DENSITY,
    "MultilevelScoreMatching": DENSITY,
    "DiffusiveClassification": DENSITY,
    "EnergyMatching": DENSITY,
    "TrimmedEnsemble": DENSITY - {"complete", "chain"},
    "MaximumLikelihood from noise": DENSITY | {"short_run"},
    "MaximumLikelihood persistent": DENSITY,
    "MaximumLikelihood from data": DENSITY,
    "MaximumLikelihood with missing entries": DENSITY | {"short_run"},
    "MaximumLikelihood given labels": {"chain"},
    "LearnedRecovery": DENSITY,
    "ImprovedContrastiveDivergence": DENSITY,
    "Frame": DENSITY,
    "FilterPursuit": DENSITY,
    "SparseFrame": DENSITY,
    "TexturePyramid": set(),
    "Patchwise": set(),
    "InverseControl": set(),
    "JointEnergy": DENSITY | {"classify"},
    "Introspective": DENSITY | {"classify"},
    "NoiseContrastive": DENSITY | {"classify"},
    "DiffusionRecovery": DENSITY,
    "CooperativeRecovery": DENSITY,
    "MultiGrid": DENSITY,
    "CoarseToFine": DENSITY,
    "Cooperative fast": DENSITY | LATENT | {"refinement"},
    "Cooperative full": DENSITY | INFERS | {"refinement"},
    "DualTeaching": DENSITY | INFERS | {"refinement", "encode"},
    "VAE": INFERS | {"encode"},
    "VariationalTeaching": DENSITY | INFERS | {"refinement", "encode"},
    "DivergenceTriangle": DENSITY | INFERS | {"refinement", "encode"},
    "JointVAE": INFERS | {"encode"},
    "ConditionalCooperative": LATENT | {"chain", "refinement", "translations"},
    "CycleCooperative": {"translations"},
    "CycleSequences": {"translations"},
}
"""What each algorithm can do. Those whose networks need a condition are asked without one by some capabilities: what
these are is the recipe's to know, so they are left out here (:data:`CONDITIONAL`)."""

CONDITIONAL = {"LatentBelief", "ConditionalCooperative", "MaximumLikelihood given labels"}
WITHOUT_CONDITION = {"data_chain", "short_run", "log_prob", "anomaly_scores", "complete"}


LAYERS = (
    "MaximumLikelihood from noise", "MaximumLikelihood persistent", "MaximumLikelihood from data",
    "MaximumLikelihood with missing entries", "LearnedRecovery", "ImprovedContrastiveDivergence", "JointEnergy",
    "MultiGrid",
)  # fmt: skip
SPECIAL = {
    "TexturePyramid": {"set_size"},
    "Patchwise": {"set_size", "redraw", "enlarge"},
    "InverseControl": {"controls", "control_names"},
    **{kind: {"features"} for kind in LAYERS},
}
"""What few algorithms can do."""


def supports(case: Case, name: str) -> bool:
    """Whether a capability works; an Unsupported must be one sentence that names the method."""
    model = case.build().eval()
    try:
        CAPABILITIES[name](model, case.batch(N))
    except Unsupported as error:
        text = str(error)
        assert "\n" not in text
        assert len(text.split()) > 3
        return False
    return True


def test_every_algorithm_says_what_it_can_do():
    assert EXPECTED.keys() == CASES.keys()


@pytest.mark.parametrize("name", CAPABILITIES)
@pytest.mark.parametrize("kind", CASES)
def test_a_capability_works_or_says_why_not(kind, name):
    if kind in CONDITIONAL and name in WITHOUT_CONDITION:
        return
    assert supports(CASES[kind], name) == (name in EXPECTED[kind])


@pytest.mark.parametrize("kind", CASES)
def test_what_few_can_do_the_others_refuse(kind):
    model, batch = CASES[kind].build().eval(), CASES[kind].batch(N)
    calls = {
        "controls": lambda: model.controls(batch.x, batch.c),
        "control_names": model.control_names,
        "set_size": lambda: model.set_size(6),
        "redraw": lambda: model.redraw(batch.x, rng=stream(1)),
        "enlarge": lambda: model.enlarge(2.0, rng=stream(1)),
        "set_frames": lambda: model.set_frames(2),
        "features": lambda: model.features(batch.x),
    }
    if "generate" not in EXPECTED[kind]:
        calls["likelihood"] = lambda: model.likelihood(batch.x)
        calls["draw"] = lambda: model.draw(batch.x, rng=stream(1))
    if kind in CONDITIONAL:
        del calls["features"]
    able, refusals = set(), []
    for name, call in calls.items():
        try:
            call()
            able.add(name)
        except InputError as error:
            refusals.append(str(error))
    assert able == SPECIAL.get(kind, set())
    assert all(len(text.split()) > 3 for text in refusals)


def test_a_broken_capability_is_seen():
    """Controls: an answer of the wrong shape, and one that depends on nothing."""

    class Flat(VAE):
        def anomaly_score(self, x, *, steps=0, rng=None):
            return x.new_zeros(len(x))

        def sample_posterior(self, x, c=None, mask=None, *, rng, index=None):
            return self.encode(x).mode.detach()

    broken = CASES["VAE"]
    case = Case(lambda: Flat(broken.make().generator, inference(), broken.make().prior), broken.batch, broken.players)
    for name in ("anomaly_scores", "sample_posterior"):
        with pytest.raises(AssertionError):
            supports(case, name)


@pytest.mark.parametrize("kind", CASES)
def test_samplers_are_told_apart_and_replaced_by_name(kind):
    model = CASES[kind].build()
    before = model.samplers()
    assert len({id(sampler) for sampler in before.values()}) == len(before)
    for name, sampler in before.items():
        assert model.sampler_name(sampler) == name
        model.replace_sampler(name, Langevin(2, 0.01))
        assert model.samplers()[name] == Langevin(2, 0.01)
        assert {k: v for k, v in model.samplers().items() if k != name} == {
            k: v for k, v in before.items() if k != name
        }
        model.replace_sampler(name, sampler)
    with pytest.raises(InputError, match="expected a sampler of"):
        model.replace_sampler("losses", Langevin(1, 0.1))


@pytest.mark.parametrize("kind", CASES)
def test_the_guard_shortens_the_sampler_of_a_chain_and_no_other(kind):
    model = CASES[kind].build()
    model.losses(*CASES[kind].batches(6), rng=stream(1))
    for record in list(model.chains.values()):
        model = CASES[kind].build()
        name = next(n for n, s in model.samplers().items() if s == record.sampler)
        before = model.samplers()
        Remedies(step_size={name: 0.5}).apply(model)
        after = model.samplers()
        assert after[name].step_size == 0.5 * before[name].step_size
        assert {n: s for n, s in after.items() if n != name} == {n: s for n, s in before.items() if n != name}


@pytest.mark.parametrize("kind", CASES)
def test_steps_of_the_sampling_chain(kind):
    model = CASES[kind].build()
    if model.chain_steps():
        assert model.chain_steps() == (100 if kind == "TrimmedEnsemble" else 3)
        model.set_chain_steps(5)
        assert model.chain_steps() == 5
        if CASES[kind].draws:
            assert model.sample(2, CASES[kind].batch(2).c, rng=stream(1)).isfinite().all()
    else:
        with pytest.raises(Unsupported, match=r"steps sets|leave steps out"):
            model.set_chain_steps(5)


@pytest.mark.parametrize("kind", CASES)
def test_every_loss_is_explained(kind):
    case = CASES[kind]
    assert set(case.build().explain_metrics()) == set(case.players)
