"""Networks with a label, and the recipe that learns the images of each label by variational teaching."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from absynth import checkpoint, cli, recipes
from absynth.errors import InputError
from absynth.networks.labels import ByLabel, LabelEncoder
from absynth.seeding import stream


def test_f_of_a_label_is_that_labels_output_and_teaches_no_other():
    net = nn.Linear(4, 3)
    x, c = torch.randn(6, 4, generator=stream(0)), torch.tensor([0, 1, 2, 2, 1, 0])
    f = ByLabel(net, 3)
    torch.testing.assert_close(f(x, c), torch.stack([net(x)[i, c[i]] for i in range(6)]))
    f(x[:2], torch.tensor([1, 1])).sum().backward()
    assert net.bias.grad is not None
    assert net.bias.grad.tolist() == [0.0, 2.0, 0.0]


def test_an_encoder_with_labels_tells_two_labels_apart_by_more_than_a_shift():
    torch.manual_seed(0)
    net = LabelEncoder(nn.Linear(4, 8), 8, 2, 3)
    x = torch.randn(50, 4, generator=stream(1))
    first, second = (net(x, torch.full((50,), c)) for c in (0, 2))
    assert first.shape == (50, 4)
    assert (first - second).abs().max() > 1e-2
    assert (first - second).std(0).min() > 1e-4  # the difference depends on x
    with pytest.raises(InputError, match="0 to 2"):
        net(x, torch.full((50,), 3))


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Pictures in three sub-folders: dark, grey, light."""
    folder = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    for k, name in enumerate(("dark", "grey", "light")):
        (folder / name).mkdir()
        for i in range(20):
            level = rng.integers(0, 40, (8, 8)) + 100 * k
            Image.fromarray(level.astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


def train(folder, out, *flags: str) -> None:
    argv = ["variational_teaching", "--conditional", "true", "--data", str(folder), "--out", str(out), *flags]
    cli.main(["train", *argv, "--device", "cpu"])


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_a_folder_of_classes_trains_resumes_and_samples(network, classes, tmp_path):
    flags = ["--tiny", "--generator-network", network, "--energy-network", network]
    train(classes, tmp_path / "run", *flags)
    train(classes, tmp_path / "twice", *flags, "--steps", "2")
    train(classes, tmp_path / "twice", *flags)  # resumes
    one, other = (checkpoint.load(tmp_path / name).state_dict() for name in ("run", "twice"))
    assert all(torch.equal(one[k], other[k]) for k in one)
    cli.main(["sample", str(tmp_path / "run"), "--n", "6", "--label", "2", "--device", "cpu"])
    assert np.load(tmp_path / "run/sample/samples.npz")["x"].shape == (6, 1, 8, 8)


def test_batches_carry_the_labels_of_their_images_and_images_without_them_are_refused(classes):
    recipe = recipes.build("variational_teaching", str(classes), conditional=True, batch=9)
    assert recipe.classes == 3
    batch = next(recipe.batches())
    level = batch.x.flatten(1).mean(1)
    assert level[batch.c == 0].max() < level[batch.c == 1].min() < level[batch.c == 2].min()
    assert torch.equal(recipe.conditions(4), torch.tensor([0, 1, 2, 0]))
    assert recipes.build("variational_teaching", str(classes)).conditions(4) is None
    with pytest.raises(InputError, match="conditional needs images with labels"):
        recipes.build("variational_teaching", "ring", conditional=True).algorithm()


@pytest.mark.slow
def test_learned_initial_samples_follow_their_label(classes, tmp_path):
    flags = ["--generator-network", "mlp", "--energy-network", "mlp", "--steps", "150", "--batch", "20"]
    flags += ["--latent", "4", "--generator-width", "32", "--inference-width", "32", "--energy-width", "32"]
    flags += ["--chain-steps", "10", "--energy-lr", "2e-3", "--generator-lr", "2e-3", "--inference-lr", "2e-3"]
    train(classes, tmp_path / "run", *flags)
    model = checkpoint.load(tmp_path / "run")
    c = torch.arange(60) % 3
    level = model.sample(60, c, rng=stream(0)).flatten(1).mean(1)
    means = [float(level[c == k].mean()) for k in range(3)]
    assert means[0] + 0.3 < means[1] < means[2] - 0.3
