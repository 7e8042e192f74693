"""Sequences: vocabularies and readers round trip, and p(x|z) is the law that it says, by enumeration."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from absynth import fit, load
from absynth.algorithms import LatentPrior
from absynth.data.vocabulary import END, PAD
from absynth.density import EBM, score
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.metrics.text import KneserNey, _Level, forward_perplexity, reverse_perplexity
from absynth.networks.mlp import mlp_f
from absynth.networks.recurrent import RecurrentEncoder, RecurrentGenerator
from absynth.recipes import build
from absynth.recipes.latent_prior.text import LatentPriorText
from absynth.samplers import Langevin
from absynth.seeding import Streams, noise_like, stream
from absynth.tasks import chain, interpolate, perplexity, reconstruct, sample

F64 = torch.float64
LINES = ["the cat sat on the mat", "the dog sat", "a cat  and a dog", "on the mat the cat sat"]

# --- p(x|z) ---------------------------------------------------------------------------------------------------------

SIZE, LENGTH = 5, 3  # tokens END, UNKNOWN and two more, three places: 1 + 3 + 9 ended or full sequences and 27 full


def small(latent: int = 2, size: int = SIZE, length: int = LENGTH) -> RecurrentGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = RecurrentGenerator(size, latent=latent, embedding=4, hidden=6, length=length).double()
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.7)  # far from uniform, so that an error shows
    return net


def z(n: int, latent: int = 2) -> torch.Tensor:
    return noise_like(torch.empty(n, latent, dtype=F64), stream(3))


def all_sequences() -> torch.Tensor:
    rows = []
    for k in range(LENGTH):
        rows += [[*body, END, *[PAD] * (LENGTH - k - 1)] for body in itertools.product(range(2, SIZE), repeat=k)]
    rows += list(itertools.product(range(2, SIZE), repeat=LENGTH))
    return torch.tensor(rows)


def test_all_sequences_together_have_probability_one():
    x = all_sequences()
    net = small()
    for row in z(3):
        total = net(row.expand(len(x), -1)).log_prob(x).exp().sum()
        torch.testing.assert_close(total, torch.tensor(1.0, dtype=F64), rtol=1e-12, atol=0)


def test_log_prob_is_the_product_of_single_steps():
    """By hand, one cell at a time: z in the first state and beside every token."""
    net, zs = small(), z(1)
    x = torch.tensor([[3, 2, 1]])
    h = (net.first.weight @ zs[0] + net.first.bias)[None]
    state, total = (h[None], torch.zeros_like(h)[None]), 0.0
    for before, token in ((PAD, 3), (3, 2), (2, 1)):
        out, state = net.lstm(torch.cat([net.embedding.weight[before], zs[0]])[None, None], state)
        total += net.output(out[0, 0]).log_softmax(0)[token - 1]
    torch.testing.assert_close(net(zs).log_prob(x)[0], total)


def test_padding_changes_nothing():
    net, zs = small(length=6), z(4)
    x = all_sequences()[[0, 2, 5, 9]]
    wide = torch.nn.functional.pad(x, (0, 3), value=PAD)
    torch.testing.assert_close(net(zs).log_prob(wide), net(zs).log_prob(x))
    alone = torch.stack([net(zs[i : i + 1]).log_prob(x[i : i + 1])[0] for i in range(4)])
    torch.testing.assert_close(net(zs).log_prob(x), alone)
    assert (net(zs).log_probs(wide)[wide == PAD] == 0).all()


@pytest.mark.parametrize("kind", ["generator", "streams"])
def test_samples_follow_the_enumerated_law(kind):
    n = 6000
    net, x = small(), all_sequences()
    zs = z(1).expand(n, -1)
    rng = stream(5) if kind == "generator" else Streams(5, range(n))
    draws = net(zs).sample(rng)
    probability = net(z(1).expand(len(x), -1)).log_prob(x).exp()
    counts = torch.stack([(draws == row).all(1).sum() for row in x])
    assert counts.sum() == n, "every sample is one of the sequences, padded after its end"
    expected = n * probability.detach()
    often = expected > 5
    statistic = (((counts - expected) ** 2) / expected)[often].sum()
    assert statistic < 90, "chi-squared of at most 39 degrees of freedom: above 90 once in 1e5"
    greedy_instead = net(zs).mode
    wrong = torch.stack([(greedy_instead == row).all(1).sum() for row in x])
    assert (((wrong - expected) ** 2) / expected)[often].sum() > 1000, "the test must see a wrong law"


def test_row_i_of_a_sample_follows_from_its_own_stream():
    net, zs = small(length=8), z(6)
    many = net(zs).sample(Streams(1, range(6)))
    for i in range(6):
        assert torch.equal(net(zs[i : i + 1]).sample(Streams(1, range(i, i + 1)))[0], many[i])


def test_the_greedy_sequence_takes_the_best_token_at_every_place():
    net, zs = small(), z(5)
    x = net(zs).mode
    for row, token_row in enumerate(x):
        for t in range(LENGTH):
            if token_row[t] == PAD:
                assert END in token_row[:t]
                continue
            others = token_row.repeat(SIZE - 1, 1)
            others[:, t] = torch.arange(1, SIZE)
            others[:, t + 1 :] = PAD
            best = net(zs[row].expand(SIZE - 1, -1)).log_probs(others)[:, t].argmax() + 1
            assert best == token_row[t]


def test_a_condition_is_appended_to_z_and_no_z_makes_a_language_model():
    net = small(latent=3)
    zs, c = z(4), torch.tensor([[1], [0], [1], [0]])
    x = all_sequences()[:4]
    torch.testing.assert_close(net(zs, c).log_prob(x), net(torch.cat([zs, c.double()], 1)).log_prob(x))
    model = small(latent=0)
    total = model(torch.empty(len(all_sequences()), 0, dtype=F64)).log_prob(all_sequences()).exp().sum()
    torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-12, atol=0)


def test_gradients_reach_z_and_every_parameter():
    net, zs = small(), z(4).requires_grad_()
    net(zs).log_prob(all_sequences()[:4]).sum().backward()
    assert (zs.grad.abs().sum(1) > 0).all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_an_encoder_reads_to_the_last_token_and_no_further():
    torch.manual_seed(0)
    encoder = RecurrentEncoder(SIZE, embedding=3, hidden=4, out=5).double()
    x = torch.tensor([[3, 4, END, PAD, PAD], [3, 4, 2, 2, END]])
    both = encoder(x)
    torch.testing.assert_close(both[0], encoder(x[:1, :3])[0])
    changed = torch.tensor([[3, 4, 2, 2, 4]])
    assert not torch.allclose(encoder(changed)[0], both[1])


def test_likelihood_weight_is_what_it_says():
    net, zs, x = small(), z(4), all_sequences()[:4]
    model = LatentPrior(
        EBM(mlp_f(2, 8, "silu"), StandardNormal(2)).double(), net, prior_sampler=Langevin(1, 0.1),
        posterior_sampler=Langevin(1, 0.1, 0.0), likelihood_weight=3.0,
    )  # fmt: skip
    torch.testing.assert_close(model.posterior(x, weight=3.0)(zs) - model.posterior(x)(zs), 2 * net(zs).log_prob(x))
    start = model.prior.reference.sample(4, stream(1))
    gradient = score(model.posterior(x, weight=3.0), start)
    torch.testing.assert_close(model.sample_posterior(x, rng=stream(1)), start + 0.005 * gradient)


# --- perplexity -----------------------------------------------------------------------------------------------------


def markov_rows(n: int, length: int, seed: int) -> tuple[torch.Tensor, float]:
    """Sequences of a Markov chain on three tokens that ends with probability 0.1, and its entropy a token in nats."""
    p = torch.tensor([[0.1, 0.7, 0.1, 0.1], [0.1, 0.05, 0.8, 0.05], [0.1, 0.2, 0.1, 0.6]], dtype=F64)  # END, 3, 4, 5
    start = torch.tensor([0.2, 0.3, 0.5], dtype=F64)
    rng = stream(seed)
    rows = torch.full((n, length), PAD)
    state = torch.multinomial(start, n, replacement=True, generator=rng)
    rows[:, 0] = state + 3
    going = torch.ones(n, dtype=torch.bool)
    for t in range(1, length):
        step = torch.multinomial(p[state], 1, generator=rng)[:, 0]
        rows[going, t] = torch.where(step == 0, END, step + 2)[going]
        going = going & (step != 0)
        state = torch.where(going, step - 1, 0)
    # Over the sequences drawn, −log p of each token, by the truth.
    found = -start[rows[:, 0] - 3].log().sum()
    count = n
    for t in range(1, length):
        there = rows[:, t] != PAD
        before, after = rows[there, t - 1] - 3, torch.where(rows[there, t] == END, 0, rows[there, t] - 2)
        found, count = found - p[before, after].log().sum(), count + int(there.sum())
    return rows, float(found) / count


def test_perplexity_of_a_markov_chain_is_its_entropy():
    train, _ = markov_rows(20_000, 30, 1)
    test, entropy = markov_rows(4000, 30, 2)
    for order in (2, 3):
        perplexity = KneserNey(train, 6, order=order).perplexity(test)
        assert math.exp(entropy) * 0.999 < perplexity < math.exp(entropy) * 1.005
    unigram = KneserNey(train, 6, order=1).perplexity(test)
    assert unigram > 1.2 * math.exp(entropy), "the floor must not know the order of tokens"
    renamed = torch.where(test > 2, 3 + (test - 2) % 3, test)
    assert KneserNey(train, 6).perplexity(renamed) > 1.05 * math.exp(entropy), "text of another chain must be worse"


def test_evaluator_is_a_distribution_in_every_context_seen_or_not():
    train, _ = markov_rows(50, 8, 3)
    size = 8  # tokens 2, 6 and 7 never occur
    model = KneserNey(train, size)
    for context in ([3, 4], [5, 3], [6, 7], [3, 7], []):
        rows = torch.tensor([[*context, token] for token in range(1, size)])
        p = torch.from_numpy(model.log_probs(rows)).exp().view(size - 1, -1)[:, -1]
        assert float(p.sum()) == pytest.approx(1, abs=1e-12)
        assert (p > 0).all()


def test_kneser_ney_by_hand():
    """Two sequences "a b": bigrams (a, b) twice, (PAD, a) twice, (b, END) twice; each follows one context."""
    rows = torch.tensor([[3, 4, END], [3, 4, END]])
    found = KneserNey(rows, 5, order=2).log_probs(torch.tensor([[3, 4, END]]))
    # No bigram occurs once, so D = 0.5. A token's lower order: one context of three for each of a, b and END, all of
    # them once, so D = 1 and all goes to the uniform law on four tokens.
    lower = 1 / 4
    torch.testing.assert_close(torch.from_numpy(found).exp(), torch.full((3,), (2 - 0.5 + 0.5 * lower) / 2, dtype=F64))


def test_the_discount_is_that_of_the_counts_of_one_and_two():
    level = _Level(np.array([3, 4, 8, 9, 14]), np.array([1, 2, 1, 1, 7]), 5)
    assert level.discount == 3 / (3 + 2 * 1)
    assert level.contexts.tolist() == [0, 1, 2]
    assert level.followers.tolist() == [2, 2, 1]
    assert level.totals.tolist() == [3, 2, 7]
    found = level.interpolate(np.array([4, 7, 14, 16]), np.array([0.5, 0.25, 0.5, 0.125]))
    expected = [(2 - 0.6 + 0.6 * 2 * 0.5) / 3, 0.6 * 2 * 0.25 / 2, (7 - 0.6 + 0.6 * 0.5) / 7, 0.125]
    assert found.tolist() == pytest.approx(expected)
    assert _Level(np.array([3, 4]), np.array([2, 2]), 5).discount == 0.5


def test_forward_sees_nonsense_and_reverse_sees_a_model_that_repeats_itself():
    real, _ = markov_rows(5000, 20, 4)
    other, _ = markov_rows(5000, 20, 5)
    nonsense = torch.where(other > 2, torch.randint(3, 6, other.shape, generator=stream(6)), other)
    assert forward_perplexity(nonsense, real, 6) > 1.2 * forward_perplexity(other, real, 6)
    repeated = other[(other != PAD).sum(1) == 8][:1].expand(5000, -1)
    assert reverse_perplexity(repeated, real, 6) > 1.5 * reverse_perplexity(other, real, 6)
    assert forward_perplexity(repeated, real, 6) < 1.5 * forward_perplexity(other, real, 6), "forward alone is fooled"


def test_bad_perplexities_are_one_line():
    for do, match in (
        (lambda: KneserNey(torch.zeros(3, 4, dtype=torch.int64), 5), "rows of padding"),
        (lambda: KneserNey(torch.ones(3, 4, dtype=torch.int64), 5, order=0), "order of 1 or more"),
        (lambda: KneserNey(torch.ones(3, 4, dtype=torch.int64), 5).perplexity(torch.zeros(2, 4).long()), "samples"),
    ):
        with pytest.raises(InputError, match=match) as error:
            do()
        assert "\n" not in str(error.value)


# --- a recipe, from a file to its tasks -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny run on a user's own text; its file is gone before anything is asked of it."""
    folder = tmp_path_factory.mktemp("text")
    path = folder / "mine.txt"
    path.write_text("\n".join(LINES * 10))
    recipe = build(
        "latent_prior", str(path), steps=3, batch=4, vocabulary_size=12, length=9, latent=2, embedding=4,
        generator_width=6, energy_width=4, prior_steps=2, posterior_steps=2, threads=1,
    )  # fmt: skip
    fit(recipe, folder / "run")
    return folder / "run"


def test_a_run_carries_its_vocabulary(run):
    recipe = load(run).recipe
    assert recipe.examples.vocabulary.tokens[3] == "the"
    assert recipe.resolve() == recipe
    assert recipe.shape == (9,)
    (run.parent / "moved").mkdir()
    (run.parent / "mine.txt").rename(run.parent / "moved" / "mine.txt")
    try:
        found = sample.command(run, n=3, device="cpu")
        assert len((run / "sample" / "samples.txt").read_text().splitlines()) == 3
        assert found.tables[0]["columns"] == ["sequence"]
    finally:
        (run.parent / "moved" / "mine.txt").rename(run.parent / "mine.txt")


def test_samples_are_greedy_or_drawn_and_each_follows_from_its_row(run):
    model = load(run)
    few, many = (sample.samples(model, n, seed=1, decoding="draw") for n in (2, 5))
    assert torch.equal(few, many[:2])
    assert not torch.equal(many, sample.samples(model, 5, seed=1, decoding="mode"))


def test_tasks_tell_in_sentences(run, tmp_path):
    own = tmp_path / "own.txt"
    own.write_text("the cat sat\nthe dog sat on the mat and a zebra and a cat and more\n")
    back = reconstruct.command(run, input=str(own), device="cpu")
    assert next(row[2] for row in back.tables[0]["rows"] if row[1] == "example") == "the cat sat"
    assert back.figures["−log p(x|z), nats"] > 0
    between = interpolate.command(run, n=2, steps=3, device="cpu")
    assert [row[1] for row in between.tables[0]["rows"]][:5] == ["first", "0.00", "0.50", "1.00", "second"]
    along = chain.command(run, n=6, long=20, at=[0, 10, 20], device="cpu")
    assert [row[1] for row in along.tables[0]["rows"]][:3] == ["step 0", "step 10", "step 20"]
    measured = perplexity.command(run, n=40, device="cpu")
    assert set(measured.figures) == {"forward perplexity", "reverse perplexity"}
    assert measured.baselines["forward perplexity"]["real text"] > 1
    with pytest.raises(InputError, match="expected a text file, one sentence per line"):
        reconstruct.command(run, input="x.npy", device="cpu")
    with pytest.raises(InputError, match="at must hold steps from 0 to 20"):
        chain.command(run, long=20, at=[0, 30], device="cpu")


def test_going_on_with_another_text_is_refused_in_one_short_line(run, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("\n".join(f"quite another line {i}" for i in range(40)))
    recipe = replace(load(run).recipe, dataset=None, data=str(other))
    with pytest.raises(InputError, match="the data changed since this run began") as error:
        fit(recipe, run)
    assert len(str(error.value)) < 600


def test_every_kind_of_token_and_start_trains(tmp_path):
    pytest.importorskip("tokenizers")
    path = tmp_path / "mine.txt"
    path.write_text("\n".join(LINES * 10))
    base = LatentPriorText(
        data=str(path), steps=2, batch=4, length=60, latent=2, embedding=4, generator_width=6, energy_width=4,
        prior_steps=2, posterior_steps=2, threads=1,
    )  # fmt: skip
    for k, changes in enumerate(
        (
            {"unit": "character", "vocabulary_size": 30, "posterior_start": "last"},
            {"unit": "bpe", "vocabulary_size": 40, "prior": "gaussian"},
            {"unit": "word", "posterior_start": "inference", "likelihood_weight": 5.0},
            {"unit": "word", "posterior_start": "inference", "prior": "gaussian", "seed": 1},
        )
    ):
        model = fit(replace(base, **changes), tmp_path / str(k))
        words = load(tmp_path / str(k)).recipe.examples.vocabulary
        assert words.decode(words.encode("the cat sat")) == "the cat sat"
        assert model.sample(2, rng=stream(0)).shape == (2, 60)


def test_a_recipe_without_text_says_what_it_needs():
    with pytest.raises(InputError, match="expected data=NAME, FOLDER or FILE"):
        LatentPriorText().resolve()
