"""The guard: it finds each kind of trouble, nothing on healthy runs, and what it does about it holds."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import pytest
import torch
from small import ModesPrior
from test_training import CPU, PersistentToy, assert_same_state, journal, metrics, state
from torch import nn

import absynth
from absynth import checkpoint, recipes, training, updates
from absynth.algorithms import ChainRecord, LatentPrior
from absynth.data.toy import FourModes
from absynth.errors import Diverged, InputError
from absynth.guard import Guard, Remedies, Trouble, curvature, stability
from absynth.metrics.grid import Grid
from absynth.networks.mlp import mlp_f
from absynth.samplers import Langevin
from absynth.seeding import stream

# What it finds: made-up rows -----------------------------------------------------------------------------------------

SAMPLERS = {"prior": "prior_sampler", "posterior": "posterior_sampler"}


def look(guard: Guard, steps: int, **made_up) -> Trouble | None:
    """Feed made-up rows; each of loss, gradient, end, start and stability is a function of the step."""
    usual = {"loss": lambda t: 0.1, "gradient": lambda t: 1.0, "end": lambda t: 2.0, "start": lambda t: 2.5}
    f = usual | made_up
    for t in range(steps):
        seen = {
            "loss": {"prior": f["loss"](t), "generator": -1e6},
            "gradient": {"prior": f["gradient"](t), "generator": 1e5},
            "reach": {"prior": f["end"](t), "prior start": f["start"](t), "posterior": 1.0, "posterior start": 1.0},
        }
        fresh = {"prior": f["stability"](t), "posterior": 3.0} if "stability" in f and t % 50 == 0 else {}
        trouble = guard.check(t, seen, fresh, SAMPLERS)
        if trouble:
            return trouble
    return None


def wandering(t: int) -> float:
    """A gap that wanders about 0, slowly growing in scale, with a rare spike."""
    return (0.5 + t / 400) * math.sin(t / 7) * math.cos(t / 131) + (50.0 if t % 97 == 0 else 0.0)


HEALTHY = {
    "quiet": {},
    "wandering gap": {"loss": wandering},
    "large but steady gap": {"loss": lambda t: -3000.0 + 10 * math.sin(t)},
    "gap that grows below the limit": {"loss": lambda t: min(9.0, 0.001 * math.exp(t / 20))},
    "gradient that grows and settles": {"gradient": lambda t: 0.02 + 1.5 / (1 + math.exp(-(t - 300) / 40))},
    "gradient that was zero at first": {"gradient": lambda t: 0.0 if t < 500 else 0.3},
    "gradient that dies away": {"gradient": lambda t: math.exp(-t / 50)},
    "chain that starts at zero": {"start": lambda t: 0.0},
    "chain that roams": {"end": lambda t: 20.0},
    "stability below its limit": {"stability": lambda t: 2.4},
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_rows_are_no_trouble(name):
    assert look(Guard({"prior"}), 2000, **HEALTHY[name]) is None


def growing(rate: float, begin: int):
    """Exponential growth by 10 every ``rate`` updates from ``begin`` on."""
    return lambda t: 0.5 * 10 ** (max(0, t - begin) / rate)


TROUBLES = {
    "nan loss": ({"loss": lambda t: math.nan if t == 7 else 0.0}, "loss", "prior", None, (7, 7), "nan"),
    "infinite loss": ({"loss": lambda t: -math.inf if t == 7 else 0.0}, "loss", "prior", None, (7, 7), "-inf"),
    "infinite gradient": (
        {"gradient": lambda t: math.inf if t == 7 else 0.0}, "gradient", "prior", None, (7, 7), "inf"
    ),
    "gap jumps": (
        {"loss": lambda t: -0.5 if t < 600 else -2000.0}, "gap", "prior", "prior_sampler", (600, 620), "is 2e+03"
    ),
    "gap grows by 10 in 50 updates": (
        {"loss": growing(50, 400)}, "gap", "prior", "prior_sampler", (450, 500), "f(pos) − f(neg)"
    ),
    "gap grows by 10 in 200 updates": (
        {"loss": growing(200, 400)}, "gap", "prior", "prior_sampler", (600, 900), "f(pos) − f(neg)"
    ),
    "gap grows by 10 in 600 updates": (
        {"loss": growing(600, 0)}, "gap", "prior", "prior_sampler", (780, 1300), "f(pos) − f(neg)"
    ),
    "gradient grows by 10 in 50 updates": (
        {"gradient": growing(50, 400)}, "gradient", "prior", None, (490, 560), "gradient norm"
    ),
    "chain leaves its range": (
        {"end": lambda t: 2.0 if t < 333 else 26.0}, "chain", "the prior chain", "prior_sampler", (333, 333),
        "reached 26",
    ),
    "chain is not finite": (
        {"end": lambda t: math.nan if t == 9 else 2.0, "loss": lambda t: math.nan if t == 9 else 0.0},
        "chain", "the prior chain", "prior_sampler", (9, 9), "not finite",
    ),
    "persistent chain drifts away": (
        {"end": lambda t: 2.0 + t / 10, "start": lambda t: 2.0 + t / 10},
        "chain", "the prior chain", "prior_sampler", (900, 1200), "reached",
    ),
    "stability": (
        {"stability": lambda t: 1.0 + t / 100}, "stability", "the prior chain", "prior_sampler", (200, 200),
        "δ²λ = 3.00",
    ),
    "stability not a number": (
        {"stability": lambda t: math.nan}, "stability", "the prior chain", "prior_sampler", (0, 0), "δ²λ = nan"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_is_found_with_its_player_step_and_evidence(name):
    rows, kind, who, sampler, (first, last), evidence = TROUBLES[name]
    found = look(Guard({"prior"}), 2000, **rows)
    assert found is not None
    assert (found.kind, found.who, found.sampler) == (kind, who, sampler)
    assert first <= found.step <= last
    assert evidence in found.evidence
    assert str(found).startswith(f"step {found.step}: {who}: ")


def test_only_an_ebm_has_a_gap_and_only_its_chain_a_limit():
    """The generator's loss jumps with the scale of the data, and a posterior's δ²λ near 3 is usual."""
    rows = {"loss": lambda t: -0.5 if t < 600 else -2000.0, "stability": lambda t: 3.0}
    assert look(Guard(set()), 1000, **rows) is None


def test_histories_survive_a_checkpoint():
    whole, first = Guard({"prior"}), Guard({"prior"})
    rows = {"loss": growing(200, 400)}
    assert look(first, 410, **rows) is None
    second = Guard({"prior"})
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.state_dict() == first.state_dict()
    found = look(whole, 2000, **rows)
    for t in range(410, 2000):
        seen = {"loss": {"prior": rows["loss"](t)}, "gradient": {}, "reach": {}}
        trouble = second.check(t, seen, {}, {})
        if trouble:
            break
    assert trouble.step == found.step
    assert trouble.evidence == found.evidence


# Remedies ------------------------------------------------------------------------------------------------------------


def ladder(trouble: Trouble, tries: int, step_size: float = 0.5, learning_rate: float = 0.5) -> list[Remedies]:
    remedies = [Remedies()]
    for _ in range(tries):
        remedies.append(remedies[-1].after(trouble, step_size, learning_rate)[0])
    return remedies[1:]


def test_the_ladder_of_remedies():
    steps = [r.step_size for r in ladder(Trouble(1, "stability", "the prior chain", "prior_sampler", ""), 3)]
    assert steps == [{"prior_sampler": 0.5}, {"prior_sampler": 0.25}, {"prior_sampler": 0.125}]
    gap = ladder(Trouble(1, "gap", "prior", "prior_sampler", ""), 4)
    assert [(r.step_size, r.learning_rate) for r in gap] == [
        ({}, {}),
        ({"prior_sampler": 0.5}, {}),
        ({"prior_sampler": 0.5}, {"prior": 0.5}),
        ({"prior_sampler": 0.25}, {"prior": 0.5}),
    ]
    assert [r.learning_rate for r in ladder(Trouble(1, "loss", "generator", None, ""), 3)] == [
        {}, {"generator": 0.5}, {"generator": 0.25}
    ]  # fmt: skip
    chain = ladder(Trouble(1, "chain", "the prior chain", "prior_sampler", ""), 3)
    assert [r.step_size for r in chain] == [{}, {"prior_sampler": 0.5}, {"prior_sampler": 0.25}]
    assert [(r.tries, r.stream) for r in chain] == [(1, 1), (2, 2), (3, 3)]
    forbidden = ladder(Trouble(1, "gap", "prior", "prior_sampler", ""), 5, 1.0, 1.0)[-1]
    assert (forbidden.step_size, forbidden.learning_rate, forbidden.stream) == ({}, {}, 5)


def test_remedies_say_what_they_do_and_keep_the_temperature():
    remedies, action = Remedies(1, 1).after(Trouble(1, "chain", "x", "prior_sampler", ""), 0.5, 0.5)
    assert action == "another random stream, step size of prior_sampler x 0.5"
    algorithm = ModesPrior().resolve().algorithm()
    algorithm.prior_sampler = Langevin(3, 0.4, 0.04)
    remedies.apply(algorithm)
    assert algorithm.prior_sampler == Langevin(3, 0.2, 0.02)
    assert algorithm.posterior_sampler.step_size == 0.1
    both = Remedies(3, 3, {"prior_sampler": 0.5}, {"prior": 0.25})
    assert str(both) == "step size of prior_sampler x 0.5, learning rate of prior x 0.25"


# Curvature -----------------------------------------------------------------------------------------------------------


def test_curvature_of_a_quadratic_is_its_largest_eigenvalue(rng):
    basis = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=rng))[0]
    precision = basis @ torch.diag(torch.tensor([16.0, 2.0, 0.5], dtype=torch.float64)) @ basis.T
    x = torch.randn(40, 3, dtype=torch.float64, generator=rng)
    chain = ChainRecord(Langevin(1, 0.5), lambda x: -0.5 * ((x @ precision) * x).sum(1), x, x)
    found = curvature(chain, 0.1, rng=rng)
    assert found.shape == (32,)
    assert found.median().item() == pytest.approx(16, rel=1e-3)
    assert found.max().item() < 16 + 1e-6
    torch.testing.assert_close(curvature(chain, 3.0, rng=rng, iterations=60), torch.full_like(found, 16.0))

    measured = stability({"prior": chain}, rng=rng)
    assert measured["prior"] == pytest.approx(0.25 * 16, rel=1e-3)


def test_curvature_of_a_piecewise_linear_network_sees_its_kinks(rng):
    torch.manual_seed(0)
    f = mlp_f(2, 64, "leaky_relu").double()
    with torch.no_grad():
        for p in f.parameters():
            p.mul_(3)
    x = torch.randn(64, 2, dtype=torch.float64, generator=rng)
    hessians = torch.stack([torch.autograd.functional.hessian(lambda v: f(v[None])[0], row) for row in x])
    assert not hessians.any()
    assert curvature(ChainRecord(Langevin(1, 0.4), f, x, x), 0.4, rng=rng).median() > 0.1


# Runs ----------------------------------------------------------------------------------------------------------------

TINY = replace(ModesPrior().tiny().resolve(), steps=60, checkpoint_every=10, log_every=10, keep=100)


class Cursed(LatentPrior):
    """Its loss is not a number under the generators of given seeds."""

    def losses(self, batch, *, rng):
        losses = super().losses(batch, rng=rng)
        return {k: v * math.nan if rng.initial_seed() in self.curses else v for k, v in losses.items()}


@dataclass(frozen=True, kw_only=True)
class CursedToy(ModesPrior):
    """Step ``cursed`` fails under the first ``streams`` random streams."""

    cursed: int = 25
    streams: int = 1

    def algorithm(self) -> LatentPrior:
        a = super().algorithm()
        samplers = {"prior_sampler": a.prior_sampler, "posterior_sampler": a.posterior_sampler}
        cursed = Cursed(a.prior, a.generator, **samplers)
        cursed.curses = set()
        for retry in [(), *((updates.RETRY_STREAM, n) for n in range(1, self.streams))]:
            cursed.curses.add(stream(self.seed, 0, self.cursed, *retry).initial_seed())
        return cursed


CURSED = CursedToy(**TINY.fields())


@pytest.mark.parametrize(
    "recipe", [replace(TINY, steps=52), pytest.param(replace(PersistentToy(), steps=52), marks=pytest.mark.slow)]
)
def test_a_healthy_run_is_untouched(recipe, tmp_path):
    absynth.fit(recipe, tmp_path / "on")
    absynth.fit(replace(recipe, guard_retries=0), tmp_path / "off")
    assert (tmp_path / "on/model.safetensors").read_bytes() == (tmp_path / "off/model.safetensors").read_bytes()
    on, off = state(tmp_path / "on"), state(tmp_path / "off")
    for key in ("algorithm", "optimizers", "ema", "buffers"):
        assert_same_state({"": on[key]}, {"": off[key]})
    rows = [[{**row, "stability": 0} for row in metrics(tmp_path / run)] for run in ("on", "off")]
    assert rows[0] == rows[1]
    assert any(row["stability"] for row in metrics(tmp_path / "on"))


def test_a_roll_back_restores_exactly_and_goes_on_with_other_noise(tmp_path):
    absynth.fit(TINY, tmp_path / "healthy")
    absynth.fit(CURSED, tmp_path / "cursed")
    events = [row["event"] for row in journal(tmp_path / "cursed")]
    assert events == ["start", "guard", "finish"]
    _, said, finished = journal(tmp_path / "cursed")
    assert said["step"] == 25
    assert "1 roll-backs (went on with another random stream" in finished["text"]
    assert said["text"] == "step 25: prior: its loss is nan; back to step 20 with another random stream"
    healthy, cursed = state(tmp_path / "healthy", 20), state(tmp_path / "cursed", 20)
    assert cursed.pop("remedies") == vars(Remedies(1, 1))
    del healthy["remedies"]
    assert_same_state(healthy, cursed)
    after = [state(tmp_path / run, 30)["algorithm"]["prior.f.0.weight"] for run in ("healthy", "cursed")]
    assert not torch.equal(*after)
    assert [row["step"] for row in metrics(tmp_path / "cursed")] == [10, 20, 30, 40, 50, 60]


@pytest.mark.slow
def test_remedies_survive_a_kill_at_once(tmp_path, monkeypatch):
    """A run killed right after a roll-back equals one that lived: the checkpoint gone back to learns the remedies."""
    recipe = replace(CURSED, streams=2)
    absynth.fit(recipe, tmp_path / "whole")
    write = training.Journal.write

    def dies(self, event, *arguments, **numbers):
        write(self, event, *arguments, **numbers)
        if event == "guard" and numbers["tries"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Journal, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        absynth.fit(recipe, tmp_path / "cut")
    monkeypatch.undo()
    assert state(tmp_path / "cut")["remedies"] == vars(Remedies(2, 2, {}, {"prior": 0.5}))
    assert state(tmp_path / "cut")["step"] == 10  # the second try goes back one checkpoint further
    assert json.loads((tmp_path / "cut/config.json").read_text())["step"] == 10  # and so do the weights
    absynth.fit(recipe, tmp_path / "cut")
    assert_same_state(state(tmp_path / "whole"), state(tmp_path / "cut"))
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "cut")


def test_a_lowered_learning_rate_is_used(tmp_path):
    one = updates.Training(replace(TINY, energy_lr=0.5), CPU)
    one.remedies = Remedies(learning_rate={"prior": 0.25})
    one.learn(next(one.recipe.batches()))
    one.advance()
    assert one.optimizers["prior"].param_groups[0]["lr"] == 0.125


def test_a_shorter_step_is_recorded_and_applied_by_load(tmp_path):
    # δ²λ of the untrained prior is about 0.01: a limit of 0.001 takes two halvings of δ.
    recipe = replace(TINY, guard_stability=0.001, guard_difference=1e9, steps=5, checkpoint_every=2)
    trained = absynth.fit(recipe, tmp_path)
    remedies = json.loads((tmp_path / "config.json").read_text())["remedies"]
    factor = remedies["step_size"]["prior_sampler"]
    assert factor == 0.5 ** remedies["tries"]
    assert remedies["tries"] >= 2
    assert trained.prior_sampler.step_size == absynth.load(tmp_path).prior_sampler.step_size == 0.1 * factor
    assert trained.posterior_sampler.step_size == 0.1
    absynth.fit(replace(recipe, steps=8), tmp_path)
    assert absynth.load(tmp_path).prior_sampler.step_size == 0.1 * factor


def test_tries_used_up_end_with_a_diagnosis_and_good_weights(tmp_path):
    recipe = replace(CURSED, streams=100, guard_retries=3)
    with pytest.raises(Diverged) as raised:
        absynth.fit(recipe, tmp_path)
    message = str(raised.value)
    assert message.startswith("step 25: prior: its loss is nan. 3 roll-backs did not help")
    assert "\n" not in message
    assert journal(tmp_path)[-1]["event"] == "diverged"
    loaded = absynth.load(tmp_path)
    saved = state(tmp_path)
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, saved["algorithm"][name])
        assert value.isfinite().all()
    with pytest.raises(Diverged):  # asking again does not start the tries anew
        absynth.fit(recipe, tmp_path)
    assert [row["event"] for row in journal(tmp_path)].count("guard") == 3


def test_the_guard_can_be_turned_off(tmp_path):
    with pytest.raises(Diverged, match=r"the weights prior.f.0.weight are not finite: give"):
        absynth.fit(replace(CURSED, guard_retries=0), tmp_path)
    assert [row["event"] for row in journal(tmp_path)] == ["start"]


def test_rolling_back_with_no_checkpoint_left_starts_again(tmp_path):
    recipe = replace(CURSED, cursed=3)
    one = updates.Training(recipe.resolve(), CPU)
    training._roll_back(one, Trouble(3, "loss", "prior", None, "x"), tmp_path, training.Journal(tmp_path, ()))
    assert (one.step, one.remedies) == (0, Remedies(1, 1))
    assert len(checkpoint.checkpoints(tmp_path)) == 1


def test_every_module_of_an_ebm_is_watched():
    one = updates.Training(TINY, CPU)
    assert one.guard.ebms == {"prior"}
    assert isinstance(one.players["prior"], nn.Module)


class SpoiledToy(ModesPrior):
    """Example 3 of the data holds a value that is not finite; readers refuse such files, data in memory may change."""

    def batches(self, start: int = 0):
        for batch in super().batches(start):
            x, index = batch.x.clone(), torch.arange(len(batch.x))  # unlimited samples have no numbers of their own
            x[index == 3, 0] = math.inf
            yield batch._replace(x=x, index=index)


def test_a_value_that_is_not_finite_is_found_in_the_data_and_named(tmp_path):
    recipe = SpoiledToy(**(TINY.fields() | {"batch": 64, "steps": 5}))
    with pytest.raises(InputError, match=r"^example 3 holds a value that is not finite \(x\): correct it"):
        absynth.fit(recipe, tmp_path)
    assert [row["event"] for row in journal(tmp_path)] == ["start"]  # no roll-backs


def test_a_missing_entry_may_be_anything(tmp_path):
    one = updates.Training(TINY, CPU)
    batch = next(TINY.batches())
    x, mask = batch.x.clone(), torch.ones_like(batch.x)
    x[2, 1], mask[2, 1] = math.nan, 0
    assert one._reach(batch._replace(x=x, mask=mask)) > 0
    with pytest.raises(InputError, match="holds a value that is not finite"):
        one._reach(batch._replace(x=x, mask=1 - mask))
    with pytest.raises(InputError, match=r"row 2 of minibatch 0 holds .* \(its condition\)"):
        one._reach(batch._replace(c=x, index=None))


def test_the_range_of_a_chain_on_the_data_is_at_least_theirs():
    recipe = recipes.build("dual_teaching", "wide_ring", tiny=True)
    one = updates.Training(recipe, CPU)
    with torch.no_grad():
        for p in one.algorithm.generator.parameters():
            p.zero_()  # a young generator, whose samples lie near 0
    batch = next(recipe.batches())
    reach = one.learn(batch)["reach"]
    assert reach["ebm start"] >= batch.x.abs().max().item() > 2
    assert reach["posterior start"] != batch.x.abs().max().item() or recipe.latent == 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_long_chains_from_a_young_generator_are_no_alarm(seed, tmp_path):
    recipe = recipes.build("dual_teaching", "wide_ring", chain_steps=100, steps=400, seed=seed)
    absynth.fit(recipe, tmp_path)
    assert [row["event"] for row in journal(tmp_path)] == ["start", "finish"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_settings_that_diverge_are_kept_alive(seed, tmp_path):
    hard = ModesPrior(prior_step_size=0.4, energy_activation="leaky_relu", seed=seed)
    absynth.fit(replace(hard, guard_retries=0), tmp_path / "plain")
    assert not abs(metrics(tmp_path / "plain")[-1]["loss"]["prior"]) < 1e3
    kept = absynth.fit(hard, tmp_path / "kept")
    kl = Grid(-4, 4, 201, 2, torch.float32).kl(FourModes().log_prob, kept.prior().log_density)
    assert kl < 0.5  # N(0, I) scores 1.2945
    assert any(row["event"] == "guard" for row in journal(tmp_path / "kept"))
