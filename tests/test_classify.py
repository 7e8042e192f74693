"""Classes from few labels: which labels are known, the simple methods beside the model, bags of words, the task."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command import run
from laws import mean_is
from torch import Tensor

from absynth import recipes
from absynth.data.labels import choose_labelled
from absynth.data.vocabulary import PAD
from absynth.errors import InputError
from absynth.networks.bag_of_words import BagGenerator, WordCounts
from absynth.networks.recurrent_encoder import RecurrentEncoder
from absynth.seeding import Streams, noise_like, stream
from absynth.tasks.classify import components, compute_baselines, logistic_regression, nearest_neighbours
from absynth.tasks.opened import Opened
from absynth.types import Distribution

F64 = torch.float64


# --- which labels are known -----------------------------------------------------------------------------------------


def test_every_class_has_its_share_of_labels_and_the_seed_chooses_them():
    y = torch.arange(300) % 4 - 1
    rows = choose_labelled(y, 30, 3, seed=1)
    assert y[rows].bincount().tolist() == [10, 10, 10]
    assert len(set(rows.tolist())) == 30
    assert torch.equal(rows, choose_labelled(y, 30, 3, seed=1))
    assert not torch.equal(rows, choose_labelled(y, 30, 3, seed=2))
    assert torch.equal(choose_labelled(y, 0, 3, seed=1), (y >= 0).nonzero()[:, 0])


@pytest.mark.parametrize(("labels", "says"), [(31, "multiple of the 3 classes"), (3000, "at least 1000 labelled")])
def test_labels_that_are_not_there_are_refused(labels, says):
    with pytest.raises(InputError, match=says):
        choose_labelled(torch.arange(300) % 3, labels, 3, seed=1)


def test_only_the_chosen_labels_reach_the_model():
    recipe = recipes.build("symbol_vector", "digits_table", batch=60, labelled_batch=20, labels=20)
    known = {tuple(x.tolist()) for x in recipe.examples.batch(recipe.labelled_rows()).x}
    batches = recipe.batches()
    for _ in range(5):
        batch = next(batches)
        assert batch.y is not None
        assert (batch.y >= 0).sum() == 20
        assert all(tuple(x.tolist()) in known for x in batch.x[batch.y >= 0])
    other = replace(recipe, seed=1)
    assert not torch.equal(other.labelled_rows(), recipe.labelled_rows())


def test_labels_reach_the_loss():
    recipe = recipes.build("symbol_vector", "wine", tiny=True)
    batch = next(recipe.batches())
    torch.manual_seed(0)
    model = recipe.algorithm()
    with_labels, without = (model.losses(b, rng=stream(1))["inference"] for b in (batch, batch._replace(y=None)))
    assert with_labels > without


def test_batches_go_on_where_they_stopped():
    recipe = recipes.build("symbol_vector", "wine", batch=60, labelled_batch=20, labels=15)
    first, later = recipe.batches(), recipe.batches(3)
    for _ in range(3):
        next(first)
    a, b = next(first), next(later)
    assert torch.equal(a.x, b.x)


# --- methods without a model ----------------------------------------------------------------------------------------


def clouds(n: int, seed: int) -> tuple[Tensor, Tensor]:
    y = torch.arange(n) % 3
    means = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 3.0]], dtype=F64)
    return means[y] + noise_like(torch.empty(n, 2, dtype=F64), stream(seed)), y


def test_simple_methods_tell_clouds_apart_as_scikit_learn_does():
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    (known, y), (x, truth) = clouds(60, 1), clouds(900, 2)
    theirs = KNeighborsClassifier(3).fit(known.numpy(), y.numpy()).predict(x.numpy())
    ours = nearest_neighbours(known, y, x, 3)
    assert (ours == torch.as_tensor(theirs)).double().mean() > 0.99  # ties of three classes are settled otherwise
    scale = known.std(0)
    fitted = LogisticRegression(max_iter=1000).fit((known / scale).numpy(), y.numpy()).predict((x / scale).numpy())
    assert torch.equal(logistic_regression(known, y, x, 3), torch.as_tensor(fitted))
    assert (ours == truth).double().mean() > 0.9


def test_one_neighbour_is_the_nearest():
    known = torch.tensor([[0.0], [1.0], [5.0]], dtype=F64)
    assert nearest_neighbours(known, torch.tensor([2, 0, 1]), torch.tensor([[0.4], [4.0]], dtype=F64), 1).tolist() == [
        2,
        1,
    ]


def test_of_equal_votes_the_nearer_decide():
    known = torch.tensor([[0.0], [1.0]], dtype=F64)
    assert nearest_neighbours(known, torch.tensor([0, 1]), torch.tensor([[0.1], [0.9]], dtype=F64), 2).tolist() == [
        0,
        1,
    ]


def test_components_are_the_directions_of_most_variance():
    x = noise_like(torch.empty(500, 3, dtype=F64), stream(3)) * torch.tensor([1.0, 5.0, 0.1], dtype=F64) + 2
    mean, directions = components(x, 1)
    torch.testing.assert_close(mean, x.mean(0))
    assert directions[1, 0].abs() > 0.99
    assert components(x, 16)[1].shape == (3, 3)


def test_baselines_are_better_than_the_most_frequent_class():
    recipe = recipes.build("symbol_vector", "wine", labels=15)
    found = compute_baselines(Opened(Path("run"), recipe.algorithm(), recipe, torch.device("cpu")))
    assert len(found) == 3
    assert min(v for k, v in found.items() if k != "most frequent class") > found["most frequent class"] + 0.2


# --- bags of words --------------------------------------------------------------------------------------------------


def law(*rows: list[float], total: int = 4) -> WordCounts:
    return WordCounts(torch.tensor(rows, dtype=F64).log(), total)


def test_counts_of_a_given_sum_have_probabilities_that_sum_to_one():
    p = law([0.5, 0.3, 0.2])
    every = [[a, b, 4 - a - b] for a in range(5) for b in range(5 - a)]
    x = torch.tensor(every, dtype=F64)
    repeated = WordCounts(p.logits.expand(len(x), 3), 4)
    assert repeated.log_prob(x).exp().sum().item() == pytest.approx(1.0)
    assert isinstance(p, Distribution)


def test_the_mode_is_the_most_probable_of_all():
    for row in ([0.5, 0.3, 0.2], [0.34, 0.33, 0.33], [0.9, 0.05, 0.05], [0.26, 0.37, 0.37]):
        p = law(row)
        x = torch.tensor([[a, b, 4 - a - b] for a in range(5) for b in range(5 - a)], dtype=F64)
        best = WordCounts(p.logits.expand(len(x), 3), 4).log_prob(x).max()
        assert p.log_prob(p.mode).item() == pytest.approx(best.item())
        assert p.mode.sum() == 4


def test_drawn_counts_have_their_means_and_one_stream_a_row():
    p = WordCounts(torch.tensor([[0.5, 0.3, 0.2]], dtype=F64).log().expand(5000, 3), 4)
    x = p.sample(stream(4))
    assert (x.sum(1) == 4).all()
    mean_is(x, torch.tensor([2.0, 1.2, 0.8], dtype=F64))
    with pytest.raises(AssertionError):
        mean_is(x, torch.tensor([2.1, 1.1, 0.8], dtype=F64))
    few, many = (WordCounts(p.logits[:n], 4).sample(Streams(1, range(n))) for n in (2, 6))
    assert torch.equal(few, many[:2])


def test_a_generator_of_bags_begins_at_the_words_frequencies():
    made = BagGenerator(2, 8, torch.tensor([600.0, 300.0, 100.0]), 9)
    with torch.no_grad():
        made.net[-1].weight.zero_()
    torch.testing.assert_close(
        made(torch.zeros(1, 2)).logits.softmax(1), torch.tensor([[0.6, 0.3, 0.1]]), atol=2e-3, rtol=0
    )


# --- the encoder of sequences ---------------------------------------------------------------------------------------


def test_padding_is_not_read_and_order_is():
    net = RecurrentEncoder(10, embedding=4, hidden=6, outputs=4)
    x = torch.tensor([[3, 4, 5, 1], [6, 1, PAD, PAD]])
    wider = torch.cat([x, torch.full((2, 3), PAD)], 1)
    torch.testing.assert_close(net(x), net(wider))
    torch.testing.assert_close(net(x)[1:], net(torch.tensor([[6, 1]])))
    assert not torch.allclose(net(x)[0], net(torch.tensor([[4, 3, 5, 1]]))[0])


def test_both_directions_see_the_whole_sequence():
    net = RecurrentEncoder(10, embedding=4, hidden=6, outputs=4)
    with torch.no_grad():
        net.output.weight[:, :6] = 0  # the backward direction alone
    a, b = net(torch.tensor([[3, 4, 5, 1]])), net(torch.tensor([[3, 4, 7, 1]]))
    assert not torch.allclose(a, b)


# --- the task -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classify")
    rows = [f"{k % 2 * 6 - 3 + math.sin(k):.3f},{math.cos(k):.3f},{'no' if k % 2 else 'yes'}" for k in range(200)]
    (folder / "mine.csv").write_text("\n".join(["a,b,answer", *rows]) + "\n")
    flags = ["--tiny", "--data", folder / "mine.csv", "--labels", 10, "--device", "cpu"]
    assert run("train", "symbol_vector", "--out", folder / "run", *flags) == 0
    return folder


def test_the_task_tells_accuracy_beside_simple_methods(trained):
    assert run("classify", trained / "run", "--device", "cpu") == 0
    found = json.loads((trained / "run" / "classify" / "result.json").read_text())
    assert 0 <= found["figures"]["test accuracy"] <= 1
    assert len(found["baselines"]["test accuracy"]) == 3
    rows = list(csv.DictReader((trained / "run" / "classify" / "labels.csv").open()))
    assert len(rows) == 40
    (confusion,) = found["tables"]
    assert sum(sum(row[1:]) for row in confusion["rows"]) == 40


def test_the_task_writes_the_classes_of_a_users_file(trained):
    (trained / "more.csv").write_text("a,b\n3.1,0\n-2.9,1\n")
    assert run("classify", trained / "run", "--input", trained / "more.csv", "--device", "cpu") == 0
    rows = list(csv.DictReader((trained / "run" / "classify" / "labels.csv").open()))
    assert [row["example"] for row in rows] == ["0", "1"]
    assert all(row["class"] in ("no", "yes") and 0.5 <= float(row["probability"]) <= 1 for row in rows)


def test_a_model_without_classes_is_told_so(tmp_path, capsys):
    assert (
        run("train", "latent_prior", "--data", "four_modes", "--out", tmp_path / "run", "--tiny", "--device", "cpu")
        == 0
    )
    capsys.readouterr()
    assert run("classify", tmp_path / "run") == 2
    assert "classify needs data with labels" in capsys.readouterr().err
