"""Ising, Potts and RBM against sums by hand; mixtures and tempering of energies."""

import math

import pytest
import torch
from scipy import stats

from absynth.densities import RBM, Ising, Potts, lattice
from absynth.density import mixture, product, temper
from absynth.errors import InputError
from absynth.metrics.grid import Grid
from absynth.seeding import stream

F64 = torch.float64


def test_a_lattice_joins_neighbours():
    assert lattice(3, 3).sum(1).tolist() == [4.0] * 9
    assert lattice(2, 3, periodic=False).sum() == 14


def test_two_spins_by_hand():
    """p(s₁ = s₂) = e^J / (e^J + e^−J)."""
    j = 0.7
    model = Ising(torch.tensor([[0, j], [j, 0]], dtype=F64))
    p = model.probabilities()
    assert float(p[0] + p[3]) == pytest.approx(math.exp(j) / (2 * math.cosh(j)))
    assert float(model.log_z()) == pytest.approx(math.log(4 * math.cosh(j)))


def test_the_chain_of_spins_has_its_transfer_matrix():
    """Z of a ring of n spins is (2 cosh J)^n + (2 sinh J)^n."""
    n, j = 8, 0.4
    model = Ising(j * lattice(1, n).double())
    assert float(model.log_z()) == pytest.approx(math.log((2 * math.cosh(j)) ** n + (2 * math.sinh(j)) ** n))


def test_potts_of_two_classes_is_an_ising_model():
    """J [x_i = x_j] = J/2 + J/2 s_i s_j."""
    coupling = 0.3 * lattice(2, 3).double()
    potts, ising = Potts(coupling, 2), Ising(coupling / 2)
    assert torch.allclose(potts.probabilities(), ising.probabilities())


def test_the_rbm_sums_over_either_layer():
    w = torch.randn(6, 3, dtype=F64, generator=stream(0))
    b, c = torch.randn(6, dtype=F64, generator=stream(1)), torch.randn(3, dtype=F64, generator=stream(2))
    model = RBM(w, b, c)
    assert torch.isclose(model.log_z(), model.log_density(model.states()).logsumexp(0))
    assert torch.isclose(model.probabilities().sum(), torch.tensor(1.0, dtype=F64))
    model.log_z().backward()  # the gradient of log Z is the mean of x under the model
    mean = (model.probabilities()[:, None] * model.states()).sum(0)
    assert torch.allclose(model.visible_bias.grad, mean)


@pytest.mark.parametrize("how", ["exact", "gibbs"])
def test_draws_have_the_probabilities(how):
    model = RBM(torch.randn(4, 3, dtype=F64, generator=stream(3)))
    n = 20_000
    x = model.draw(n, stream(4)) if how == "exact" else model.gibbs(torch.zeros(n, 4, dtype=F64), 30, rng=stream(4))
    code = (x @ torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=F64)).long()
    expected = model.probabilities().detach().numpy() * n
    assert stats.chisquare(code.bincount(minlength=16).numpy(), expected).pvalue > 1e-5


def test_large_models_have_no_exact_sum():
    with pytest.raises(InputError, match="at most"):
        Ising(lattice(5, 5)).log_z()


def test_couplings_are_symmetric():
    with pytest.raises(InputError, match="symmetric"):
        Ising(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))


def test_a_mixture_of_normalized_densities_is_normalized():
    def at(m, v, constant=0.0):
        return lambda x: -0.5 * (x[:, 0] - m) ** 2 / v - 0.5 * math.log(2 * math.pi * v) + constant

    grid = Grid(-12, 12, 2000, 1)
    p = mixture([at(-2, 1.0), at(3, 0.5, constant=7.0)], [0.3, 0.7], log_z=[0.0, 7.0])
    assert float(grid.log_integral(p)) == pytest.approx(0.0, abs=1e-9)
    assert grid.mass(p, lambda x: x[:, 0] < 0) == pytest.approx(0.3 * 0.97725, abs=1e-4)


def test_tempering_scales_the_variance():
    p = temper(lambda x: -0.5 * x[:, 0] ** 2, 4.0)
    grid = Grid(-30, 30, 3000, 1)
    weight = (grid.log_prob(p) + grid.log_cell).exp()
    assert float((weight * grid.points[:, 0] ** 2).sum()) == pytest.approx(4.0, abs=1e-6)


def test_bad_compositions():
    with pytest.raises(InputError, match="positive temperature"):
        temper(lambda x: x[:, 0], 0.0)
    with pytest.raises(InputError, match="one positive weight"):
        mixture([lambda x: x[:, 0]], [0.5, 0.5])


def test_compositions_without_weights():
    x = torch.tensor([[0.5], [2.0]], dtype=torch.float64)
    a, b = (lambda x: -x[:, 0]), (lambda x: 3 * x[:, 0])
    torch.testing.assert_close(mixture([a, b])(x), (0.5 * a(x).exp() + 0.5 * b(x).exp()).log())
    torch.testing.assert_close(mixture([a, b], [2.0, 1.0], [0.5, 0.0])(x), (2 * (a(x) - 0.5).exp() + b(x).exp()).log())
    torch.testing.assert_close(product([a, b])(x), 2 * x[:, 0])
    torch.testing.assert_close(product([a, b], [1.0, -0.5])(x), -2.5 * x[:, 0])
    for weights, log_z in (([1.0, 0.0], None), ([1.0], None), (None, [0.0]), ([0.5, -0.5], None)):
        with pytest.raises(InputError, match="one positive weight and one log_z"):
            mixture([a, b], weights, log_z)
    with pytest.raises(InputError, match="got 0 densities"):
        mixture([])
