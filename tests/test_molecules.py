"""Molecules: reading, tokens, quality on known strings, distances in closed form, the n-gram's law, guidance."""

from __future__ import annotations

import builtins
import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from laws import mean_is
from PIL import Image
from torch import Tensor, nn

from absynth import cli
from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.data.molecules import PATTERNS, smiles_file, zinc
from absynth.data.vocabulary import Vocabulary, most_frequent
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, Normal, StandardNormal
from absynth.errors import InputError
from absynth.metrics import molecules
from absynth.metrics.molecules import Quality, draw, measured, quality, wasserstein1
from absynth.metrics.ngram import NGram
from absynth.networks.recurrent import RecurrentGenerator
from absynth.recipes.latent_prior.smiles import LatentPriorSMILES
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream
from absynth.tasks.guide import Head, fit_head, guided
from absynth.types import Batch

pytest.importorskip("rdkit")

SMILES = ["CCO", "c1ccccc1", "CC(=O)[O-]", "C[C@@H](N)C(=O)O", "ClCCBr", "O=C1CCCN1", "CCN", "CCCl", "C1CC1", "CCCC",
          "CNC", "OCCO"]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.smi"
    path.write_text("\n".join(SMILES) + "\n")
    return path


# --- reading --------------------------------------------------------------------------------------------------------


def test_every_tenth_molecule_is_held_out_and_names_are_left_off(tmp_path: Path):
    path = tmp_path / "a.smi.gz"
    lines = ["smiles,name"] + [f"{s} mol{i}" for i, s in enumerate(SMILES)] + [""]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert list(smiles_file(path, "test").lines) == [SMILES[9]]
    assert list(smiles_file(path, "train").lines) == SMILES[:9] + SMILES[10:]


@pytest.mark.parametrize(
    ("text", "said"),
    [("CCO\n" * 9, "at least 10"), ("CCO\n" * 10 + "C!C\n", "line 11: expected a SMILES"), ("", "at least 10")],
)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, text: str, said: str):
    path = tmp_path / "bad.smi"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        smiles_file(path, "train")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="found none"):
        smiles_file(tmp_path / "none.smi", "train")


def test_zinc_s_parts_share_no_molecule(data_root: Path):
    train, test = (zinc(data_root, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (34_445, 5_000)
    assert not set(train.lines) & set(test.lines)


@pytest.mark.parametrize("tokens", ["atoms", "characters"])
def test_tokens_make_the_text_again(tokens):
    pattern = PATTERNS[tokens]
    words = Vocabulary(most_frequent(SMILES, 100, pattern=pattern), pattern=pattern, join="")
    assert words.texts(words.rows(SMILES, 40)) == SMILES
    split = words.split("C[C@@H](Cl)Br")
    assert split == (["C", "[C@@H]", "(", "Cl", ")", "Br"] if tokens == "atoms" else [*"C[C@@H](", "Cl", ")", "Br"])


# --- quality --------------------------------------------------------------------------------------------------------


def test_quality_of_known_strings():
    generated = ["CCO", "OCC", "C(C)O", "c1ccccc1", "c1ccccc", "C(C)(C)(C)(C)C", "", "CC"]
    found = quality(generated, ["CC", "N"])
    assert found == Quality(generated=8, valid=5, unique=3, new=4)
    assert (found.validity, found.uniqueness, found.novelty) == (5 / 8, 3 / 5, 4 / 5)
    nothing = quality(["C(", ""], ["CC"])
    assert (nothing.validity, nothing.uniqueness, nothing.novelty) == (0, 0, 0)
    with pytest.raises(InputError, match="got none"):
        quality([], ["CC"])


def test_properties_of_known_molecules():
    assert measured(["c1ccccc1", "C(", "C1CC1C2CC2"], "rings").tolist() == [1, 2]
    assert measured(["c1ccccc1", "CC"], "length").tolist() == [8, 2]
    assert measured(["c1ccccc1"], "logP")[0] == pytest.approx(1.6866, abs=1e-3)
    assert 0 < measured(["c1ccccc1"], "QED")[0] < 1
    with pytest.raises(InputError, match="one of length"):
        measured(["C"], "weight")


def test_the_distance_between_distributions_in_closed_form():
    x = np.random.default_rng(0).normal(size=500)
    assert wasserstein1(x, x + 2) == pytest.approx(2)
    assert wasserstein1(x, x[::-1]) == pytest.approx(0)
    assert wasserstein1(np.zeros(3), np.array([0.0, 0, 1, 1])) == pytest.approx(0.5)
    y = np.random.default_rng(1).normal(size=700)
    assert wasserstein1(x, y) == pytest.approx(wasserstein1(y, x))
    assert wasserstein1(x, y) < 0.2 < wasserstein1(x, 1.5 * y)


def test_what_moses_compares_on_known_molecules():
    """Ethanol is one BRICS piece; two rings joined by a bond are a scaffold, one ring is none."""
    assert molecules.nearest_similarity(["OCC", "CCO"], ["CCO", "c1ccccc1"]) == 1
    assert molecules.nearest_similarity(["CCCCCCCC"], ["c1ccccc1"]) == 0
    pieces = molecules.fragments(["CCO", "C(", "CCOC(=O)c1ccccc1"])
    assert pieces["CCO"] == 1
    assert sum(pieces.values()) > 2
    rings = molecules.scaffolds(["Cc1ccccc1-c1ccccc1", "c1ccc(-c2ccccc2)cc1", "Cc1ccccc1"])
    assert rings == {"c1ccc(-c2ccccc2)cc1": 2}
    assert molecules.cosine(rings, rings) == pytest.approx(1)
    assert molecules.cosine(rings, pieces) == 0
    assert molecules.cosine(pieces, pieces + pieces + rings) < 1
    assert molecules.cosine(pieces, Counter()) == 0
    with pytest.raises(InputError, match="got none"):
        molecules.nearest_similarity(["C("], ["CCO"])


def test_without_rdkit_one_line_says_so(monkeypatch, tmp_path):
    real = builtins.__import__

    def missing(name, *rest, **more):
        if name.startswith("rdkit"):
            raise ImportError(name)
        return real(name, *rest, **more)

    molecules.rdkit.cache_clear()
    monkeypatch.setattr(builtins, "__import__", missing)
    for needs_it in (
        lambda: quality(["C"], []),
        lambda: molecules.measured(["C"], "logP"),
        lambda: molecules.nearest_similarity(["C"], ["C"]),
        lambda: molecules.fragments(["C"]),
        lambda: molecules.scaffolds(["C"]),
        lambda: molecules.draw([], tmp_path / "none.png"),
    ):
        with pytest.raises(InputError, match=r"pip install 'absynth\[molecules\]'"):
            needs_it()
    monkeypatch.undo()
    assert quality(["C"], []).valid == 1


def test_a_sheet_shows_valid_molecules_alone(tmp_path: Path):
    assert draw(["CCO", "C(", "c1ccccc1"], tmp_path / "a.png") == 2
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert draw(["C"] * 7, tmp_path / "c.png", columns=2, rows=3) == 6
    assert Image.open(tmp_path / "c.png").size == (2 * 220, 3 * 180)
    assert draw(["C("], tmp_path / "b.png") == 0
    assert not (tmp_path / "b.png").exists()


# --- the n-gram -----------------------------------------------------------------------------------------------------


def test_the_n_gram_draws_by_what_was_counted():
    """Three rows: after 3 comes 4 twice and 5 once; after 4 or 5 the end."""
    rows = torch.tensor([[3, 4, 1], [3, 4, 1], [3, 5, 1]])
    n = 20_000
    x = NGram(rows, 1).sample(n, stream(0))
    assert (x[:, 0] == 3).all()
    assert (x[:, 2] == 1).all()
    mean_is((x[:, 1] == 5).double()[:, None], torch.tensor([1 / 3], dtype=torch.float64))
    cold = NGram(rows, 1, temperature=0.5).sample(n, stream(0))  # 4 : 1 instead of 2 : 1
    mean_is((cold[:, 1] == 5).double()[:, None], torch.tensor([1 / 5], dtype=torch.float64))
    with pytest.raises(AssertionError):  # the test above can fail
        mean_is((cold[:, 1] == 5).double()[:, None], torch.tensor([1 / 3], dtype=torch.float64))


def test_a_long_context_repeats_its_rows_and_none_mixes_them():
    rows = torch.tensor([[3, 4, 5, 1, 0], [6, 4, 7, 7, 1]])
    known = {tuple(row) for row in rows.tolist()}
    assert {tuple(row) for row in NGram(rows, 3).sample(50, stream(1)).tolist()} == known
    assert not {tuple(row) for row in NGram(rows, 1).sample(50, stream(1)).tolist()} <= known
    with pytest.raises(InputError, match="order"):
        NGram(rows, -1)


# --- writing and guidance -------------------------------------------------------------------------------------------

SHORT = Langevin(5, 0.3)


def amortized(generator: nn.Module, latent: int, sampler: Langevin = SHORT) -> AmortizedLatentPrior:
    class Flat(nn.Module):
        def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
            return 0 * z.sum(1)

    inference = GaussianGenerator(nn.Identity(), 1.0)
    return AmortizedLatentPrior(
        EBM(Flat(), StandardNormal(latent)), generator, inference,  # type: ignore[arg-type]
        prior_sampler=sampler, posterior_sampler=sampler,
    )  # fmt: skip


def test_a_temperature_takes_the_law_of_a_token_to_its_power():
    torch.manual_seed(0)
    generator = RecurrentGenerator(6, latent=2, embedding=3, hidden=4, length=1)
    model = amortized(generator, 2)
    z = torch.ones(20_000, 2)
    law = generator(z[:1])
    log_p = torch.stack([law.log_prob(torch.tensor([[token]])) for token in range(1, 6)], 1)[0].detach().double()
    x = model.draw(z, temperature=0.5, rng=stream(2))[:, 0]
    seen = nn.functional.one_hot(x - 1, 5).double()
    mean_is(seen, (2 * log_p).softmax(0))
    with pytest.raises(AssertionError):
        mean_is(seen, log_p.softmax(0))
    torch.testing.assert_close(generator(z[:1]).log_prob(x[:1, None]), law.log_prob(x[:1, None]))  # left as it was
    with pytest.raises(InputError, match="temperature"):
        model.draw(z, temperature=0.0, rng=stream(2))


def test_a_head_learns_a_property_and_knows_what_it_misses():
    z = noise_like(torch.empty(3000, 3), stream(3))
    y = 2.5 + z[:, 0] + 0.5 * noise_like(z[:, 0], stream(4))
    head = fit_head(z, y, seed=0)
    assert head.error == pytest.approx(0.5, rel=0.15)
    assert head.explained == pytest.approx(0.8, abs=0.06)
    noise = fit_head(z, noise_like(z[:, 0], stream(5)), seed=0)
    assert noise.explained < 0.1
    with pytest.raises(InputError, match="at least 20"):
        fit_head(z[:5], y[:5], seed=0)


def test_guidance_draws_from_the_posterior_of_an_exact_head():
    """p = N(0, I), h(z) = 2 z_1, y = 4, s = 1: the posterior of z_1 is N(8/5, 1/5), of z_2 N(0, 1)."""
    net = nn.Linear(2, 1)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[2.0, 0.0]]))
        net.bias.zero_()
    model = amortized(GaussianGenerator(nn.Identity(), 1.0), 2, Langevin(250, 0.1))
    z = guided(model.chain(), Head(net, 0.0, 1.0, 1.0), 4.0, 4000, std=1.0, rng=stream(6)).double()
    mean_is(z[:, :1], torch.tensor([1.6], dtype=torch.float64))
    assert z[:, 0].var().item() == pytest.approx(1 / (5 * (1 - 0.01 * 5 / 4)), rel=0.1)
    assert z[:, 1].mean().abs() < 0.1


# --- the whole way --------------------------------------------------------------------------------------------------


def test_a_user_s_molecules_are_learned_sampled_and_guided(file: Path, tmp_path: Path, monkeypatch):
    path = tmp_path / "many.smi"
    path.write_text("\n".join(SMILES * 8) + "\n")
    run = tmp_path / "run"
    cli.main(["train", "latent_prior", "--data", str(path), "--out", str(run), "--tiny"])
    cli.main(["sample", str(run), "--n", "6"])
    assert len((run / "sample" / "samples.smi").read_text().splitlines()) == 6
    cli.main(["guide", str(run), "--property", "logP", "--value", "1", "--n", "8"])
    assert len((run / "guide" / "guided.smi").read_text().splitlines()) == 8


def test_batches_follow_from_their_number_and_are_alike_in_length(file: Path):
    recipe = LatentPriorSMILES(data=str(file), batch=2, limit=0).resolve()
    assert isinstance(recipe, LatentPriorSMILES)
    ahead, batches = recipe.batches(3), recipe.batches()
    for _ in range(3):
        next(batches)
    for _ in range(7):
        a, b = next(ahead), next(batches)
        assert torch.equal(a.x, b.x)
        assert torch.equal(recipe.examples.batch(a.index).x, a.x)
    spread = [int((b.x > 0).sum(1).diff().abs()) for b, _ in zip(recipe.batches(), range(40))]
    assert np.mean(spread) < 3  # 4.5 for pairs at random


def test_what_stands_for_the_posterior_has_the_weight_of_the_likelihood():
    model = amortized(GaussianGenerator(nn.Identity(), 1.0), 2)

    x = noise_like(torch.empty(6, 2), stream(7))
    plain, *_ = model.variational(Batch(x), rng=stream(8))
    model.likelihood_weight = 3.0
    weighted = model.losses(Batch(x), rng=stream(8))
    torch.testing.assert_close(weighted["inference"] - plain["inference"], 2 * plain["generator"])
    assert isinstance(model.inference(x), Normal)
