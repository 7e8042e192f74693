"""The coupling flow against quadrature, and the amortized latent prior's losses against closed forms."""

from __future__ import annotations

import pytest
import torch
from laws import mean_is
from torch import Tensor, nn

from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, Normal, StandardNormal
from absynth.errors import InputError
from absynth.metrics.grid import Grid
from absynth.networks.flow import CouplingFlow
from absynth.networks.mlp import mlp, mlp_f
from absynth.samplers import Langevin
from absynth.seeding import Streams, noise_like, stream
from absynth.types import Batch, Reference

F64 = torch.float64
GRID = Grid(-12.0, 12.0, 481, 2)
SHORT = Langevin(3, 0.2)


def stirred(flow: CouplingFlow, scale: float = 0.4, seed: int = 5) -> CouplingFlow:
    """The flow with random weights, the same at every call: as made it is the identity, which mistakes leave alone."""
    with torch.no_grad():
        for k, p in enumerate(flow.parameters()):
            p.copy_(scale * noise_like(p, stream(seed, 0, k)))
    return flow


def flow(dim: int = 2, layers: int = 3) -> CouplingFlow:
    return stirred(CouplingFlow(dim, layers=layers, width=8).double())


def test_a_flow_begins_as_its_base_and_is_a_reference():
    made = CouplingFlow(5, layers=4, width=8)
    x = noise_like(torch.empty(7, 5), stream(1))
    torch.testing.assert_close(made.log_prob(x), StandardNormal(5).log_prob(x))
    assert torch.equal(made.sample(7, stream(1)), x)
    assert isinstance(made, Reference)


@pytest.mark.parametrize("dim", [2, 3, 7])
def test_both_directions_agree_and_every_coordinate_moves(dim):
    made = flow(dim, layers=4)
    u = noise_like(torch.empty(20, dim, dtype=F64), stream(2))
    z, log_q = made.draw(20, stream(2))
    torch.testing.assert_close(made.log_prob(z), log_q)
    assert ((z - u).abs() > 1e-3).all()
    x = z
    for coupling in reversed(made.couplings):
        x, _ = coupling(x, inverse=True)
    torch.testing.assert_close(x, u)


def test_the_determinant_is_that_of_the_map():
    made = flow(3)

    def carried(u: Tensor) -> Tensor:
        for coupling in made.couplings:
            u, _ = coupling(u, inverse=False)
        return u

    u = noise_like(torch.empty(1, 3, dtype=F64), stream(3))
    jacobian = torch.autograd.functional.jacobian(lambda v: carried(v[None])[0], u[0])
    expected = made.base.log_prob(u) - torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(made.log_prob(carried(u)), expected)


def test_a_flow_integrates_to_one_and_draws_what_it_says():
    made = flow()
    assert abs(GRID.outside_mass(made.log_prob)) < 1e-4  # the rule of the grid is off by 1e-6
    z = made.sample(20_000, stream(4)).detach()
    boxes = [lambda x: x[:, 0] > 0.5, lambda x: (x[:, 0] < 0) & (x[:, 1] < 0.3), lambda x: x.square().sum(1) < 1]
    grid = Grid(-12.0, 12.0, 961, 2)
    mean_is(torch.stack([b(z).double() for b in boxes], 1), torch.tensor([grid.mass(made.log_prob, b) for b in boxes]))


class Forgetful(CouplingFlow):
    """Leaves out the determinant."""

    def log_prob(self, x):
        for coupling in reversed(self.couplings):
            x, _ = coupling(x, inverse=True)
        return self.base.log_prob(x)


def test_quadrature_sees_a_missing_determinant():
    made = stirred(Forgetful(2, layers=3, width=8).double())
    assert abs(GRID.outside_mass(made.log_prob)) > 1e-2


def test_one_coordinate_cannot_be_split():
    with pytest.raises(InputError, match="expected 2 or more, got 1"):
        CouplingFlow(1, layers=2, width=8)


def test_draws_follow_one_stream_a_row():
    made = flow()
    few, many = (made.sample(n, Streams(3, range(n))) for n in (2, 5))
    torch.testing.assert_close(few, many[:2])


# --- the losses -----------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """f(z) = wᵀz: p_α = N(w, I), log Z = |w|²/2."""

    def __init__(self, *w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=F64))

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.w


class Upside(AmortizedLatentPrior):
    """f with the wrong sign in the flow's loss."""

    def losses(self, batch, *, rng):
        losses = super().losses(batch, rng=rng)
        z, log_q = self.flow.draw(len(batch.x), rng)
        density = self.prior()
        return losses | {"flow": (log_q - density.reference.log_prob(z) + density.f(z)).mean()}


def model(kind: type[AmortizedLatentPrior] = AmortizedLatentPrior, with_flow: bool = True) -> AmortizedLatentPrior:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return kind(
            EBM(Linear(0.7, -0.4), StandardNormal(2).double()),
            GaussianGenerator(mlp([2, 8, 4], "silu"), 0.5).double(),
            GaussianInference(mlp([4, 8, 4], "silu")).double(),
            flow() if with_flow else None,
            prior_sampler=SHORT,
            posterior_sampler=SHORT,
        )


X = noise_like(torch.empty(64, 4, dtype=F64), stream(9))


def flow_gradients(made: AmortizedLatentPrior, repeats: int = 400) -> Tensor:
    parameters = list(made.get_submodule("flow").parameters())
    rows = []
    for k in range(repeats):
        loss = made.losses(Batch(X), rng=stream(40, 0, k))["flow"]
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    return torch.stack(rows)


def exact_flow_gradient(made: AmortizedLatentPrior) -> Tensor:
    """∇_ψ KL(q_ψ ‖ p_α) by quadrature."""
    q = made.get_submodule("flow")
    log_q, log_p = q.log_prob(GRID.points), made.prior().log_density(GRID.points)
    kl = ((log_q + GRID.log_cell).exp() * (log_q - log_p)).sum()
    return torch.cat([g.flatten() for g in torch.autograd.grad(kl, list(q.parameters()))]).detach()


def test_the_flow_descends_its_divergence_from_the_prior():
    made = model()
    mean_is(flow_gradients(made), exact_flow_gradient(made))


def test_quadrature_sees_f_with_the_wrong_sign():
    with pytest.raises(AssertionError):
        mean_is(flow_gradients(model(Upside), 100), exact_flow_gradient(model()))


def test_the_flows_loss_is_its_divergence_less_log_z():
    made = model()
    made.flow = CouplingFlow(2, layers=2, width=8).double()  # N(0, I): KL(N(0, I) ‖ N(w, I)) = |w|²/2 = log Z
    found = torch.stack([made.losses(Batch(X), rng=stream(41, 0, k))["flow"].detach() for k in range(200)])
    mean_is(found, 0.0)


def test_prior_gradient_is_the_flows_mean_less_the_inferred_mean():
    """∇_w of E_{q_ψ} wᵀz − E_{q_φ} wᵀz."""
    made = model()
    made.flow = CouplingFlow(2, layers=2, width=8).double()
    w = made.prior.f.w
    rows = [torch.autograd.grad(made.losses(Batch(X), rng=stream(42, 0, k))["prior"], w)[0] for k in range(300)]
    mean_is(torch.stack(rows), -made.inference(X).mean.mean(0).detach())


def test_inference_loss_is_the_negative_bound_in_closed_form():
    """q's divergence from N(w, I) is closed: |σ|²/2 + |μ − w|²/2 − d/2 − Σ log σ; the loss is that plus the error, and
    log Z less."""
    made = model()
    q, w = made.inference(X), made.prior.f.w.detach()
    kl = (0.5 * (q.std**2 + (q.mean - w) ** 2 - 1) - q.std.log()).sum(1).mean().detach()
    differences = []
    for k in range(300):
        losses, *_ = made.variational(Batch(X), rng=stream(43, 0, k))
        differences.append((losses["inference"] - losses["generator"]).detach())
    mean_is(torch.stack(differences), (kl - 0.5 * w @ w).item())


def test_divergence_of_a_normal_from_the_standard_one_by_quadrature():
    q = Normal(torch.tensor([[0.6, -0.3]], dtype=F64), torch.tensor([[0.5, 1.7]], dtype=F64))
    kl = GRID.kl(lambda x: q.log_prob(x), StandardNormal(2).double().log_prob)
    assert q.kl_standard().item() == pytest.approx(kl, abs=1e-6)


def test_without_a_flow_the_prior_is_drawn_by_a_short_run_and_nothing_else_changes():
    made = model(with_flow=False)
    losses = made.losses(Batch(X), rng=stream(1))
    assert set(losses) == {"prior", "generator", "inference"}
    assert set(made.chains) == {"prior"}
    z = model().sample_prior(6, rng=stream(1))
    assert z.shape == (6, 2)
    assert not z.requires_grad


def test_a_missing_entry_pulls_at_nothing():
    """What stands in an entry that was not observed reaches the likelihood through q alone."""
    made = model()
    made.inference = GaussianInference(mlp([4, 8, 4], "silu")).double()
    with torch.no_grad():
        for p in made.inference.parameters():
            p.zero_()
    mask = torch.ones_like(X)
    mask[:, 2] = 0
    other = X.clone()
    other[:, 2] = 9.0
    a, b = (made.losses(Batch(x, mask=mask), rng=stream(2))["generator"] for x in (X, other))
    assert torch.equal(a, b)
    c, d = (made.losses(Batch(x), rng=stream(2))["generator"] for x in (X, other))
    assert not torch.equal(c, d)


def test_a_prior_of_two_layers_can_be_followed():
    """The flow reaches an energy that it does not begin at: KL falls tenfold in two hundred updates."""
    made = model()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        made.prior = EBM(mlp_f(2, 16, "silu"), StandardNormal(2)).double()
        with torch.no_grad():
            for p in made.prior.parameters():
                p *= 3
    made.flow = CouplingFlow(2, layers=4, width=16).double()
    density = made.prior()

    def kl() -> float:
        return GRID.kl(lambda z: made.flow.log_prob(z).detach(), lambda z: density.log_density(z).detach())

    before, optimizer = kl(), torch.optim.Adam(made.flow.parameters(), 1e-2)
    for k in range(200):
        optimizer.zero_grad()
        made.losses(Batch(X), rng=stream(3, 0, k))["flow"].backward()
        optimizer.step()
    assert kl() < 0.1 * before
