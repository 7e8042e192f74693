"""Feature-map latents: sizes, what a site reaches, how local its effect is measured to be."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from absynth import recipes
from absynth.algorithms import LatentPrior
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, StandardNormal
from absynth.errors import InputError
from absynth.networks.feature_maps import map_f, map_generator, vector_generator
from absynth.samplers import Langevin
from absynth.seeding import stream
from absynth.tasks.edit import command, effects, locality, paste, window
from absynth.training import fit
from absynth.types import Batch


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("side", "size"), [(4, 28), (4, 32), (4, 64), (2, 8), (3, 10), (4, 14)])
def test_generators_make_the_size_from_the_map(side, size):
    net = map_generator(5, side, size, 3, 16)
    assert net(torch.randn(2, 5, side, side)).shape == (2, 3, size, size)


def test_a_size_that_doubling_does_not_reach_is_one_line():
    with pytest.raises(InputError, match="makes 4 or 7 times a power of two, got size 30") as error:
        map_generator(5, 4, 30, 3, 16)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [28, 32])
def test_the_vector_of_comparison_has_as_many_parameters(size):
    width = 48
    ours = map_generator(4, 4, size, 1, width)
    theirs = vector_generator(64, 4, size, 1, width, count(ours))
    assert theirs(torch.randn(2, 64)).shape == (2, 1, size, size)
    assert abs(count(theirs) / count(ours) - 1) < 0.1


def test_first_weights_hand_on_the_variance_of_z():
    """And torch's own do not."""
    torch.manual_seed(0)
    net = map_generator(4, 8, 64, 1, 32)
    z = torch.randn(64, 4, 8, 8)
    inside = slice(16, 48)  # away from borders, where there is less to add up
    assert 1 < net[:-1](z)[..., inside, inside].var().item() < 4
    for layer in net:
        if isinstance(layer, nn.ConvTranspose2d):
            layer.reset_parameters()
    assert net[:-1](z)[..., inside, inside].var().item() < 0.1


def test_f_is_a_sum_of_local_terms():
    """Far enough apart, two changes of z add up; and a site's gradient does not depend on how many sites there are."""
    torch.manual_seed(0)
    f = map_f(2, 12, 6, "silu").double()
    z, a, b = (torch.randn(1, 2, 12, 12, dtype=torch.float64) for _ in range(3))
    near = (slice(None), slice(None), slice(0, 1), slice(0, 1))
    far = (slice(None), slice(None), slice(9, 10), slice(9, 10))
    z_a, z_b, both = z.clone(), z.clone(), z.clone()
    z_a[near], z_b[far], both[near], both[far] = a[near], b[far], a[near], b[far]
    torch.testing.assert_close(f(both) - f(z), (f(z_a) - f(z)) + (f(z_b) - f(z)))
    beside = z.clone()
    beside[..., 0, 1], z_a[..., 0, 1] = b[..., 0, 1], b[..., 0, 1]
    first = z.clone()
    first[near] = a[near]
    assert (f(z_a) - f(z) - (f(first) - f(z)) - (f(beside) - f(z))).abs() > 1e-6, "neighbours do not add up"


class Patches(nn.Module):
    """Each site of z fills its own 2×2 pixels: as local as can be."""

    def forward(self, z):
        return z.repeat_interleave(2, 2).repeat_interleave(2, 3)


class Mean(nn.Module):
    """Each site of z changes all pixels alike."""

    def forward(self, z):
        return z.mean((2, 3), keepdim=True).expand(-1, -1, 8, 8)


def model(net: nn.Module) -> LatentPrior:
    prior = EBM(map_f(1, 4, 4), StandardNormal(1, 4, 4))
    chain = Langevin(2, 0.1)
    return LatentPrior(prior, GaussianGenerator(net, 0.3), prior_sampler=chain, posterior_sampler=chain)


def test_locality_is_one_where_sites_own_their_patch_and_area_where_they_do_not():
    z, other = torch.randn(2, 6, 1, 4, 4)
    local = locality(effects(model(Patches()), z, other))
    assert local["in the cell"] == pytest.approx(1)
    assert local["in the window"] == pytest.approx(1)
    assert local["pixels reached"] == pytest.approx(1 / 16)
    everywhere = locality(effects(model(Mean()), z, other))
    assert everywhere["in the cell"] == pytest.approx(1 / 16)
    assert everywhere["in the window"] < 0.26
    assert everywhere["pixels reached"] == 1


def test_energies_of_positive_and_negative_examples_are_those_of_the_chains_ends():
    prior = model(Patches())
    with torch.no_grad():
        for p in prior.prior.parameters():
            p.mul_(4)  # so that f moves z
    prior.losses(Batch(torch.randn(5, 1, 8, 8)), rng=stream(0))
    for name, chain in (("negative", "prior"), ("positive", "posterior")):
        expected = prior.prior().energy(prior.chains[chain].end).mean()
        torch.testing.assert_close(prior.energies[name], expected.detach())
        assert not prior.energies[name].requires_grad
    assert prior.energies["negative"] != prior.energies["positive"]


def test_windows_cover_half_a_cell_more_on_each_side():
    assert [window(i, 4, 8) for i in range(4)] == [slice(0, 3), slice(1, 5), slice(3, 7), slice(5, 8)]


def test_a_pasted_patch_changes_its_sites_alone():
    z, other = torch.randn(2, 3, 2, 4, 4)
    mixed = paste(z, other, slice(1, 3), slice(0, 2))
    assert torch.equal(mixed[..., 1:3, 0:2], other[..., 1:3, 0:2])
    assert torch.equal(mixed[..., 0, :], z[..., 0, :])
    assert torch.equal(mixed[..., 2:], z[..., 2:])


def test_edit_asks_for_a_map_and_for_sites_of_it(tmp_path):
    """Through fit and the task, on your images."""
    images = (torch.rand(40, 1, 8, 8, generator=stream(0)) * 255).byte().numpy()
    np.save(tmp_path / "mine.npy", images)
    recipe = recipes.build(
        "latent_prior_conv", str(tmp_path / "mine.npy"), steps=2, batch=4, map_side=2, latent=2, generator_width=8,
        energy_width=4, prior_steps=2, posterior_steps=2, threads=1, log_every=1, vector=100,
    )  # fmt: skip
    fit(recipe, tmp_path / "run")
    found = command(tmp_path / "run", n=1, rows=(0, 1), columns=(0, 1), device="cpu")
    assert 0 < found.figures["effect in the window"] <= 1
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert set(last["energy"]) == {"positive", "negative"}
    assert [p["file"] for p in found.pictures] == ["edits.png", "locality.png"]
    with Image.open(tmp_path / "run" / "edit" / "locality.png") as drawn:  # the strongest change is white
        assert drawn.convert("L").getextrema() == (0, 255)
    with pytest.raises(InputError, match=r"rows must be \[from,up to\] within 0 to 2, got \[0,3\]"):
        command(tmp_path / "run", rows=(0, 3), device="cpu")
    fit(replace(recipe, latent_shape="vector"), tmp_path / "vector")
    with pytest.raises(InputError, match=r"feature map, that of .* has shape \[100\]"):
        command(tmp_path / "vector", device="cpu")
