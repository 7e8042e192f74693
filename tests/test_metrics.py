"""Fréchet distance, feature spaces, ranking, quadrature, kernel discrepancy: closed forms and second formulas."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from laws import mean_is
from torch import nn

from absynth.errors import InputError
from absynth.metrics import (
    Features,
    Grid,
    classifier_features,
    detection,
    frechet,
    frechet_from_moments,
    inception_features,
    mmd,
    modes_hit,
    pca_reconstruction_error,
    pixel_features,
    precision_recall,
)
from absynth.metrics import features as features_module
from absynth.metrics.features import LeNet
from absynth.metrics.frechet import moments
from absynth.seeding import stream


def normal(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


# Fréchet distance


def test_frechet_of_diagonal_covariances_is_closed():
    a, b = torch.tensor([1.0, 4.0, 0.0]).double(), torch.tensor([9.0, 0.25, 2.0]).double()
    m, k = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([0.0, 2.5, 3.0]).double()
    expected = (m - k).square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    assert frechet_from_moments(m, a.diag(), k, b.diag()) == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("n", [200, 12], ids=["full rank", "fewer examples than dimensions"])
def test_frechet_agrees_with_the_matrix_square_root(rng, n):
    mix = normal(rng, 20, 20)
    a, b = normal(rng, n, 20) @ mix, normal(rng, n + 5, 20) * 0.7 + 0.2
    (m, s), (k, t) = moments(a), moments(b)
    np.testing.assert_allclose(s.numpy(), np.cov(a.numpy().T), rtol=1e-9, atol=1e-12)
    root = scipy.linalg.sqrtm((s @ t).numpy() if n > 20 else (s @ t + 1e-12 * torch.eye(20)).numpy())
    second = (m - k).square().sum() + s.trace() + t.trace() - 2 * np.trace(root).real
    assert frechet(a, b) == pytest.approx(second.item(), rel=1e-9 if n > 20 else 1e-4)


def test_frechet_is_a_distance_of_sets(rng):
    a, b = normal(rng, 50, 8), normal(rng, 60, 8) * 2
    assert frechet(a, a) == pytest.approx(0, abs=1e-12)
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-12)
    assert frechet(a[torch.randperm(50, generator=rng)], b) == pytest.approx(frechet(a, b), rel=1e-12)
    assert frechet(a + 3, a) == pytest.approx(8 * 9, rel=1e-12)
    thin = normal(rng, 10, 40)  # singular covariances: the usual formula is off by 1e-7 here
    assert frechet(thin, thin) == pytest.approx(0, abs=1e-12)


def test_frechet_shrinks_with_more_examples_of_one_law(rng):
    few, many = (frechet(normal(rng, n, 16), normal(rng, n, 16)) for n in (100, 4000))
    assert many < few / 10  # the bias is of order 1/n


def test_frechet_refuses_what_has_no_covariance(rng):
    with pytest.raises(InputError, match="at least 2 examples, got 1"):
        frechet(normal(rng, 1, 3), normal(rng, 5, 3))
    with pytest.raises(InputError, match="same dimension, got 3 and 4"):
        frechet(normal(rng, 5, 3), normal(rng, 5, 4))
    with pytest.raises(InputError, match="finite"):
        frechet(normal(rng, 5, 3) / 0, normal(rng, 5, 3))


# Feature spaces


@dataclass(frozen=True)
class Bars:
    """Images of a bright bar at one of three places, in noise."""

    x: torch.Tensor
    labels: torch.Tensor | None
    name: str = "bars"

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        return self.x[index].float() / 127.5 - 1


def bars(rng, n=600, size=8, channels=1) -> Bars:
    labels = torch.randint(3, (n,), generator=rng)
    x = torch.randint(90, (n, channels, size, size), generator=rng)
    for i, label in enumerate(labels.tolist()):
        x[i, :, :, 2 * label + 1] += 100
    return Bars(x.to(torch.uint8), labels * 5)  # labels need not be 0, 1, 2


def test_classifier_features_learn_are_kept_and_leave_the_global_state(rng, tmp_path):
    images = bars(rng)
    before = torch.random.get_rng_state()
    first = classifier_features(images, cache=tmp_path)
    stamp = (tmp_path / f"{first.name}.safetensors").stat().st_mtime_ns
    second = classifier_features(images, cache=tmp_path)
    with torch.random.fork_rng(devices=[]):
        torch.rand(7)  # the global state must not matter either
        elsewhere = classifier_features(images, cache=tmp_path / "other")
    other_seed = classifier_features(images, cache=tmp_path, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)

    assert first.name == "lenet64-bars-1x8x8-seed0"
    assert first.accuracy is not None
    assert first.accuracy > 0.9  # chance is a third
    assert json.loads((tmp_path / f"{first.name}.json").read_text())["accuracy"] == second.accuracy == first.accuracy
    assert (tmp_path / f"{first.name}.safetensors").stat().st_mtime_ns == stamp
    x = images.batch(torch.arange(600))
    assert first(x).shape == (600, 64)
    assert not first(x).requires_grad
    assert torch.equal(first(x), second(x))
    assert torch.equal(first(x), elsewhere(x))  # everything follows from images and seed
    assert not torch.equal(first(x), other_seed(x))
    torch.testing.assert_close(first(x)[500:], first(x[500:]))  # chunks join in order
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.is_file()) == [
        ".json",
        ".json",
        ".safetensors",
        ".safetensors",
    ]


def test_lenet_has_the_layers_of_its_docstring():
    shapes = [layer.weight.shape for layer in LeNet((3, 21, 13), 7).modules() if hasattr(layer, "weight")]
    assert shapes == [(16, 3, 5, 5), (32, 16, 5, 5), (64, 32 * 5 * 3), (7, 64)]
    x, found = torch.randn(2, 3, 21, 13), []
    for layer in LeNet((3, 21, 13), 7).body:
        x = layer(x)
        found.append(list(x.shape[1:]))
    assert found[0] == found[1] == [16, 21, 13]
    assert found[2] == [16, 10, 6]
    assert found[3] == found[4] == [32, 10, 6]
    assert found[5:] == [[32, 5, 3], [32 * 5 * 3], [64], [64]]
    assert (x >= 0).all()


def test_the_classifier_of_a_feature_space_is_trained_as_its_name_says(rng, monkeypatch):
    """A tenth held out, three epochs of Adam in batches of 100: the same numbers from a loop written here."""
    images = bars(rng, 230)
    labels = images.labels // 5
    labels[::2] = torch.randint(3, (115,), generator=rng)  # an accuracy that is neither 0 nor 1
    net, accuracy, trained_on = features_module._train(images, labels, (1, 8, 8), 3, 4)
    order = torch.randperm(230, generator=(own := stream(4)))
    held_out, order = order[:23], order[23:]
    torch.manual_seed(4)
    expected = LeNet((1, 8, 8), 3)
    adam = torch.optim.Adam(expected.parameters(), 1e-3)
    for _ in range(3):
        shuffled = order[torch.randperm(207, generator=own)]
        for index in (shuffled[:100], shuffled[100:200], shuffled[200:]):
            adam.zero_grad()
            (-expected(images.batch(index)).log_softmax(1)[range(len(index)), labels[index]].mean()).backward()
            adam.step()
    for a, b in zip(net.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    right = expected(images.batch(held_out)).argmax(1) == labels[held_out]
    assert 0 < right.float().mean() < 1
    assert (accuracy, trained_on) == (pytest.approx(right.double().mean().item()), 207)
    monkeypatch.setattr(features_module, "_EXAMPLES", 11)  # at most so many are trained and tested on
    net, accuracy, trained_on = features_module._train(images, labels, (1, 8, 8), 3, 4)
    right = net(images.batch(held_out[:11])).argmax(1) == labels[held_out[:11]]
    assert (accuracy, trained_on) == (pytest.approx(right.double().mean().item()), 11)


def test_a_fingerprint_is_of_all_labels_and_of_a_thousand_images_at_eight_bits(rng):
    x = torch.randint(256, (1500, 1, 2, 1), generator=rng).to(torch.uint8)
    labels = torch.arange(1500) % 7
    every = [k * 3 // 2 for k in range(1000)]
    expected = hashlib.sha256(labels.numpy().tobytes() + x[every].numpy().tobytes()).hexdigest()
    assert features_module._fingerprint(Bars(x, labels), labels) == expected
    assert features_module._evenly(10, 4).tolist() == [0, 2, 5, 7]
    assert features_module._evenly(3, 4).tolist() == [0, 1, 2]


def test_classifier_features_take_other_shapes(rng, tmp_path):
    features = classifier_features(bars(rng, 40, size=21, channels=3), cache=tmp_path)
    assert features.name == "lenet64-bars-3x21x21-seed0"
    assert features(torch.zeros(2, 3, 21, 21)).shape == (2, 64)
    with pytest.raises(InputError, match=r"takes images of shape \[3, 21, 21\], got \[1, 21, 21\]"):
        features(torch.zeros(2, 1, 21, 21))


def test_classifier_features_refuse_in_one_line(rng, tmp_path):
    images = bars(rng, 40)
    features = classifier_features(images, cache=tmp_path)
    changed = Bars(images.x.flip(0), images.labels)
    with pytest.raises(InputError, match="trained on others of the same name"):
        classifier_features(changed, cache=tmp_path)
    with pytest.raises(InputError, match="use pixel_features"):
        classifier_features(Bars(images.x, None), cache=tmp_path)
    with pytest.raises(InputError, match="2 classes and 20 examples, got 1"):
        classifier_features(Bars(images.x, torch.zeros(40).long()), cache=tmp_path)
    with pytest.raises(InputError, match="8 to 64 pixels a side, got 6x6"):
        classifier_features(Bars(images.x[:, :, :6, :6], images.labels), cache=tmp_path)
    (tmp_path / f"{features.name}.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="must be readable"):
        classifier_features(images, cache=tmp_path)


def test_features_at_the_limits_of_what_they_take(rng, tmp_path):
    for side in (8, 64):
        features = classifier_features(bars(rng, 20, size=side), cache=tmp_path)
        assert features(torch.zeros(1, 1, side, side)).shape == (1, 64)
    for n, side in ((19, 8), (20, 65), (20, 7)):
        with pytest.raises(InputError, match=r"pixels a side|20 examples"):
            classifier_features(bars(rng, n, size=side), cache=tmp_path)
    two = Bars(bars(rng, 20).x, torch.arange(20) % 2)
    assert classifier_features(two, cache=tmp_path / "two").accuracy is not None
    for dim in (1, 63):
        assert pixel_features(bars(rng, 300), dim=dim)(torch.zeros(2, 1, 8, 8)).shape == (2, dim)
    with pytest.raises(InputError, match="dim must lie between 1 and 19 here"):
        pixel_features(bars(rng, 20), dim=0)
    assert frechet(normal(rng, 2, 3), normal(rng, 2, 3)) > 0


def test_pixel_features_are_the_principal_components(rng):
    images = bars(rng, 300)
    before = torch.random.get_rng_state(), np.random.get_state(legacy=True)[1].copy()  # noqa: NPY002
    features = pixel_features(images, dim=4)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state(legacy=True)[1], before[1])  # noqa: NPY002
    assert features.name == "pca4-bars-1x8x8"
    x = images.batch(torch.arange(300))
    _, values, _ = torch.linalg.svd(x.flatten(1) - x.flatten(1).mean(0))
    torch.testing.assert_close(features(x).square().sum(0).sqrt()[:2], values[:2], rtol=1e-3, atol=0)
    torch.testing.assert_close(features(x).mean(0), torch.zeros(4), rtol=0, atol=1e-4)
    with pytest.raises(InputError, match="dim must lie between 1 and 63 here"):
        pixel_features(images, dim=64)


class Pool(nn.Module):
    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return x.float().mean([2, 3])


def test_inception_features_only_where_weights_are_given(tmp_path, monkeypatch):
    monkeypatch.delenv("ABSYNTH_INCEPTION", raising=False)
    assert inception_features()[0] is None
    assert "ABSYNTH_INCEPTION" in inception_features()[1]
    path = tmp_path / "pool.pt"
    monkeypatch.setenv("ABSYNTH_INCEPTION", str(path))
    assert "must name a file" in inception_features()[1]
    torch.jit.script(Pool()).save(path)
    features, _ = inception_features()
    assert isinstance(features, Features)
    assert features.name == "inception-pool"
    assert features(torch.tensor([-3.0, 0.0, 1.0]).reshape(3, 1, 1, 1)).tolist() == [
        [0.0] * 3,
        [128.0] * 3,
        [255.0] * 3,
    ]


def test_frechet_in_a_feature_space_orders_corruptions(rng, tmp_path):
    images = bars(rng, 600)
    x = images.batch(torch.arange(600))
    noise = torch.randn(300, 1, 8, 8, generator=rng)
    for features in (classifier_features(images, cache=tmp_path), pixel_features(images, dim=8)):
        real = features(x[:300])
        same, light, heavy = (frechet(real, features(x[300:] + scale * noise)) for scale in (0.0, 0.3, 1.0))
        assert same < light < heavy


# Ranking


def test_detection_extremes():
    anomaly = torch.tensor([False, True, False, True, False])
    perfect = detection(anomaly.double(), anomaly)
    assert (perfect.auprc, perfect.auroc, perfect.base_rate) == (1.0, 1.0, 0.4)
    assert (perfect.n_normal, perfect.n_anomaly) == (3, 2)
    scores = torch.tensor([3.0, 1.0, 4.0, 2.0, 5.0])  # the sign is wrong: anomalies rank last
    inverted = detection(scores, anomaly)
    assert inverted.auroc == 0.0
    assert inverted.auprc == pytest.approx(0.5 * (1 / 4) + 0.5 * (2 / 5))
    assert detection(torch.ones(5), anomaly).auroc == 0.5


def test_detection_by_hand():
    result = detection(torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([True, False, True, False]))
    assert result.auprc == pytest.approx(0.5 * 1 + 0.5 * (2 / 3))
    assert result.auroc == 0.75


def test_random_scores_reach_the_base_rate(rng):
    anomaly = torch.arange(2000) < 200
    results = [detection(normal(rng, 2000), anomaly) for _ in range(200)]
    mean_is(torch.tensor([r.auroc for r in results], dtype=torch.float64), 0.5)
    # Average precision of a random order: the mean over places k of E[precision at k | an anomaly at k].
    k = torch.arange(1, 2001, dtype=torch.float64)
    exact = ((1 + (k - 1) * 199 / 1999) / k).mean().item()
    assert exact == pytest.approx(0.1, abs=0.005)
    mean_is(torch.tensor([r.auprc for r in results], dtype=torch.float64), exact)


def test_precision_recall_is_the_curve_under_which_auprc_lies(rng):
    anomaly = torch.rand(300, generator=rng) < 0.3
    scores = normal(rng, 300) + anomaly
    precision, recall = precision_recall(scores, anomaly)
    assert recall[0] == 0
    assert recall[-1] == 1
    assert (recall.diff() >= 0).all()
    assert (recall.diff() * precision[1:]).sum().item() == pytest.approx(detection(scores, anomaly).auprc)


def test_detection_refuses_what_has_no_ranking():
    with pytest.raises(InputError, match="both classes are needed, got 0 anomalies among 3"):
        detection(torch.zeros(3), torch.zeros(3, dtype=torch.bool))
    with pytest.raises(InputError, match="expected 3, got 2"):
        precision_recall(torch.zeros(3), torch.tensor([True, False]))
    with pytest.raises(InputError, match="finite"):
        detection(torch.tensor([0.0, math.nan]), torch.tensor([True, False]))


def test_pca_reconstruction_error_is_the_distance_from_the_span(rng):
    plane = torch.linalg.qr(normal(rng, 6, 2)).Q.T
    train = normal(rng, 100, 2) @ plane + 5
    normal_direction = torch.linalg.svd(plane).Vh[2]
    test = torch.stack([train[0], train[0] + 3 * normal_direction])
    torch.testing.assert_close(pca_reconstruction_error(train, test, 2), torch.tensor([0.0, 9.0]).double())
    torch.testing.assert_close(pca_reconstruction_error(train, test, 0), (test - train.mean(0)).square().sum(1))
    assert pca_reconstruction_error(train, test, 1)[0] > 1e-3
    with pytest.raises(InputError, match="rank must lie between 0 and"):
        pca_reconstruction_error(train, test, 7)
    with pytest.raises(InputError, match="expected 6, got 5"):
        pca_reconstruction_error(train, test[:, :5], 2)


# Quadrature


def gaussian(mean, std):
    """Unnormalized, in as many dimensions as it is given."""
    return lambda x: -0.5 * ((x - mean) / std).square().sum(1)


@pytest.mark.parametrize("dim", [1, 2])
def test_grid_integrates_gaussians(dim):
    grid = Grid(-9, 11, 120, dim)
    assert grid.points.shape == (120**dim, dim)
    expected = dim * (math.log(1.5) + 0.5 * math.log(2 * math.pi))
    assert grid.log_integral(gaussian(1.0, 1.5)).item() == pytest.approx(expected, abs=1e-9)
    normalized = grid.log_prob(lambda x: gaussian(1.0, 1.5)(x) + 17)
    torch.testing.assert_close(normalized, gaussian(1.0, 1.5)(grid.points) - expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dim", [1, 2])
def test_grid_kl_of_gaussians(dim):
    grid = Grid(-18, 18, 150, dim)
    expected = dim * (math.log(2 / 1.2) + (1.2**2 + 0.7**2) / (2 * 2**2) - 0.5)
    assert grid.kl(gaussian(0.0, 1.2), lambda x: gaussian(0.7, 2.0)(x) - 40) == pytest.approx(expected, abs=1e-9)
    assert grid.kl(gaussian(0.0, 1.2), gaussian(0.0, 1.2)) == pytest.approx(0, abs=1e-12)
    reverse = grid.kl(gaussian(0.7, 2.0), gaussian(0.0, 1.2))
    assert abs(reverse - expected) > 0.1  # the order of arguments matters: p first


def test_grid_kl_where_p_or_q_vanishes():
    grid = Grid(-1, 1, 100, 1)
    right = lambda x: torch.where(x[:, 0] > 0, 0.0, -math.inf)  # noqa: E731
    flat = lambda x: 0 * x[:, 0]  # noqa: E731
    assert grid.kl(right, flat) == pytest.approx(math.log(2))
    assert grid.kl(flat, right) == math.inf


def test_grid_mass_and_what_lies_outside():
    """A border costs h²/24 times the density's slope there: 1.6e-5 for cells of 0.04 at 1."""
    grid = Grid(-8, 8, 400, 1)
    below = grid.mass(gaussian(0.0, 1.0), lambda x: x[:, 0] < 1)
    assert below == pytest.approx(0.5 * math.erfc(-1 / math.sqrt(2)), abs=2e-5)
    plane = Grid(-8, 8, 100, 2)
    assert plane.mass(gaussian(0.0, 1.0), lambda x: (x[:, 0] > 0) & (x[:, 1] > 0)) == pytest.approx(0.25, abs=1e-9)
    small = Grid(-1, 1, 400, 1)
    log_prob = lambda x: gaussian(0.0, 1.0)(x) - 0.5 * math.log(2 * math.pi)  # noqa: E731
    assert small.outside_mass(log_prob) == pytest.approx(math.erfc(1 / math.sqrt(2)), abs=1e-5)
    assert grid.outside_mass(log_prob) == pytest.approx(0, abs=1e-12)


def test_grid_of_cells_as_wide_as_the_standard_deviation_gives_eight_digits():
    got = Grid(-10, 10, 20, 1).log_integral(gaussian(0.3, 1.0)).item()
    assert got == pytest.approx(0.5 * math.log(2 * math.pi), abs=1e-8)


def test_grid_gradient_of_log_z():
    """For exp(θ x) N(0, 1), log Z = θ²/2 + constant, so its gradient is θ."""
    theta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    Grid(-10, 10, 200, 1).log_integral(lambda x: theta * x[:, 0] + gaussian(0.0, 1.0)(x)).backward()
    assert theta.grad is not None
    assert theta.grad.item() == pytest.approx(0.7, abs=1e-9)


def test_grid_evaluates_float32_networks_and_refuses_nonsense():
    network = nn.Linear(1, 1)
    value = Grid(0, 1, 10, 1, dtype=torch.float32).log_integral(lambda x: network(x).squeeze(1))
    assert value.dtype == torch.float64
    with pytest.raises(InputError, match="dim must be 1 or 2, got 3"):
        Grid(0, 1, 10, 3)
    with pytest.raises(InputError, match="high > low"):
        Grid(1, 1, 10, 1)


# Kernel discrepancy, modes


def test_mmd_closed_form_of_points_and_of_gaussians(rng):
    one = torch.zeros(1, 2)
    assert mmd(one, one + torch.tensor([3.0, 4.0]), bandwidths=[5.0]) == pytest.approx(2 - 2 * math.exp(-0.5))
    n, shift, h = 3000, 1.0, 0.8
    a, b = normal(rng, n, 1), normal(rng, n, 1) + shift
    spread = h**2 + 2  # E k over x − y ~ N(shift, 2)
    same, across = h / math.sqrt(spread), h / math.sqrt(spread) * math.exp(-(shift**2) / (2 * spread))
    biased = 2 * (same - across) + 2 / n * (1 - same)
    assert mmd(a, b, bandwidths=[h]) == pytest.approx(biased, rel=0.2)
    assert mmd(a, b) == pytest.approx(sum(mmd(a, b, bandwidths=[h]) for h in (0.2, 0.5, 1.0, 2.0)) / 4)


def test_mmd_is_symmetric_zero_on_equal_sets_and_sees_scale(rng):
    a, b = normal(rng, 1500, 2), normal(rng, 1100, 2)  # more than one slice of rows
    assert mmd(a, a[torch.randperm(1500, generator=rng)]) == pytest.approx(0, abs=1e-12)
    assert mmd(a, b) == pytest.approx(mmd(b, a))
    assert mmd(a, 1.3 * b) > 3 * mmd(a, b)
    with pytest.raises(InputError, match="same dimension, got 2 and 3"):
        mmd(a, normal(rng, 5, 3))
    with pytest.raises(InputError, match="positive"):
        mmd(a, b, bandwidths=[0.0])


def test_modes_hit_counts_shares(rng):
    angle = torch.arange(8) * math.pi / 4
    centres = 2 * torch.stack([angle.cos(), angle.sin()], 1).double()
    counts = [400, 300, 200, 80, 12, 8, 0, 0]
    x = torch.cat([c + 0.1 * normal(rng, n, 2) for c, n in zip(centres, counts)])
    assert modes_hit(x, centres) == 4
    assert modes_hit(x, centres, share=0.012) == 5
    assert modes_hit(x, centres, share=0.008) == 6
    with pytest.raises(InputError, match="got none"):
        modes_hit(x[:0], centres)


# Real data


@pytest.mark.slow
def test_classifier_features_on_digits_of_a_real_set(data_root: Path, tmp_path):
    from absynth.data.images import mnist

    train, test = mnist(data_root, "train"), mnist(data_root, "test")
    features = classifier_features(train, cache=tmp_path)
    assert features.accuracy is not None
    assert features.accuracy > 0.96
    real = features(train.batch(torch.arange(5000)))
    held_out = test.batch(torch.arange(5000))
    assert 10 * frechet(real, features(held_out)) < frechet(real, features(-held_out))
