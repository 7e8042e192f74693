"""What every algorithm owes, whatever it learns. A new algorithm is one factory and one line in ``cases.CASES``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
import torch
from cases import CASES, Case, vectors
from small_models import SHORT, generator, prior
from torch import Tensor, nn

import absynth.algorithms
from absynth.algorithms import Algorithm, LatentPrior
from absynth.seeding import stream
from absynth.updates import backward, update

# --- what they owe --------------------------------------------------------------------------------------------------


def updated(case: Case) -> tuple[str, ...]:
    """The players that learn at this progress of the training."""
    return tuple(player for player in case.players if player not in case.resting)


def gradients(case: Case, *, players: tuple[str, ...]) -> dict[str, Tensor | None]:
    """The gradient of every parameter after the losses of these players went backward."""
    algorithm = case.build()
    losses = algorithm.losses(*case.batches(6), rng=stream(1))
    backward({k: losses[k] for k in players}, {k: algorithm.get_submodule(k) for k in players})
    return {name: p.grad for name, p in algorithm.named_parameters()}


def sample(algorithm: Algorithm, case: Case, n: int = 4, seed: int = 2) -> Tensor:
    return algorithm.sample(n, case.batch(n).c, rng=stream(seed))


def possible_players(algorithm: Algorithm) -> Iterator[tuple[str, nn.Module]]:
    """The child modules by the names that ``get_submodule`` takes; those of a list each count."""
    for name, child in algorithm.named_children():
        if isinstance(child, nn.ModuleList):
            yield from ((f"{name}.{i}", module) for i, module in enumerate(child))
        else:
            yield name, child


def keys_are_players(case: Case) -> None:
    algorithm = case.build()
    losses = algorithm.losses(*case.batches(6), rng=stream(1))
    children = dict(possible_players(algorithm))
    learning = {name for name, m in children.items() if any(p.requires_grad for p in m.parameters())}
    assert set(case.players) == learning, "players of the table are the children that have something to learn"
    assert set(case.players) <= set(losses), "every player has a loss"
    assert set(losses) <= set(children), "every loss has a player"
    for loss in losses.values():
        assert loss.shape == ()
        assert loss.isfinite()


def losses_leave_no_gradients(case: Case) -> None:
    algorithm = case.build()
    algorithm.losses(*case.batches(6), rng=stream(1))
    if case.draws:
        sample(algorithm, case)
    assert all(p.grad is None for p in algorithm.parameters()), "chains must leave no gradients on parameters"


def losses_reach_their_player_and_no_other(case: Case) -> None:
    together = gradients(case, players=case.players)
    for player in case.players:
        alone = gradients(case, players=(player,))
        for name, gradient in alone.items():
            if not name.startswith(f"{player}."):
                assert gradient is None, f"the loss of {player} reached {name}"
                continue
            if case.slopes and gradient is None and name.endswith(".bias"):
                continue
            assert gradient is not None, f"the loss of {player} must reach {name}"
            assert gradient.isfinite().all()
            # Biases may have a gradient of zero: f's last one tilts nothing.
            learns = gradient.ndim < 2 or gradient.abs().sum() > 0
            assert learns or player in case.resting, f"the loss of {player} must depend on {name}"
            assert torch.equal(together[name], gradient), f"the gradient of {name} changes when others go backward too"


def randomness_is_rng_alone(case: Case) -> None:
    before = torch.get_rng_state()
    one, two, other = (case.build().losses(*case.batches(6), rng=stream(s)) for s in (1, 1, 2))
    for name in one:
        assert torch.equal(one[name], two[name]), f"same rng, same loss of {name}"
    assert any(not torch.equal(one[name], other[name]) for name in one), "another rng, other losses"
    draws = [sample(case.build(), case, seed=s) for s in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]), "same rng, same samples"
    assert not torch.equal(draws[0], draws[2]), "another rng, other samples"
    assert torch.equal(before, torch.get_rng_state()), "the global generator must not be touched"


def optimizers(algorithm: Algorithm, case: Case) -> dict[str, torch.optim.Optimizer]:
    return {k: torch.optim.Adam(algorithm.get_submodule(k).parameters(), 1e-2) for k in case.players}


def a_state_dict_is_the_whole_state(case: Case) -> None:
    first, second = case.build(0), case.build(1)
    update(first, optimizers(first, case), *case.batches(6), rng=stream(3))
    assert not torch.equal(sample(first, case), sample(second, case))
    second.load_state_dict(first.state_dict())
    assert torch.equal(sample(first, case), sample(second, case))
    for k in range(2):  # and so do further steps
        losses = [a.losses(*case.batches(6), rng=stream(4, 0, k)) for a in (first, second)]
        assert {n: v.item() for n, v in losses[0].items()} == {n: v.item() for n, v in losses[1].items()}


def every_parameter_learns(case: Case) -> None:
    algorithm = case.build()
    before = {name: p.detach().clone() for name, p in algorithm.named_parameters()}
    batches = case.batches(6)
    x = batches[0].x.clone()
    losses = update(algorithm, optimizers(algorithm, case), *batches, rng=stream(3))
    assert set(losses) >= set(case.players)
    assert torch.equal(batches[0].x, x), "the batch must be left as it was"
    learning = tuple(f"{player}." for player in updated(case))
    for name, p in algorithm.named_parameters():
        if name.startswith(learning):
            assert p.ndim < 2 or not torch.equal(p, before[name]), f"{name} must learn"


def samples_are_examples(case: Case) -> None:
    algorithm = case.build()
    for n in (1, 4):
        x = sample(algorithm, case, n)
        assert x.shape == (n, *case.batch(n).x.shape[1:])
        assert x.isfinite().all()
        assert x.dtype == case.batch(n).x.dtype
        assert not x.requires_grad
    twin = case.build()  # stored chains change when they are used, so a twin goes through the same calls
    for n in (1, 4):
        with torch.inference_mode():
            y = sample(twin, case, n)
    assert torch.equal(x, y)


def one_example_is_enough(case: Case) -> None:
    algorithm = case.build()
    losses = update(algorithm, optimizers(algorithm, case), *case.batches(case.least), rng=stream(1))
    assert all(abs(loss) < 1e6 for loss in losses.values())


def repr_tells_what_it_is(case: Case) -> None:
    algorithm = case.build()
    text = repr(algorithm)
    assert type(algorithm).__name__ in text
    assert "object at 0x" not in text, "every part must have a repr of its own"
    for player in case.players:
        assert f"({player.rpartition('.')[2]}):" in text


def chains_are_remembered_for_the_guard(case: Case) -> None:
    algorithm = case.build()
    algorithm.losses(*case.batches(6), rng=stream(1))
    for name, chain in algorithm.chains.items():
        assert algorithm.sampler_name(chain.sampler), f"chain {name} must run with a sampler of the algorithm"
        assert chain.log_density(chain.end).shape == chain.end.shape[:1]
        assert not chain.start.requires_grad
        assert not chain.end.requires_grad


OWED = [
    keys_are_players,
    losses_leave_no_gradients,
    losses_reach_their_player_and_no_other,
    randomness_is_rng_alone,
    a_state_dict_is_the_whole_state,
    every_parameter_learns,
    samples_are_examples,
    one_example_is_enough,
    repr_tells_what_it_is,
    chains_are_remembered_for_the_guard,
]


WITHOUT_SAMPLES = [
    keys_are_players,
    losses_leave_no_gradients,
    losses_reach_their_player_and_no_other,
    every_parameter_learns,
    one_example_is_enough,
    repr_tells_what_it_is,
]


@pytest.mark.parametrize("check", OWED, ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", CASES)
def test_conformance(name, check):
    if CASES[name].draws or check in WITHOUT_SAMPLES:
        check(CASES[name])


def test_every_algorithm_has_a_line_in_the_table():
    found = set()
    for module in pkgutil.iter_modules(absynth.algorithms.__path__, "absynth.algorithms."):
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and issubclass(kind, Algorithm) and not inspect.isabstract(kind):
                found.add(kind)
    assert found - {type(case.build()) for case in CASES.values()} == set()


def test_backward_gives_each_player_the_gradient_of_its_own_loss_alone():
    """Two players whose losses both depend on both, through one graph: the adversarial case."""
    players = {"a": nn.Linear(1, 1, bias=False).double(), "b": nn.Linear(1, 1, bias=False).double()}
    a, b = (m.weight for m in players.values())
    shared = (a * b).sum()
    backward({"a": shared**2, "b": -3 * shared}, players, scale=0.5)
    torch.testing.assert_close(a.grad, 0.5 * 2 * shared.detach() * b.detach())
    torch.testing.assert_close(b.grad, -0.5 * 3 * a.detach())
    backward({"a": (a * b).sum()}, {"a": players["a"]})
    torch.testing.assert_close(b.grad, -0.5 * 3 * a.detach())  # untouched by a's second loss


@pytest.mark.parametrize("name", ["DiffusionRecovery", "CooperativeRecovery", "MultilevelScoreMatching"])
def test_a_uniform_number_that_is_rounded_to_one_is_the_last_level(name, monkeypatch):
    algorithm, levels = CASES[name].build(), []
    diffuse = algorithm.diffuse
    monkeypatch.setattr(algorithm, "diffuse", lambda x, t, **options: levels.append(t) or diffuse(x, t, **options))
    module = importlib.import_module(type(algorithm).__module__)
    monkeypatch.setattr(module, "uniform_like", lambda like, rng: torch.ones_like(like))
    algorithm.losses(CASES[name].batch(3), rng=stream(1))
    assert levels[0].tolist() == [algorithm.levels - 1] * 3


@pytest.mark.parametrize("name", ["DiffusionRecovery", "CooperativeRecovery", "Introspective"])
def test_what_a_log_density_holds_is_no_tensor_of_inference_mode(name, monkeypatch):
    algorithm, held = CASES[name].build(), []
    density = "stage_density" if name == "Introspective" else "recovery"
    usual = getattr(algorithm, density)
    monkeypatch.setattr(algorithm, density, lambda *given: held.extend(given) or usual(*given))
    with torch.inference_mode():
        algorithm.sample(2, rng=stream(1))
    held = [given for given in held if isinstance(given, Tensor)]
    assert held
    assert not any(given.is_inference() for given in held)


# --- negative controls: each breaks one promise ---------------------------------------------------------------------


class Nameless(LatentPrior):
    def losses(self, batch, *, rng):
        losses = super().losses(batch, rng=rng)
        return {"ebm": losses["prior"], "generator": losses["generator"]}


class Polluting(LatentPrior):
    """Calls backward inside a chain, and leaves its gradients."""

    def losses(self, batch, *, rng):
        self.generator(batch.x[:, :2]).log_prob(batch.x).sum().backward()
        return super().losses(batch, rng=rng)


class Idle(LatentPrior):
    """A prior with a layer that nothing uses."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.prior.spare = nn.Linear(2, 2).double()


class Careless(LatentPrior):
    """Draws from the global generator."""

    def losses(self, batch, *, rng):
        return {k: v + torch.rand(()) for k, v in super().losses(batch, rng=rng).items()}


class Forgetful(LatentPrior):
    """Keeps something that it learned outside its state."""

    shift = 0.0

    def losses(self, batch, *, rng):
        self.shift = self.shift + 1.0
        return {k: v + self.shift for k, v in super().losses(batch, rng=rng).items()}


class Attached(LatentPrior):
    def generate(self, z, c=None):
        return self.generator(z, c).mode


class Squeezing(LatentPrior):
    """The squeeze that breaks at one example."""

    def losses(self, batch, *, rng):
        if batch.x.squeeze().ndim < 2:
            raise IndexError("dimension out of range")
        return super().losses(batch, rng=rng)


def broken(kind: type[LatentPrior]) -> Case:
    return Case(
        lambda: kind(prior(), generator(), prior_sampler=SHORT, posterior_sampler=SHORT),
        vectors,
        ("prior", "generator"),
    )


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (Nameless, keys_are_players),
        (Polluting, losses_leave_no_gradients),
        (Idle, losses_reach_their_player_and_no_other),
        (Idle, every_parameter_learns),
        (Careless, randomness_is_rng_alone),
        (Forgetful, a_state_dict_is_the_whole_state),
        (Attached, samples_are_examples),
        (Squeezing, one_example_is_enough),
    ],
)
def test_conformance_sees_what_is_broken(kind, check):
    with pytest.raises((AssertionError, IndexError)):
        check(broken(kind))
