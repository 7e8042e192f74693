"""Reconstruction by whatever infers z: the error of the exact posterior, and the task on every kind of generator."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from cases import CASES
from PIL import Image
from test_refine import F64, linear_model
from test_tasks import run

from absynth.algorithms import VAE
from absynth.errors import InputError
from absynth.seeding import stream
from absynth.tasks.reconstruct import reconstruct, reconstruction_error

CPU = torch.device("cpu")


def expected_error(std: float = 0.3) -> float:
    """Of x = Wz + b + σε generated back at a draw of p(z|x): noise out of W's span, and twice the posterior's spread.

    In W's span, x − Wz̃ = σε + W(z − z̃) has variance σ² a direction: the residual of the posterior mean, of variance
    σ⁴/(σ² + 4), and the draw's own, 4σ²/(σ² + 4); out of it σε stays.
    """
    inside = std**4 / (std**2 + 4) + 4 * std**2 / (std**2 + 4)
    return (2 * inside + 4 * std**2) / 6


def test_the_error_is_that_of_the_exact_posterior_by_a_network_and_by_a_network_and_a_chain():
    both = linear_model()  # orthogonal columns of length 2, and an inference model that is the exact posterior
    alone = VAE(both.generator, both.inference, both.prior)
    x = both.generator(both.reference.sample(6000, stream(1))).sample(stream(2)).detach()
    # Ten steps of .1 widen the posterior, whose draws are a third of the error, by about a tenth.
    for model, close in ((alone, 0.02), (both, 0.05)):
        found = reconstruction_error(model, x, seed=0, batch=2000, device=CPU)
        assert found == pytest.approx(expected_error(), rel=close)
    back = alone.generate(alone.sample_prior(len(x), rng=stream(3)))  # from z that hears nothing of x
    assert float(((back - x) ** 2).mean()) > 5 * expected_error()


def test_a_model_that_learned_without_inference_says_so():
    model = CASES["Cooperative fast"].build()
    with pytest.raises(InputError, match="Cooperative was trained without"):
        reconstruct(model, torch.zeros(3, 5, dtype=F64), rng=stream(0))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(45):
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    return folder


@pytest.mark.parametrize(
    "argv",
    [
        ("dual_teaching", "--data", "{photos}"),
        ("cooperative", "--data", "{photos}", "--teaching", "full"),
        ("vae", "--data", "{photos}"),
        ("alternating_backprop", "--data", "{photos}"),
        ("variational_teaching", "--data", "ring"),
        ("joint_vae", "--data", "ring"),
    ],
    ids=lambda argv: argv[0],
)
def test_the_task_answers_on_every_model_that_infers(argv, photos, tmp_path):
    flags = [part.format(photos=photos) for part in argv]
    assert run("train", *flags, "--out", tmp_path / "run", "--tiny", "--device", "cpu") == 0
    assert run("reconstruct", tmp_path / "run", "--n", 7, "--device", "cpu") == 0
    found = json.loads((tmp_path / "run/reconstruct/result.json").read_text())
    (figure,) = found["figures"]
    assert figure == ("test MSE" if "{photos}" in argv else "−log p(x|z), nats")
    assert np.isfinite(found["figures"][figure])
    assert (tmp_path / "run/reconstruct" / found["pictures"][0]["file"]).exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("cooperative", "--data", "ring"), "--teaching full"),
        (("diffusion_recovery", "--data", "ring"), "latent variable"),
        (("inpainting", "--data", "{photos}"), "without a condition"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_run_that_cannot_is_told_so_in_one_line(argv, says, photos, tmp_path, capsys):
    flags = [part.format(photos=photos) for part in argv]
    assert run("train", *flags, "--out", tmp_path / "run", "--tiny", "--device", "cpu") == 0
    capsys.readouterr()
    assert run("reconstruct", tmp_path / "run", "--n", 7, "--device", "cpu") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line
