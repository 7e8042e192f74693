"""Cycle-consistent cooperative learning: closed forms of its losses, sequences, recipes and the command line."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from absynth import cli, recipes
from absynth.algorithms.cycle_cooperative import CycleCooperative
from absynth.algorithms.cycle_sequences import CycleSequences, framewise, next_frame
from absynth.data.toy import Turned
from absynth.density import EBM
from absynth.distributions import Uniform
from absynth.errors import InputError
from absynth.networks.translator import FramePredictor, Translator, VectorTranslator, leaky_tanh
from absynth.recipes.cycle import CycleImages, CycleVectors
from absynth.recipes.cycle_sequences import CycleSequencesRecipe, turned
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream
from absynth.types import Batch

F64 = torch.float64
V = 0.5
STILL = Langevin(5, 0.5, 0.0)
SHRINK = (1 - STILL.step_size**2 / (2 * V)) ** STILL.steps
"""What is left after the chain of an initial sample's distance to the well."""


class Well(nn.Module):
    """f of N(m, V I), with its mean as a parameter."""

    def __init__(self, mean: float) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.full((2,), mean, dtype=F64))

    def forward(self, x: Tensor) -> Tensor:
        return -0.5 * ((x - self.mean) ** 2).sum(1) / V


class Turn(nn.Module):
    """x ↦ scale · (x turned by an angle)."""

    def __init__(self, angle: float, scale: float) -> None:
        super().__init__()
        c, s = scale * math.cos(angle), scale * math.sin(angle)
        self.weight = nn.Parameter(torch.tensor([[c, s], [-s, c]], dtype=F64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


def plane(to_x: nn.Module, to_y: nn.Module, *, teach: float = 0.0, cycle: float = 0.0) -> CycleCooperative:
    ebm_x, ebm_y = (EBM(Well(mean), Uniform(2)) for mean in (-1.0, 2.0))
    return CycleCooperative(ebm_x, ebm_y, to_x, to_y, sampler=STILL, teach=teach, cycle=cycle).double()


def pair(n: int = 6) -> tuple[Batch, Batch]:
    x, y = (Batch(noise_like(torch.empty(n, 2, dtype=F64), stream(seed))) for seed in (1, 2))
    return x, y


def test_the_cycle_costs_nothing_for_inverse_maps():
    there, back = Turn(0.7, 1.5), Turn(-0.7, 1 / 1.5)
    losses = plane(back, there, cycle=10.0).losses(*pair(), rng=stream(0))
    assert losses["to_x"].item() == pytest.approx(0, abs=1e-12)
    assert losses["to_y"].item() == pytest.approx(0, abs=1e-12)
    wrong = plane(Turn(-0.6, 1 / 1.5), there, cycle=10.0).losses(*pair(), rng=stream(0))
    assert wrong["to_x"].item() > 0.1


def test_both_halves_of_the_cycle_are_absolute_errors_and_reach_both_translators():
    model, (x, y) = plane(Turn(0.3, 1.0), Turn(1.0, 2.0), cycle=3.0), pair()
    losses = model.losses(x, y, rng=stream(0))
    to_x, to_y = model.to_x, model.to_y
    expected = 3.0 * ((x.x - to_x(to_y(x.x))).abs().mean() + (y.x - to_y(to_x(y.x))).abs().mean())
    for player in ("to_x", "to_y"):
        torch.testing.assert_close(losses[player], expected)
        weight = model.get_submodule(player).weight
        found, wanted = (torch.autograd.grad(v, weight, retain_graph=True)[0] for v in (losses[player], expected))
        torch.testing.assert_close(found, wanted)


def test_a_translator_is_taught_the_closed_form_of_the_refined_translation():
    """Noise-free chains on wells: x̃ = m + shrink (x̂ − m), so teaching costs (1 − shrink)² |x̂ − m|² a coordinate."""
    model, (x, y) = plane(Turn(0.3, 1.0), Turn(1.0, 2.0), teach=3.0), pair()
    losses = model.losses(x, y, rng=stream(0))
    for player, source, mean in (("to_x", y.x, -1.0), ("to_y", x.x, 2.0)):
        initial = model.get_submodule(player)(source)
        expected = 3.0 * ((1 - SHRINK) * (initial - mean)).square().mean()
        torch.testing.assert_close(losses[player], expected)
        # x̃ is given: the gradient is that of a regression on it, and not of (1 − shrink)² |x̂ − m|².
        net = model.get_submodule(player)
        found, through = (
            torch.autograd.grad(v, [*net.parameters()], retain_graph=True) for v in (losses[player], expected)
        )
        torch.testing.assert_close(found[0], through[0] / (1 - SHRINK))


def test_each_ebm_compares_its_own_domain_with_what_was_refined_into_it():
    model, (x, y) = plane(Turn(0.3, 1.0), Turn(1.0, 2.0), teach=1.0), pair()
    losses = model.losses(x, y, rng=stream(0))
    for player, data, source, mean in (("ebm_x", x.x, y.x, -1.0), ("ebm_y", y.x, x.x, 2.0)):
        (found,) = torch.autograd.grad(losses[player], list(model.get_submodule(player).parameters()))
        initial = model.get_submodule(player.replace("ebm", "to"))(source)
        refined = (mean + SHRINK * (initial - mean)).detach()
        torch.testing.assert_close(found, (refined.mean(0) - data.mean(0)) / V)  # ∂f/∂m = (x − m) / V


def test_the_losses_add_up_teaching_and_cycle_and_each_energy_is_a_difference_of_means():
    model, (x, y) = plane(Turn(0.3, 1.0), Turn(1.0, 2.0), teach=3.0, cycle=2.0), pair()
    both = model.losses(x, y, rng=stream(0))
    parts = [
        plane(Turn(0.3, 1.0), Turn(1.0, 2.0), teach=t, cycle=c).losses(x, y, rng=stream(0))
        for t, c in ((3.0, 0.0), (0.0, 2.0))
    ]
    for player in ("to_x", "to_y"):
        torch.testing.assert_close(both[player], parts[0][player] + parts[1][player])
    for player, data, source, mean in (("x", x.x, y.x, -1.0), ("y", y.x, x.x, 2.0)):
        refined = mean + SHRINK * (model.translator(player)(source) - mean)
        energy = (-0.5 * (v - mean).square().sum(1).mean() / V for v in (refined, data))
        torch.testing.assert_close(both[f"ebm_{player}"], next(energy) - next(energy))


def test_translation_goes_both_ways_and_needs_a_source():
    model = plane(Turn(-0.7, 0.5), Turn(0.7, 2.0))
    x = pair()[0].x
    initial, refined = model.translate(x, "y", rng=stream(0))
    torch.testing.assert_close(initial, Turn(0.7, 2.0)(x).detach())
    torch.testing.assert_close(refined, 2.0 + SHRINK * (initial - 2.0))
    torch.testing.assert_close(model.sample(6, x, rng=stream(0)), model.translate(x, "x", rng=stream(0))[1])
    for c in (None, x[:2]):
        with pytest.raises(InputError, match="6 examples of the other domain"):
            model.sample(6, c, rng=stream(0))
    with pytest.raises(TypeError, match="other"):
        model.losses(Batch(x), rng=stream(0))


# --- sequences ------------------------------------------------------------------------------------------------------


class Ahead(nn.Module):
    """The exact predictor of a rotation."""

    def __init__(self, angle: float) -> None:
        super().__init__()
        self.turn = Turn(angle, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return framewise(self.turn, x)


class Mirror(nn.Module):
    """(a, b) ↦ scale · (a, −b): what takes a rotation to its opposite."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(scale * torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=F64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


def turning(angle: float, radius: float, n: int = 5, frames: int = 4) -> Tensor:
    start = torch.linspace(0, 5, n, dtype=F64)[:, None] + angle * torch.arange(frames)
    return radius * torch.stack([start.cos(), start.sin()], -1)


def sequences(to_x: nn.Module, to_y: nn.Module) -> CycleSequences:
    ebm_x, ebm_y = (EBM(Well(mean), Uniform(2)) for mean in (-1.0, 2.0))
    return CycleSequences(
        ebm_x, ebm_y, to_x, to_y, Ahead(0.4), Ahead(-0.4), sampler=STILL, teach=0.0, cycle=0.0, spatio_temporal=1.0
    ).double()


def rotations(to_x: nn.Module, to_y: nn.Module) -> dict[str, float]:
    losses = sequences(to_x, to_y).losses(Batch(turning(0.4, 1.0)), Batch(turning(-0.4, 2.0)), rng=stream(0))
    return {name: loss.item() for name, loss in losses.items()}


def test_only_a_reflection_takes_one_rotation_to_its_opposite():
    """x turns by 0.4, y by −0.4: with exact predictors the reflection costs nothing, and the rotation, which is as good
    a cycle frame by frame, costs the distance |1 − e^{0.8i}|² of each frame."""
    good = rotations(Mirror(0.5), Mirror(2.0))
    assert all(good[player] == pytest.approx(0, abs=1e-12) for player in ("to_x", "to_y", "rec_x", "rec_y"))
    bad = rotations(Turn(-0.3, 0.5), Turn(0.3, 2.0))
    turn = abs(1 - complex(math.cos(0.8), math.sin(0.8))) ** 2
    assert bad["to_x"] == pytest.approx(turn / 2 * (1.0 + 4.0))  # mean over coordinates, in X and in Y
    assert bad["rec_x"] == pytest.approx(bad["to_x"])  # its own prediction is exact


def test_the_losses_of_sequences_by_hand():
    """All weights at once, on maps that undo nothing; refined frames are m + shrink (frame − m)."""
    model = sequences(Turn(0.3, 0.8), Turn(0.2, 1.5))
    model.teach, model.cycle, model.spatio_temporal = 2.0, 3.0, 5.0
    x, y = turning(0.3, 1.0), turning(-0.2, 2.0)
    to_x, to_y, ahead_x, ahead_y = (
        (lambda v, w=module.weight: v @ w) for module in (model.to_x, model.to_y, model.rec_x.turn, model.rec_y.turn)
    )
    step = lambda v, expected: (v[:, 1:] - expected[:, :-1]).square().mean()  # noqa: E731
    plain = (x - to_x(to_y(x))).abs().mean() + (y - to_y(to_x(y))).abs().mean()
    through = step(x, to_x(ahead_y(to_y(x)))) + step(y, to_y(ahead_x(to_x(y))))
    shared = 3.0 * plain + 5.0 * through
    found = model.losses(Batch(x), Batch(y), rng=stream(0))
    for player, source, mean in (("x", y, -1.0), ("y", x, 2.0)):
        initial = (to_x if player == "x" else to_y)(source)
        taught = ((1 - SHRINK) * (initial - mean)).square().mean()
        torch.testing.assert_close(found[f"to_{player}"], 2.0 * taught + shared)
        refined, data = mean + SHRINK * (initial - mean), x if player == "x" else y
        energy = (-0.5 * (v - mean).square().sum(-1).mean() / V for v in (refined, data))
        torch.testing.assert_close(found[f"ebm_{player}"], next(energy) - next(energy))
    torch.testing.assert_close(found["rec_x"], step(x, ahead_x(x)) + shared)
    torch.testing.assert_close(found["rec_y"], step(y, ahead_y(y)) + shared)


def test_next_frame_compares_what_was_expected_with_what_came():
    x = turning(0.4, 1.0)
    assert next_frame(x, Ahead(0.4)(x)).item() == pytest.approx(0, abs=1e-12)
    assert next_frame(x, x).item() == pytest.approx(abs(1 - complex(math.cos(0.4), math.sin(0.4))) ** 2 / 2)


def test_frames_are_refined_each_on_its_own():
    model = sequences(Mirror(1.0), Mirror(1.0))
    x = turning(0.4, 1.0)
    initial, refined = model.translate(x, "y", rng=stream(0))
    assert initial.shape == x.shape
    torch.testing.assert_close(refined, 2.0 + SHRINK * (initial - 2.0))


def test_a_predictor_sees_no_future():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = FramePredictor(2, 8).double()
    x = turning(0.4, 1.0)
    later = x.clone()
    later[:, 2:] += 1.0
    torch.testing.assert_close(net(x)[:, :2], net(later)[:, :2])
    assert not torch.allclose(net(x)[:, 2:], net(later)[:, 2:])


def test_sequences_of_the_recipe_turn_as_they_should():
    recipe = CycleSequencesRecipe(data="circle_sequences").resolve()
    assert isinstance(recipe, CycleSequencesRecipe)
    for domain in ("x", "y"):
        v = recipe.law(domain).sample(2000, stream(0))
        error = (v[:, 1:] - turned(v[:, :-1], domain)).square().mean()
        assert error == pytest.approx(2 * 0.05**2, rel=0.05)  # the noise of two frames
        assert (v[:, 1:] - turned(v[:, :-1], "y" if domain == "x" else "x")).square().mean() > 0.2
    x, y = next(recipe.batches())
    assert x.x.shape == y.x.shape == (32, 8, 2)
    assert y.x.norm(dim=-1).mean() > 1.3 > x.x.norm(dim=-1).mean()
    with pytest.raises(InputError, match="give circle_sequences"):
        CycleSequencesRecipe(data="ring").resolve()


# --- recipes --------------------------------------------------------------------------------------------------------


def test_the_second_ring_is_the_first_one_turned_and_enlarged():
    recipe = CycleVectors(data="wide_ring").resolve()
    assert isinstance(recipe, CycleVectors)
    law = recipe.domain("x").law
    scale = Turned(law).scale
    y, means = recipe.translation_source("y_to_x").head(4000), Turned(law).move(law.means.float())
    nearest = torch.cdist(y, means)
    assert nearest.amin(1).square().mean() == pytest.approx(2 * (scale * law.std) ** 2, rel=0.1)
    assert nearest.argmin(1).bincount(minlength=8).min() > 400
    torch.testing.assert_close(means[0], scale * 2.0 * torch.tensor([math.cos(math.pi / 8), math.sin(math.pi / 8)]))
    conditions = recipe.conditions(500)
    assert conditions is not None
    assert torch.cdist(conditions, means).amin(1).max() < 5 * scale * law.std
    with pytest.raises(InputError, match="toy sets in the plane"):
        CycleVectors(data="linear_modes").resolve()


@pytest.fixture
def domains(tmp_path):
    """Two folders: 30 grey images, 24 colour ones, of 8×8."""
    rng = np.random.default_rng(0)
    for name, n, shape in (("grey", 30, (8, 8)), ("colour", 24, (8, 8, 3))):
        (tmp_path / name).mkdir()
        for i in range(n):
            Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(tmp_path / name / f"{i:02d}.png")
    return tmp_path


def test_without_a_second_folder_the_other_half_is_in_negative(domains):
    recipe = CycleImages(data=str(domains / "grey"), batch=4).resolve()
    assert isinstance(recipe, CycleImages)
    whole, x, y = recipe.examples, recipe.domain("x"), recipe.domain("y")
    assert len(x) + len(y) == len(whole)
    torch.testing.assert_close(y.all(), -whole.all()[1::2])
    torch.testing.assert_close(x.all(), whole.all()[::2])
    held = whole.split("test").all()
    torch.testing.assert_close(recipe.translation_source("y_to_x").split("test").all(), -held[1::2])
    torch.testing.assert_close(recipe.conditions(2), (-held[1::2]).repeat(2, 1, 1, 1)[:2])
    for batch, of in zip(next(recipe.batches()), (x, y), strict=True):
        assert all(any(torch.equal(row, other) for other in of.all()) for row in batch.x)


def test_two_folders_from_the_command_line(domains, capsys):
    """One command to learn, one for each way of translating your own images."""
    run = domains / "run"

    def absynth(*argv: object) -> None:
        cli.main([str(a) for a in argv])

    absynth("train", "cycle", "--data", domains / "grey", "--data-y", domains / "colour", "--tiny", "--out", run,
            "--device", "cpu")  # fmt: skip
    for direction, folder, channels in (("x_to_y", "grey", 3), ("y_to_x", "colour", 1)):
        absynth("translate", run, "--input", domains / folder, "--direction", direction, "--device", "cpu")
        found = np.load(run / "translate" / "translations.npz")
        assert found["refined"].shape[1:] == (channels, 8, 8)
        figures = json.loads((run / "translate" / "result.json").read_text())["figures"]
        assert 0 < figures["cycle error"] < 1
    with pytest.raises(SystemExit):
        absynth("translate", run, "--direction", "up", "--device", "cpu")
    assert "--direction x_to_y or y_to_x" in " ".join(capsys.readouterr().err.split())


def test_the_second_domain_is_resized_to_the_size_of_the_first(domains):
    (domains / "other").mkdir()
    for i in range(12):
        Image.fromarray(np.full((16, 20, 3), i, np.uint8)).save(domains / "other" / f"{i}.png")
    recipe = recipes.build("cycle", str(domains / "grey"), data_y=str(domains / "other"))
    assert isinstance(recipe, CycleImages)
    assert (recipe.shape[0], recipe.channels_y) == (1, 3)
    assert recipe.domain("y").shape == (3, 8, 8)
    known = recipe.entry()
    again = recipes.Recipe.from_entry(known)  # on the stand-in: networks follow from the record alone
    assert again.algorithm().to_y.last.out_channels == 3
    with pytest.raises(InputError, match="second domain has 3 channels"):
        CycleImages(data=str(domains / "grey"), data_y=str(domains / "other"), channels_y=1).resolve()


def test_a_translator_keeps_the_layout():
    """An output pixel depends on a neighbourhood of its own place."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Translator(1, 3, 4)
    x = torch.zeros(1, 1, 28, 28, requires_grad=True)
    out = net(x)
    assert out.shape == (1, 3, 28, 28)
    (reach,) = torch.autograd.grad(out[0, :, 14, 14].sum(), x)
    rows, columns = reach[0, 0].nonzero(as_tuple=True)
    assert 2 < (rows - 14).abs().max() <= 12
    assert (columns - 14).abs().max() <= 12


def test_a_translator_at_the_end_of_the_range_can_still_come_back():
    """Images that are nothing but background are left by the gradient that entered them, however far out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Translator(1, 1, 4)
    x = noise_like(torch.empty(2, 1, 8, 8), stream(1))
    assert net.last.bias is not None
    with torch.no_grad():
        net.last.bias.fill_(-20.0)
    (slope,) = torch.autograd.grad((net(x) + 1).square().mean(), net.last.bias)
    assert slope < -0.1  # 2 · (−3 + 1) · 0.1; behind a plain tanh it would be 0
    assert leaky_tanh(torch.tensor(1.2)).item() == pytest.approx(0.954, abs=1e-3)


def test_a_uniform_ground_stays_uniform():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Translator(1, 1, 4)
    found = net(-torch.ones(1, 1, 12, 12))
    torch.testing.assert_close(found, found[:, :, :1, :1].expand_as(found))


def test_translators_of_vectors_begin_as_turns_that_undo_each_other():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        there = VectorTranslator(3, 8).double()
        back = VectorTranslator(3, 8).double()
    x = noise_like(torch.empty(5, 3, dtype=F64), stream(1))
    assert (back(there(x)) - x).abs().max() > 0.1
    assert (back.begin_as_inverse_of(there)(there(x)) - x).abs().max() < 1e-5
    assert (there(x).norm(dim=1) - x.norm(dim=1)).abs().max() < 1e-5
    assert not torch.allclose(there(x), x)
