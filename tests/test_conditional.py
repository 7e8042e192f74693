"""Conditional cooperative learning: closed forms, what reaches whom, networks, pairs of images."""

from __future__ import annotations

from pathlib import Path

import laws
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from absynth import cli, recipes
from absynth.algorithms.conditional_cooperative import ConditionalCooperative
from absynth.algorithms.cooperative import Cooperative
from absynth.data import pairs, sets
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, StandardNormal, Uniform
from absynth.errors import InputError, Unsupported
from absynth.networks.conditional import (
    HoleF,
    HoleGenerator,
    LabelF,
    PictureF,
    PictureGenerator,
    WithLabel,
    filled,
    one_hot,
    strided_f,
)
from absynth.recipes.inpainting import InpaintingRecipe
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream
from absynth.tasks.opened import Opened
from absynth.tasks.sample import samples, sampling_conditions
from absynth.types import Batch

F64 = torch.float64
MEANS = torch.tensor([[-2.0], [1.0], [3.0]], dtype=F64)
V = 0.5


class Well(nn.Module):
    """f of N(m_c, V), with the three means as parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.means = nn.Parameter(MEANS.clone())

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return -0.5 * ((x - self.means[c]) ** 2).sum(1) / V


class Constant(nn.Module):
    """g(z, c) = a_c, whatever z is."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(3, 1, dtype=F64))

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return self.a[c] + 0.0 * z


def wells(sampler: Langevin, truth: float = 0.0) -> ConditionalCooperative:
    return ConditionalCooperative(
        EBM(Well(), Uniform(1)),
        GaussianGenerator(Constant(), 1.0),
        StandardNormal(1),
        sampler=sampler,
        truth=truth,
    ).double()


def parameters_of(model: nn.Module, player: str) -> list[Tensor]:
    return [*model.get_submodule(player).parameters()]


def test_each_condition_is_refined_towards_its_own_law():
    """From 0, K steps on N(m_c, V) end in mean m_c (1 − a^K), a = 1 − δ²/2V, and the variance of a short run."""
    sampler = Langevin(7, 0.5)
    n, model = 20_000, wells(sampler)
    a = 1 - sampler.step_size**2 / (2 * V)
    variance = sampler.step_size**2 * (1 - a ** (2 * sampler.steps)) / (1 - a**2)
    for label in range(3):
        x = model.sample(n, torch.full((n,), label), rng=stream(label))[:, 0]
        laws.normal_law(x, float(MEANS[label]) * (1 - a**sampler.steps), variance)
        with pytest.raises(AssertionError):  # the law of another label
            laws.normal_law(x, float(MEANS[label - 1]) * (1 - a**sampler.steps), variance)


def test_the_initializer_is_taught_the_closed_form_of_the_refined_sample():
    """Noise-free chains: x̃ = m_c (1 − a^K), so the gradient in a_c is −x̃ times the share of c."""
    sampler = Langevin(5, 0.5, 0.0)
    model, c = wells(sampler), torch.tensor([0, 0, 1, 2])
    losses = model.losses(Batch(torch.zeros(4, 1, dtype=F64), c=c), rng=stream(1))
    (gradient,) = torch.autograd.grad(losses["generator"], parameters_of(model, "generator"))
    a = 1 - sampler.step_size**2 / (2 * V)
    expected = -MEANS * (1 - a**sampler.steps) * torch.tensor([[0.5], [0.25], [0.25]], dtype=F64)
    torch.testing.assert_close(gradient, expected)


def test_the_truth_pulls_by_its_share_and_by_nothing_at_zero():
    batch = Batch(torch.tensor([[4.0], [5.0]], dtype=F64), c=torch.tensor([1, 1]))
    sampler = Langevin(5, 0.5, 0.0)

    def pull(truth: float) -> Tensor:
        model = wells(sampler, truth)
        loss = model.losses(batch, rng=stream(1))["generator"]
        return torch.autograd.grad(loss, parameters_of(model, "generator"))[0][1]

    # |x − a| has slope −1 at a = 0 < x.
    torch.testing.assert_close(pull(0.3), 0.7 * pull(0.0) - 0.3)
    with pytest.raises(InputError, match="truth"):
        wells(sampler, 1.0)


class Bright(nn.Module):
    """g(z, c) = a at every pixel, and f(x, c) = a times the sum of the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.3, dtype=F64))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.a * x.flatten(1).sum(1) if x.ndim > 2 else self.a.expand(len(x), 1, 2, 2)


def test_the_truth_is_the_image_without_noise_and_its_distance_a_sum_over_pixels():
    ebm, generator = EBM(Bright(), Uniform(1, 2, 2)), GaussianGenerator(Bright(), 1.0)
    sampler, prior = Langevin(2, 0.3), StandardNormal(1).double()
    x, c = noise_like(torch.empty(4, 1, 2, 2, dtype=F64), stream(1)), torch.arange(4)
    model = ConditionalCooperative(ebm, generator, prior, sampler=sampler, truth=0.25, data_noise=0.7).double()
    losses, rng = model.losses(Batch(x, c), rng=stream(2)), stream(2)
    noisy = x + 0.7 * noise_like(x, rng)
    plain = Cooperative(ebm, generator, prior, sampler=sampler).double().losses(Batch(noisy, c), rng=rng)
    torch.testing.assert_close(losses["ebm"], plain["ebm"])
    to_truth = (x - 0.3).abs().sum((1, 2, 3)).mean()
    torch.testing.assert_close(losses["generator"], 0.75 * plain["generator"] + 0.25 * to_truth)


def test_without_truth_it_is_cooperative_learning_given_c():
    batch = Batch(torch.ones(4, 1, dtype=F64), c=torch.tensor([0, 1, 2, 0]))
    model = wells(Langevin(3, 0.3))
    plain = Cooperative(model.ebm, model.generator, model.prior, sampler=model.sampler)
    ours, theirs = (m.losses(batch, rng=stream(3)) for m in (model, plain))
    assert {k: v.item() for k, v in ours.items()} == {k: v.item() for k, v in theirs.items()}


def test_the_gap_compares_under_one_condition():
    """The gradient of f in m_c sees data and refined samples of c alone: other labels' data change nothing."""
    model, c = wells(Langevin(2, 0.3, 0.0)), torch.tensor([0, 1])
    x = torch.tensor([[1.0], [2.0]], dtype=F64)

    def gradient(x: Tensor) -> Tensor:
        return torch.autograd.grad(model.losses(Batch(x, c=c), rng=stream(1))["ebm"], parameters_of(model, "ebm"))[0]

    other = gradient(x + torch.tensor([[0.0], [5.0]], dtype=F64))
    torch.testing.assert_close(gradient(x)[0], other[0])
    assert not torch.allclose(gradient(x)[1], other[1])
    assert gradient(x)[2].item() == 0


def test_f_of_labels_learns_to_separate_them():
    """Two images, two labels: a few contrastive steps between right and wrong pairs, and argmax f reads both."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        f = LabelF(1, 8, 2, 4)
    x = noise_like(torch.empty(2, 1, 8, 8), stream(1))
    c = torch.tensor([0, 1])
    torch.testing.assert_close(f.by_label(x), torch.stack([f(x, torch.full((2,), k)) for k in (0, 1)], 1))
    optimizer = torch.optim.Adam(f.parameters(), 1e-2)
    for _ in range(30):
        loss = f(x.flip(0), c).mean() - f(x, c).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(f.by_label(x).argmax(1), c)
    with pytest.raises(InputError, match="0 to 1"):
        f(x, torch.tensor([0, 2]))


@pytest.mark.parametrize("size", [16, 28])
def test_networks_of_images_hear_their_condition(size):
    x, c, z = (
        noise_like(torch.empty(3, *s), stream(k)) for k, s in enumerate([(1, size, size), (2, size, size), (5,)])
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        f, g = PictureF(2, 1, size, 4), PictureGenerator(2, 1, size, 5, 4)
    assert f(x, c).shape == (3,)
    assert not torch.allclose(f(x, c), f(x, c.flip(0)))
    assert g(z, c).shape == x.shape
    assert not torch.allclose(g(z, c), g(z.flip(0), c))
    assert not torch.allclose(g(z, c), g(z, c.flip(0)))
    torch.testing.assert_close(f(x, c)[1:2], f(x[1:2], c[1:2]))  # no row sees another


@pytest.mark.parametrize(("first", "even"), [(4, True), (5, False)])
def test_even_kernels_meet_every_pixel_equally_often(first, even):
    conv = strided_f(1, 16, 4, first=first)[0]
    assert isinstance(conv, torch.nn.Conv2d)
    with torch.no_grad():
        conv.weight.fill_(1.0)
    x = torch.zeros(1, 1, 16, 16, requires_grad=True)
    (met,) = torch.autograd.grad(conv(x).sum(), x)
    inside = met[0, 0, 4:-4, 4:-4]
    assert bool(inside.min() == inside.max()) == even


def test_a_generator_of_images_comes_back_from_the_end_of_the_range():
    """Samples that swung far past all white are still led by their gradient: behind a plain tanh it would be 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        g = PictureGenerator(2, 1, 8, 3, 4)
    last = list(g.parameters())[-1]
    with torch.no_grad():
        last.fill_(20.0)
    initial = g(torch.zeros(2, 3), torch.zeros(2, 2, 8, 8))
    assert initial.min() > 2
    (slope,) = torch.autograd.grad((initial - 1).square().mean(), last)
    assert slope > 0.1


def test_f_of_two_images_is_that_of_their_channels_together():
    """The first convolutions of image and source add up to one of all channels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        f, whole = PictureF(2, 1, 8, 4), strided_f(3, 8, 4, first=4)
    image, source = (net.state_dict() for net in (f.image, f.source))
    first = [torch.cat([image["weight"], source["weight"]], 1), image["bias"]]
    with torch.no_grad():
        for mine, theirs in zip(whole.parameters(), [*first, *f.top.parameters()], strict=True):
            mine.copy_(theirs)
    x, c = noise_like(torch.empty(4, 1, 8, 8), stream(1)), noise_like(torch.empty(4, 2, 8, 8), stream(2))
    torch.testing.assert_close(f(x, c), whole(torch.cat([x, c], 1))[:, 0])


def test_what_was_seen_is_kept_and_chains_are_free_around_the_hole():
    x = noise_like(torch.empty(2, 1, 8, 8), stream(1))
    hole = torch.zeros(1, 1, 8, 8)
    hole[..., 2:6, 2:6] = 1
    c = torch.cat([x * (1 - hole), hole.expand(2, -1, -1, -1)], 1)
    torch.testing.assert_close(filled(x, c), x)
    torch.testing.assert_close(filled(torch.zeros_like(x), c), x * (1 - hole))
    f, g = HoleF(PictureF(2, 1, 8, 4)), HoleGenerator(PictureGenerator(2, 1, 8, 3, 4))
    torch.testing.assert_close(g(torch.zeros(2, 3), c) * (1 - hole), x * (1 - hole))
    v = torch.zeros_like(x, requires_grad=True)
    (slope,) = torch.autograd.grad(f(v, c).sum(), v)
    assert (slope * (1 - hole)).abs().max() == 0
    assert (slope * hole).abs().max() > 0


def test_a_label_is_one_entry_more():
    net = WithLabel(nn.Identity(), 3)
    found = net(torch.zeros(2, 1), torch.tensor([2, 0]))
    assert found.tolist() == [[0, 0, 0, 1], [0, 1, 0, 0]]
    with pytest.raises(InputError, match="labels"):
        one_hot(torch.tensor([-1]), 3, found)


# --- sampling under a condition -------------------------------------------------------------------------------------


class Conditions(Recipe):
    """A recipe that is asked for conditions alone."""

    def __init__(self, classes: int) -> None:
        object.__setattr__(self, "of", classes)
        object.__setattr__(self, "dataset", sets.open("ring"))

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.of if self.of else None


Conditions.__abstractmethods__ = frozenset()


def opened(classes: int) -> Opened:
    return Opened(Path("run"), wells(Langevin(2, 0.3)), Conditions(classes), torch.device("cpu"))  # type: ignore[abstract]


def test_samples_are_drawn_by_label():
    for label, expected in ((-1, [0, 1, 2, 0]), (1, [1, 1, 1, 1])):
        found = sampling_conditions(opened(3), 4, label)
        assert found is not None
        assert found.tolist() == expected
    with pytest.raises(InputError, match="one of the labels"):
        sampling_conditions(opened(3), 2, 3)
    with pytest.raises(Unsupported, match="label needs"):
        sampling_conditions(opened(0), 2, 0)
    model, c = wells(Langevin(2, 0.3)), torch.tensor([0, 1, 2, 0, 1])
    together, apart = (samples(model, 5, c, seed=1, batch=b) for b in (5, 2))
    torch.testing.assert_close(together, apart)


# --- pairs of images ----------------------------------------------------------------------------------------------


@pytest.fixture
def paired(tmp_path):
    """12 pairs side by side, 8×8 each: the right half is the left one in negative, and its mean tells which it is."""
    for i in range(12):
        left = np.full((8, 8, 3), 10 * i, dtype=np.uint8)
        Image.fromarray(np.concatenate([left, 255 - left], 1)).save(tmp_path / f"{i:02d}.png")
    return tmp_path


def test_pairs_side_by_side(paired):
    found = pairs.side_by_side(paired, "all", 8)
    assert found.source.x[:, 0, 0, 0].tolist() == [10 * i for i in range(12)]
    torch.testing.assert_close(found.source.all(), -found.target.all())
    other = pairs.side_by_side(paired, "all", 8, source="right")
    assert torch.equal(other.source.x, found.target.x)
    train, test = (pairs.side_by_side(paired, s, 8) for s in ("train", "test"))
    assert len(train) + len(test) == 12
    assert len(test) > 0
    both = pairs.mirrored(found)
    assert torch.equal(both.source.x[12:], found.source.x.flip(3))


def test_pairs_are_two_squares(tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="side by side"):
        pairs.side_by_side(tmp_path, "all", 8)


def test_pairs_in_two_folders(paired, tmp_path_factory):
    sources, targets = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    for i in range(4):
        for folder, value, suffix in ((sources, i, "png"), (targets, 100 + i, "bmp")):
            Image.fromarray(np.full((8, 8), value, np.uint8)).save(folder / f"{i}.{suffix}")
    found = pairs.two_folders(sources, targets, "all", 8)
    assert (found.target.x[:, 0, 0, 0] - found.source.x[:, 0, 0, 0]).tolist() == [100] * 4
    (targets / "3.bmp").unlink()
    with pytest.raises(InputError, match="without a partner, the first 3"):
        pairs.two_folders(sources, targets, "all", 8)
    with pytest.raises(InputError, match="facades not found"):
        pairs.facades(paired, "train")


def test_pairs_from_the_command_line(paired, tmp_path_factory):
    """Train on your pairs, translate your sources."""
    run = tmp_path_factory.mktemp("run") / "pairs"
    for argv in (
        ["train", "conditional", "--data", paired, "--kind", "pairs", "--size", 8, "--tiny", "--out", run],
        ["sample", run, "--n", 3],
        ["translate", run, "--n", 2],
    ):
        cli.main([str(a) for a in [*argv, "--device", "cpu"]])
    found = np.load(run / "translate" / "translations.npz")
    assert found["refined"].shape[1:] == (3, 8, 8)
    recipe = recipes.build("conditional", str(paired), kind="pairs", size=8, batch=4)
    batch = next(recipe.batches())
    assert batch.c is not None
    torch.testing.assert_close(batch.x, -batch.c)  # every target beside its own source
    sources = recipe.conditions(3)
    assert sources is not None
    torch.testing.assert_close(sources[:1], -recipe.held_out(1))


def test_a_hole_is_the_central_half():
    images = np.random.default_rng(0).integers(0, 255, (20, 8, 8), dtype=np.uint8)
    recipe = InpaintingRecipe(dataset=sets.open(images), batch=2)
    assert recipe.hole().sum() == 16
    assert recipe.source(torch.ones(2, 1, 8, 8)).sum() == 2 * (48 + 16)
    batch, held = next(recipe.batches()), recipe.held_out(2)
    torch.testing.assert_close(batch.c, recipe.source(batch.x))
    torch.testing.assert_close(recipe.conditions(2), recipe.source(held))


def test_labels_are_the_condition_and_images_without_them_are_refused(tmp_path):
    for i in range(12):
        place = tmp_path / "data" / str(i % 3) / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 80 * (i % 3), np.uint8)).save(place)
    recipe = recipes.build("conditional", str(tmp_path / "data"), batch=6, latent=2, energy_width=2, generator_width=2)
    batch = next(recipe.batches())
    assert torch.equal(batch.c, batch.y)
    torch.testing.assert_close(batch.x[:, 0, 0, 0], 80 * batch.c / 127.5 - 1)
    assert recipe.conditions(4).tolist() == [0, 1, 2, 0]
    assert recipe.algorithm().ebm.f.by_label(batch.x).shape == (6, 3)
    with pytest.raises(InputError, match="images with labels"):
        recipes.build("conditional", np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8))
