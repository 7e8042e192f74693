"""What energy-based models of images are compared with: a denoiser and a GAN against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from absynth.data.image_set import ImageSet
from absynth.data.images import Images
from absynth.experiments import _rivals_images as rivals
from absynth.experiments._adversarial import Adversarial, discriminator_loss, generator_loss
from absynth.experiments._denoiser import Denoiser, DenoiserRecipe, UNet
from absynth.experiments.harness import Run
from absynth.seeding import stream
from absynth.tasks.opened import Opened
from absynth.types import Batch

SHAPE, SPREAD = (1, 4, 4), 0.6


class Zero(nn.Module):
    """F = 0: the optimal network for N(0, s²)."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, x, level, label=None):
        return 0 * x + 0 * self.anchor


class ToPoint(Zero):
    """The optimal network for data that are one point, from its own input: D(x; σ) is the point."""

    def __init__(self, point: float) -> None:
        super().__init__()
        self.point = point

    def forward(self, x, level, label=None):
        sigma = (4 * level).exp().view(-1, 1, 1, 1)
        root = (sigma**2 + SPREAD**2).sqrt()
        return (self.point - SPREAD**2 / root**2 * (x * root)) * root / (sigma * SPREAD)


def loss_of(net: nn.Module, x: torch.Tensor, spread: float = SPREAD) -> float:
    losses = Denoiser(net, SHAPE, spread, 18).losses(Batch(x), rng=stream(1))
    return float(losses["denoiser"].detach())


def test_without_a_network_it_is_the_denoiser_of_a_gaussian():
    model, sigma = Denoiser(Zero(), SHAPE, SPREAD, 18), torch.tensor([0.1, 0.6, 5.0])
    x = torch.ones(3, *SHAPE)
    shrunk = SPREAD**2 / (SPREAD**2 + sigma**2)
    torch.testing.assert_close(model.denoise(x, sigma)[:, 0, 0, 0], shrunk)


def test_the_loss_of_the_optimal_denoiser_of_a_gaussian_is_one_at_every_level():
    """Its error is σ²s² / (σ² + s²), the reciprocal of the weight; with another s it is not."""
    x = SPREAD * torch.randn(20_000, *SHAPE, generator=stream(0))
    assert abs(loss_of(Zero(), x) - 1) < 0.02
    assert loss_of(Zero(), x, spread=1.2) < 0.95


def test_the_optimal_denoiser_of_a_point_has_no_loss_and_draws_the_point():
    x = torch.full((50, *SHAPE), 0.3)
    assert loss_of(ToPoint(0.3), x) < 1e-6
    assert loss_of(ToPoint(0.2), x) > 0.05
    drawn = Denoiser(ToPoint(0.3), SHAPE, SPREAD, 6).sample(4, rng=stream(0))
    torch.testing.assert_close(drawn, torch.full_like(drawn, 0.3), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("steps", "error"), [(18, 0.06), (60, 0.005)])
def test_samples_of_a_gaussian_have_its_standard_deviation(steps, error):
    """The flow of N(0, s²) scales x by s / √(80² + s²); Heun's error falls with the square of the step."""
    drawn = Denoiser(Zero(), SHAPE, SPREAD, steps).sample(2, rng=stream(0))
    start = 80 * torch.randn(2, *SHAPE, generator=stream(0))
    scale = drawn / start * math.sqrt(80**2 + SPREAD**2) / SPREAD
    assert (scale - 1).abs().max() < error


def test_the_network_begins_as_no_correction_and_uses_level_and_label():
    net = UNet(1, 3, 8)
    x, level = torch.randn(2, 1, 8, 8, generator=stream(0)), torch.zeros(2)
    with torch.no_grad():
        first = net(x, level, torch.tensor([0, 1]))
        assert (first - first.flatten()[0]).abs().max() < 1e-6  # the bias of the last layer alone
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=stream(1)))
        y = net(x, level, torch.tensor([0, 1]))
        assert not torch.allclose(y, net(x, level + 0.5, torch.tensor([0, 1])))
        assert not torch.allclose(y, net(x, level, torch.tensor([2, 1])))


def test_losses_of_known_logits():
    zero, two = torch.zeros(3), torch.full((3,), 2.0)
    assert float(discriminator_loss(zero, zero, "softplus")) == pytest.approx(2 * math.log(2))
    assert float(generator_loss(zero, "softplus")) == pytest.approx(math.log(2))
    assert float(discriminator_loss(two, -two, "softplus")) == pytest.approx(2 * math.log1p(math.exp(-2)))
    assert float(generator_loss(two, "softplus")) == pytest.approx(math.log1p(math.exp(-2)))
    assert float(discriminator_loss(zero, zero, "hinge")) == 2
    assert float(discriminator_loss(two, -two, "hinge")) == 0
    assert float(generator_loss(two, "hinge")) == -2


def test_the_penalty_of_a_linear_discriminator_is_the_square_of_its_slope():
    d = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    g = nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, SHAPE))
    x, found = torch.randn(8, *SHAPE, generator=stream(0)), []
    for penalty in (0.0, 3.0):
        model = Adversarial(g, d, 2, loss="softplus", penalty=penalty)
        found.append(float(model.losses(Batch(x), rng=stream(1))["discriminator"].detach()))
    assert found[1] - found[0] == pytest.approx(1.5 * float(d[1].weight.detach().square().sum()), rel=1e-4)


def test_neighbours_of_training_images_are_themselves():
    stored = torch.randint(0, 256, (30, 1, 8, 8), generator=stream(0), dtype=torch.uint8)
    data = ImageSet(lambda part: Images(stored, None, "noise"))
    x = data.head(10)
    distance, distinct = rivals.nearest(x, data)
    assert distance < 0.01
    assert distinct == 1
    assert rivals.nearest(x[:1].expand(4, -1, -1, -1), data)[1] == 0.25
    assert rivals.nearest(x + 1, data)[0] == pytest.approx(8, rel=0.1)


def test_the_ratio_is_to_the_better_rival():
    values = {
        f"{rivals.DISTANCE}, {kind}, {minutes} min, {name}": {"EBM": 6.0, "denoiser": 12.0, "GAN": 4.0}[name]
        for kind, methods in rivals.METHODS.items()
        for minutes in rivals.MINUTES
        for name in methods
    }
    assert rivals.ratios(values) == dict.fromkeys(rivals.BARS, 1.5)


class Clocked(Run):
    """Training takes a tenth of a second an update, and half a second a call."""

    clock, steps = 0.0, 0

    def train(self, recipe, label):
        self.clock, self.steps = self.clock + 0.5 + 0.1 * (recipe.steps - self.steps), recipe.steps
        return Opened(self.folder, Denoiser(Zero(), SHAPE, SPREAD, 2), recipe, torch.device("cpu"))


def test_a_training_goes_on_until_its_seconds_are_spent(monkeypatch, tmp_path):
    run = Clocked(0, tmp_path, False, tmp_path, tmp_path)
    monkeypatch.setattr(rivals.time, "process_time", lambda: run.clock)
    timed = rivals.Timed(run, DenoiserRecipe(), "one")
    for seconds in (60, 300):
        assert timed.until(seconds).recipe.steps == timed.updates == run.steps
        assert 0.97 * seconds <= timed.seconds == pytest.approx(run.clock)
        assert timed.seconds < 1.02 * seconds
