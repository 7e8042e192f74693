"""Every engine gives eager's chain, to rounding, on every kind of target; what it cannot take it does not touch.

Laws are checked under every engine too, on a linear-Gaussian posterior whose short run is known exactly, with the
negative controls beside them.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from laws import normal_law
from small import digits
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import absynth
from absynth import density
from absynth.data.toy import EightGaussians
from absynth.density import EBM, observe, product, restrict
from absynth.distributions import GaussianGenerator, Normal, StandardNormal, Uniform
from absynth.engine import fused, graph, layers, library, plan, scores, trace
from absynth.errors import InputError
from absynth.networks.convnet import conv_f
from absynth.networks.deconvnet import deconv_generator, deconv_generator_cifar10
from absynth.networks.mlp import mlp, mlp_f, mlp_generator
from absynth.samplers import HMC, MALA, AnnealedLangevin, Langevin, engine
from absynth.samplers.mass import Mass
from absynth.seeding import Streams, noise_like, stream
from absynth.types import LogDensity, Sampler

F64 = torch.float64
ENGINES = {"traced": {"fused": False}, "fused": {}, "graph": {}}


def use(name: str, said: list[str] | None = None, **more):
    """One of ENGINES, or an engine by its own name."""
    options = {**ENGINES.get(name, {}), **more}
    return engine.use("traced" if name == "fused" else name, say=(said if said is not None else []).append, **options)


@pytest.fixture(autouse=True)
def _nothing_trusted():
    plan._MAKES.clear()
    plan._SEEN.clear()


# --- targets -------------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """A network with a skip connection, attribute access and arithmetic of all sorts."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self.gain = nn.Parameter(torch.rand(6))

    def forward(self, x: Tensor) -> Tensor:
        h = x + 0.5 * F.silu(self.a(x)) * self.gain
        h = (1 - h) / 2 - F.gelu(self.b(h), approximate="tanh") + torch.sin(h[:, [0]] if False else h[:, :1])
        h = torch.cat([h, -h], 1).view(len(x), 2, 6)
        return h.mean(1).sum(1) - F.softplus(h).sum((1, 2)) + (h @ self.a.weight).tanh().square().flatten(1).sum(1)


class Factors(nn.Module):
    """Gradients that stay smaller than what they belong to: a number's, a row's, a column's, joined and reduced."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.tensor(0.7))
        self.row, self.column = nn.Parameter(torch.rand(6)), nn.Parameter(torch.rand(3, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = x * self.column + self.row
        a = (h.square().sum(1) * self.row).logsumexp(1) * self.one
        b = torch.cat([h.mean(1, keepdim=True), h], 1).exp().sum((1, 2)) * self.one
        c = (torch.stack([h[:, 0], h[:, 1]], 1) * self.row).tanh().sum(2).mean(1) / self.one
        return -(a + b) * self.one - c - (x * x * 0.3).flatten(1).sum(1) * self.one


def _image_f(act: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), act, nn.Conv2d(8, 8, 4, stride=2, padding=1), act,
        nn.Conv2d(8, 12, 3, stride=2, groups=2), act, nn.Flatten(), nn.Linear(12 * 9, 4), act, nn.Linear(4, 1),
        nn.Flatten(0),
    )  # fmt: skip


def targets(dtype: torch.dtype) -> dict[str, tuple[LogDensity, Tensor]]:
    """Log densities of every kind, each with 4 to 6 states."""
    torch.manual_seed(3)
    rng = stream(5)

    def draw(*shape: int) -> Tensor:
        return noise_like(torch.empty(*shape, dtype=dtype), rng)

    def prior(act: str = "leaky_relu") -> LogDensity:
        return EBM(mlp_f(6, 10, act), StandardNormal(6))().log_density  # type: ignore[arg-type]

    def posterior(net: nn.Module, x: Tensor) -> LogDensity:
        generator = GaussianGenerator(net, 0.4).to(dtype)
        return observe(prior().__self__.log_density, lambda z: generator(z).log_prob(x))  # type: ignore[attr-defined]

    image = EBM(_image_f(nn.LeakyReLU(0.2)), Uniform(3, 16, 16)).to(dtype)
    inplace = EBM(_image_f(nn.ReLU(inplace=True)), StandardNormal(3, 16, 16, std=2.0)).to(dtype)
    mask = (torch.arange(6) < 3).expand(4, 6)
    made: dict[str, tuple[LogDensity, Tensor]] = {
        "prior": (prior(), draw(5, 6)),
        "prior, smooth": (prior("silu"), draw(5, 6)),
        "prior, tanh": (prior("tanh"), draw(5, 6)),
        "posterior, mlp": (posterior(mlp_generator(6, 9, (1, 4, 4)), draw(4, 1, 4, 4)), draw(4, 6)),
        "posterior, deconv": (posterior(deconv_generator(6, 16, 3, 2), draw(4, 3, 16, 16)), draw(4, 6)),
        "posterior, 28": (posterior(deconv_generator(6, 28, 1, 1), draw(4, 1, 28, 28)), draw(4, 6)),
        "posterior, cifar": (posterior(deconv_generator_cifar10(6, 2), draw(4, 3, 32, 32)), draw(4, 6)),
        "image": (image().log_density, draw(4, 3, 16, 16)),
        "image, in place": (inplace().log_density, draw(4, 3, 16, 16)),
        "image, library's": (EBM(conv_f(3, 16, 4), Uniform(3, 16, 16)).to(dtype)().log_density, draw(4, 3, 16, 16)),
        "mixture": (EightGaussians().log_prob, 2 * draw(6, 2)),
        "product": (product([prior(), prior("gelu")], [0.7, -0.2]), draw(4, 6)),
        "restricted": (restrict(prior(), mask, draw(4, 6)), draw(4, 6)),
        "factors": (Factors(), draw(5, 3, 6)),
        "residual": (Residual().to(dtype), draw(4, 6)),
        "per-entry std": (
            lambda z: Normal(z.tanh(), torch.full((6,), 0.5, dtype=dtype)).log_prob(z * 0 + 1),
            draw(4, 6),
        ),
    }
    for log_density, _ in made.values():
        for owner in _modules(log_density):
            owner.to(dtype)
    return made


def _modules(log_density: object) -> list[nn.Module]:
    """The modules that a closure holds, for changing their type."""
    found, todo, seen = [], [log_density], set()
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, nn.Module):
            found.append(thing)
            continue
        for cell in getattr(thing, "__closure__", None) or ():
            todo.append(cell.cell_contents)
        if hasattr(thing, "__self__"):
            todo.append(thing.__self__)
        if isinstance(thing, (list, tuple)):
            todo.extend(thing)
        elif isinstance(thing, (density.Density, restrict)):
            todo.extend(vars(thing).values())
    return found


NAMES = list(targets(torch.float32))
SAMPLERS: list[Sampler] = [
    Langevin(8, 0.2),
    Langevin(4, 0.2, noise_scale=0.05),
    Langevin(3, 0.1, noise_scale=0.0),
    AnnealedLangevin(5, 0.2, cold=0.0),
    MALA(6, 0.2),
    HMC(3, 0.05, leapfrog_steps=4, warmup=2),
]


# Graphs run traced scores, and only fully connected chains are fused: they need not see every target.
CASES = [(target, "traced") for target in NAMES]
CASES += [(target, "fused") for target in ("prior", "prior, tanh", "posterior, mlp", "posterior, deconv", "restricted")]
CASES += [(target, "graph") for target in ("prior", "posterior, deconv", "image, in place", "mixture")]


@pytest.mark.parametrize(("target", "kind"), CASES)
def test_same_chain_as_eager_in_float64(target: str, kind: str) -> None:
    log_density, x = targets(F64)[target]
    for sampler in SAMPLERS:
        wanted = sampler(log_density, x, rng=stream(1))
        said: list[str] = []
        with use(kind, said):
            got = sampler(log_density, x, rng=stream(1))
        assert got.shape == x.shape
        assert got.stride() == wanted.stride()
        assert not any("autograd" in line for line in said), said
        assert (got - wanted).abs().max() <= 1e-12 * wanted.abs().max(), sampler


# --- whatever autograd takes ---------------------------------------------------------------------------------------


def _stops(x: Tensor) -> Tensor:
    with torch.no_grad():
        h = (x @ W.to(x)).tanh()
    return (x * h).sum(1)


def _in_place(x: Tensor) -> Tensor:
    h = x @ W.to(x)
    v = h.view(-1)
    h.mul_(2)
    h[:, 0] += x[:, 1]
    return v.view(len(x), 6).tanh().sum(1)


def _filled(x: Tensor) -> Tensor:
    scale = torch.zeros_like(x)
    scale[:, 1:3] = 2.0
    return (x * scale).tanh().sum(1)


class Sequences(nn.Module):
    """A recurrent network over six steps."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.cells, self.head = kind(2, 5, batch_first=True), nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(x.view(len(x), 3, 2))[0]).sum((1, 2))


class Attention(nn.Module):
    """Two heads over three tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.lift = nn.Linear(2, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.lift(x.view(len(x), 3, 2))).tanh().sum((1, 2))


def _net(*net: nn.Module) -> nn.Sequential:
    return nn.Sequential(*net, nn.Flatten(), nn.LazyLinear(4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0))


def covered(dtype: torch.dtype) -> dict[str, tuple[LogDensity, Tensor]]:
    """Log densities of operations of all sorts, each with 4 states."""
    torch.manual_seed(4)
    lines, images, volumes = (4, 3, 12), (4, 3, 8, 8), (4, 2, 6, 6, 6)
    act, leaky = nn.SiLU(), nn.LeakyReLU(0.2)
    modules: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "conv1d": (_net(nn.Conv1d(3, 8, 5, 2, 2), leaky, nn.Conv1d(8, 4, 3, dilation=2), act), lines),
        "conv_transpose1d": (_net(nn.ConvTranspose1d(3, 4, 4, 2, 1, 1), leaky, nn.Conv1d(4, 4, 1)), lines),
        "conv3d": (_net(nn.Conv3d(2, 6, 4, 2, 1), leaky, nn.Conv3d(6, 4, 3), nn.ReLU()), volumes),
        "conv_transpose3d": (_net(nn.ConvTranspose3d(2, 3, 4, 2, 1), leaky, nn.Conv3d(3, 2, 3, 2)), volumes),
        "point to volume": (_net(nn.Unflatten(1, (6, 1, 1, 1)), nn.ConvTranspose3d(6, 5, 3), act), (4, 6)),
        "words of padding": (_net(nn.Conv2d(3, 4, 3, padding="same", padding_mode="reflect"), act), images),
        "pooling": (_net(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 1), nn.AvgPool2d(2, 1)), images),
        "pooling to a size": (_net(nn.Conv2d(3, 4, 3), act, nn.AdaptiveAvgPool2d(2), nn.Conv2d(4, 2, 1)), images),
        "group norm": (_net(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), act, nn.Conv2d(4, 4, 3)), images),
        "instance norm": (_net(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), act, nn.Conv2d(4, 4, 3)), images),
        "layer norm": (_net(nn.Linear(8, 6), nn.LayerNorm(6), act), images),
        "batch norm in eval": (_net(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), act, nn.Conv2d(4, 4, 3)), images),
        "spectral norm": (_net(nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)), leaky), images),
        "interpolation": (_net(nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 3)), images),
        "bilinear": (_net(nn.Conv2d(3, 4, 3), nn.Upsample((9, 7), mode="bilinear"), nn.Conv2d(4, 2, 3)), images),
        "shuffle": (_net(nn.Conv2d(3, 8, 3), nn.PixelShuffle(2), act, nn.Conv2d(2, 2, 3)), images),
        "LSTM": (Sequences(nn.LSTM), (4, 6)),
        "GRU": (Sequences(nn.GRU), (4, 6)),
        "attention": (Attention(), (4, 6)),
    }
    functions: dict[str, LogDensity] = {
        "erf": lambda x: (x @ W.to(x)).erf().sum(1),
        "sorted": lambda x: (x.sort(1).values * torch.arange(6)).sum(1),
        "largest": lambda x: x.topk(2, 1).values.square().sum(1) - x.amax(1).exp() + x.max(1).values - x.amin(1),
        "indexed by a tensor": lambda x: x[:, torch.tensor([0, 0, 1])].tanh().sum(1),
        "indexed by a result": lambda x: (x.gather(1, x.argsort(1)) * x[:, [1, 2, 3, 4, 5, 0]]).sum(1),
        "softmax": lambda x: -(x.softmax(1) * x.log_softmax(1)).sum(1),
        "norms": lambda x: -(1 + x.norm(dim=1)).log() - torch.linalg.vector_norm(x, 3, 1),
        "einsum": lambda x: torch.einsum("bi,ij,bj->b", x, W.to(x), x),
        "running": lambda x: x.cumsum(1).tanh().sum(1) + x.sigmoid().prod(1) + x.logcumsumexp(1).sum(1),
        "solved": lambda x: torch.linalg.solve(W.to(x) + 9 * torch.eye(6).to(x), x.T).square().sum(0),
        "its own factor": lambda x: -(torch.linalg.cholesky(_spread(x)).diagonal(dim1=1, dim2=2).log()).sum(1),
        "split": lambda x: sum(a.square().sum(1) * k for k, a in enumerate(x.chunk(3, 1))),  # type: ignore[return-value]
        "clamped": lambda x: x.clamp(-1, 1).sum(1) + F.hardtanh(x).sum(1) + F.relu6(x).sum(1) - F.mish(x).sum(1),
        "divided": lambda x: (1 / (1 + x**2)).sum(1) + (x[:, 0] / x.square().sum(1)) + 2.0**x[:, 1],
        "masked by itself": lambda x: torch.where(x > 0, x, x.exp()).sum(1) + x.masked_fill(x < 0, 2.0).sum(1),
        "of the sign": lambda x: (x * (x > 0).float()).sum(1) + (x * x.sign()).sum(1),
        "gradient stopped": _stops,
        "detached part": lambda x: (x * (x @ W.to(x)).detach()).sum(1),
        "in-place change behind a view": _in_place,
        "constant filled in place": _filled,
    }  # fmt: skip
    made: dict[str, tuple[LogDensity, Tensor]] = {}
    for name, (net, shape) in modules.items():
        net(torch.zeros(shape))
        made[name] = net.to(dtype).eval(), noise_like(torch.empty(shape, dtype=dtype), stream(6))
    x = noise_like(torch.empty(4, 6, dtype=dtype), stream(6))
    return made | {name: (f, x) for name, f in functions.items()}


def _spread(x: Tensor) -> Tensor:
    return x[:, :, None] * x[:, None, :] + 2 * torch.eye(6).to(x)


COVERED = list(covered(torch.float32))


@pytest.mark.parametrize("name", COVERED)
def test_whatever_autograd_takes_is_traced(name: str) -> None:
    for dtype, limit in ((F64, 1e-12), (torch.float32, 1e-5)):
        log_density, x = covered(dtype)[name]
        value, wanted = density.value_and_score(log_density, x)
        said: list[str] = []
        with use("traced", said):
            for _ in range(2):
                got_value, got = engine.value_and_score(log_density)(x)
        assert not said
        assert got.stride() == x.stride()
        assert (got - wanted).norm() <= limit * wanted.norm()
        assert torch.allclose(got_value, value, rtol=limit, atol=limit)
        sampler = Langevin(3, 0.05)
        with use("fused", said):
            chain = sampler(log_density, x, rng=stream(2))
        assert not said
        assert torch.allclose(chain, sampler(log_density, x, rng=stream(2)), rtol=0, atol=limit)


ACTIVATIONS: dict[str, LogDensity] = {
    "relu": F.relu, "leaky": lambda x: F.leaky_relu(x, 0.1), "tanh": torch.tanh, "sigmoid": torch.sigmoid,
    "silu": F.silu, "gelu": F.gelu, "softplus": F.softplus, "softplus, sharp": lambda x: F.softplus(x, 3.0, 9.0),
    "elu": F.elu, "elu, lower": lambda x: F.elu(x, 0.4), "log": lambda x: (x.square() + 0.1).log(),
    "root": lambda x: (x.square() + 0.1).sqrt(), "ratio": lambda x: 1 / (1.5 + x.square()),
    "bell": lambda x: (-x * x).exp(), "product": lambda x: x * x.sigmoid() - x,
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_any_activation_runs_in_cpp_to_rounding(name: str) -> None:
    """At values from tiny to large, in both types, behind one layer and before another."""
    torch.manual_seed(1)
    first, last = nn.Linear(6, 20), nn.Linear(20, 3)
    x = noise_like(torch.empty(9, 6), stream(3)) * torch.logspace(-6, 1.2, 9)[:, None]
    log_density = lambda x: x.mean(1) - last(ACTIVATIONS[name](first(x))).square().sum(1)  # noqa: E731
    for dtype, limit in ((torch.float32, 3e-6), (F64, 1e-13)):
        first, last, state = first.to(dtype), last.to(dtype), x.to(dtype)
        make, record = plan.make_of(trace.trace(log_density, state), state)
        chain = make.fused()
        assert chain is not None
        got = chain.langevin(record.leaves(), state, 1.0, [0.0], stream(0)) - state
        wanted = density.score(log_density, state)
        error = (got - wanted).abs() - 2 * torch.finfo(dtype).eps * state.abs()  # the state is subtracted again
        assert (error <= limit * wanted.abs().amax(1, keepdim=True)).all()


def test_numbers_that_change_from_chain_to_chain_do_not_make_new_gradients() -> None:
    log_density, x = targets(F64)["prior"]
    for kind in ("traced", "fused"):
        with use(kind):
            for k in range(12):
                tempered = density.temper(log_density, 1.0 + 0.1 * k)
                got = Langevin(3, 0.1)(tempered, x, rng=stream(1))
                with engine.use("eager"):
                    wanted = Langevin(3, 0.1)(tempered, x, rng=stream(1))
                assert (got - wanted).abs().max() < 1e-12
    assert len(plan._MAKES) == plan.MANY + 1


@pytest.mark.parametrize("target", NAMES)
def test_single_gradients_in_float32_and_values(target: str) -> None:
    log_density, x = targets(torch.float32)[target]
    value, wanted = density.value_and_score(log_density, x)
    with use("traced"):
        got_value, got = engine.value_and_score(log_density)(x)
        assert torch.equal(engine.score(log_density)(x), got)
    assert (got - wanted).norm() <= 3e-6 * wanted.norm()
    assert torch.allclose(got_value, value, rtol=1e-5, atol=1e-4)
    assert got.dtype == x.dtype


@pytest.mark.parametrize("b", [1, 2])
def test_single_gradients_of_one_chain_in_float32(b: int) -> None:
    """Of a generator, whose first layer is a product of as many rows as chains, and of an energy, whose last one is."""
    torch.manual_seed(1)
    g = GaussianGenerator(deconv_generator(6, 16, 3, 2), 0.4)
    f = nn.Sequential(conv_f(3, 16, 4)[:-1], nn.LeakyReLU(0.2), nn.Flatten(0))
    x, z = torch.randn(b, 3, 16, 16, generator=stream(1)), torch.randn(b, 6, generator=stream(2))
    for log_density, start in ((lambda z: g(z).log_prob(x), z), (f, x)):
        with use("traced", said := []):
            got, wanted = engine.score(log_density)(start), density.score(log_density, start)
        assert said == []
        assert (got - wanted).norm() < 1e-5 * wanted.norm()


@pytest.mark.skipif(not scores.has_bf16(), reason="no bfloat16 arithmetic")
@pytest.mark.parametrize("target", ["prior", "posterior, mlp", "posterior, deconv", "image"])
def test_bf16_drift_is_near_and_is_bf16(target: str) -> None:
    log_density, x = targets(torch.float32)[target]
    wanted = density.score(log_density, x)
    with use("traced", drift="bf16"):
        got = engine.score(log_density)(x)
    error = (got - wanted).norm() / wanted.norm()
    assert got.dtype == torch.float32
    assert 1e-5 < error < 0.1  # below: it would be float32


@pytest.mark.parametrize("kind", ENGINES)
def test_streams_of_their_own_for_each_row(kind: str) -> None:
    log_density, x = targets(F64)["prior"]
    wanted = Langevin(4, 0.2)(log_density, x, rng=Streams(7, range(len(x))))
    with use(kind):
        got = Langevin(4, 0.2)(log_density, x, rng=Streams(7, range(len(x))))
    assert torch.allclose(got, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ENGINES)
def test_the_generator_ends_where_eager_leaves_it(kind: str) -> None:
    log_density, x = targets(F64)["prior"]
    rng, other = stream(2), stream(2)
    Langevin(5, 0.2)(log_density, x, rng=rng)
    with use(kind):
        Langevin(5, 0.2)(log_density, x, rng=other)
    assert torch.equal(rng.get_state(), other.get_state())


def test_path_and_call_agree_under_planned() -> None:
    log_density, x = targets(F64)["prior"]
    with use("traced"):
        states = list(Langevin(5, 0.2).path(log_density, x, rng=stream(2)))
        end = Langevin(5, 0.2)(log_density, x, rng=stream(2))
    assert len(states) == 6
    assert torch.equal(states[-1].x, end)


def test_fused_runs_whole_chains_and_splits_rows_and_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than a block, several threads, noise drawn ahead a few steps at a time."""
    calls = []
    plain = fused.Fused.langevin
    monkeypatch.setattr(fused.Fused, "langevin", lambda self, *a: calls.append(1) or plain(self, *a))
    log_density, _ = targets(F64)["posterior, mlp"]
    prior = targets(F64)["prior"][0]
    x = noise_like(torch.empty(203, 6, dtype=F64), stream(3))
    monkeypatch.setattr(fused, "NOISE_BYTES", 3 * x.numel() * 8)
    wanted = Langevin(7, 0.3)(prior, x, rng=stream(4))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with use("fused"):
            got = Langevin(7, 0.3)(prior, x, rng=stream(4))
    finally:
        torch.set_num_threads(threads)
    assert len(calls) == 2  # the comparison with autograd, and the chain
    assert (got - wanted).abs().max() < 1e-12
    assert log_density is not prior


@pytest.mark.parametrize("move", [MALA(7, 1.2), HMC(7, 1.5, leapfrog_steps=3)], ids=["MALA", "HMC"])
@pytest.mark.parametrize("rows", ["one stream", "a stream each"])
def test_metropolis_runs_as_a_whole_and_splits_rows_and_steps(
    move: MALA | HMC, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More rows than a block, several threads, noise drawn ahead a few steps at a time; moves and stays."""
    calls = []
    plain = fused.Fused.hmc
    monkeypatch.setattr(fused.Fused, "hmc", lambda self, *a: calls.append(1) or plain(self, *a))
    prior = targets(F64)["prior, smooth"][0]
    x = noise_like(torch.empty(203, 6, dtype=F64), stream(3))
    monkeypatch.setattr(fused, "NOISE_BYTES", 3 * x.numel() * 8)
    rngs = [stream(4) if rows == "one stream" else Streams(4, range(203)) for _ in range(2)]
    states = list(move.path(prior, x, rng=stream(4)))[1:]
    assert 0.1 < float(torch.stack([s.accepted for s in states]).mean()) < 0.9
    wanted = move(prior, x, rng=rngs[0])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with use("fused"):
            got = move(prior, x, rng=rngs[1])
    finally:
        torch.set_num_threads(threads)
    assert len(calls) == 2  # the comparison with autograd, and the chain
    assert (got - wanted).abs().max() < 1e-12
    if rows == "one stream":
        assert torch.equal(rngs[0].get_state(), rngs[1].get_state())


SIZES = torch.tensor([0.2, 0.9, 0.1, 1.4, 0.5], dtype=F64)


@pytest.mark.parametrize(
    ("move", "whole"),
    [
        (MALA(9, SIZES), True),
        (MALA(9, 0.2, warmup=5), True),
        (MALA(0, 0.2, warmup=5), False),
        (MALA(9, 0.2, warmup=45), False),
        (MALA(9, 0.2, mass=Mass(scale=torch.full((6,), 0.5))), False),
        (HMC(9, SIZES, leapfrog_steps=3), True),
        (HMC(9, 0.2, leapfrog_steps=2, warmup=5), True),
        (HMC(9, 0.2, leapfrog_steps=2, mass=Mass(scale=torch.full((6,), 0.5))), False),
    ],
)
def test_metropolis_has_a_step_size_of_its_own_for_each_chain_and_a_mass_matrix_in_python(
    move: MALA | HMC, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    plain = fused.Fused.hmc
    monkeypatch.setattr(fused.Fused, "hmc", lambda self, *a: calls.append(a[4]) or plain(self, *a))
    log_density, x = targets(F64)["prior, smooth"]
    with use("fused"):
        got = move(log_density, x, rng=stream(4))
    wanted = move(log_density, x, rng=stream(4))
    assert (got - wanted).abs().max() < 1e-12
    assert (got - x).norm(dim=1).max() > 0.1
    assert (9 in calls) == whole
    assert torch.equal(wanted, list(move.path(log_density, x, rng=stream(4)))[-1].x)


def test_a_chain_of_mala_that_takes_its_steps_is_recorded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(scores, "trace", lambda *a: calls.append(1) or trace.trace(*a))
    log_density, x = targets(F64)["image"]
    with use("fused"):
        got = MALA(3, 0.1)(log_density, x, rng=stream(4))
    assert len(calls) == 1
    assert (got - MALA(3, 0.1)(log_density, x, rng=stream(4))).abs().max() < 1e-12


def test_mala_in_cpp_starts_inside_the_support() -> None:
    """One row of three lies where the log density is −∞; with a value that is no number, the chain stays."""
    data = torch.tensor([[0.0], [0.0], [torch.inf]])
    x = torch.zeros(3, 1)
    log_density = lambda z: -0.5 * ((data - z) ** 2).sum(1)  # noqa: E731
    for kind in ("eager", "fused"):
        with use(kind), pytest.raises(InputError, match="got -inf at 1 of 3"):
            MALA(2, 0.5)(log_density, x, rng=stream(0))


def test_a_wrong_value_in_cpp_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fused.Fused.hmc

    def wrong(self, *a):
        x, value = right(self, *a)
        return x, 1.1 * value

    monkeypatch.setattr(fused.Fused, "hmc", wrong)
    log_density, x = targets(F64)["prior"]
    with use("fused", said := []):
        got = MALA(5, 0.3)(log_density, x, rng=stream(1))
    assert said == ["engine: a log density runs on plain autograd: its fused HMC score differs from autograd's"]
    assert (got - MALA(5, 0.3)(log_density, x, rng=stream(1))).abs().max() < 1e-12


@pytest.mark.parametrize("move", [MALA(25, 1.0), HMC(8, 0.9, leapfrog_steps=3)], ids=["MALA", "HMC"])
def test_metropolis_in_cpp_that_accepts_all_misses_its_target(
    move: MALA | HMC, monkeypatch: pytest.MonkeyPatch
) -> None:
    normal_law(run_law("fused", move), MEAN, 1 / PRECISION)
    monkeypatch.setattr(fused, "uniform_like", lambda value, rng: torch.zeros_like(value))
    with pytest.raises(AssertionError):
        normal_law(run_law("fused", move), MEAN, 1 / PRECISION)


def test_fused_tanh_is_exact_to_rounding() -> None:
    """Over the whole line, not a number included: the kernel has its own tanh in float32."""
    line = torch.cat([torch.linspace(-12, 12, 20_001), torch.tensor([1e-8, -1e-20, 60.0, -1e30])])[:, None]
    net = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Tanh())
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
    data = torch.zeros(len(line), 2)
    log_density = lambda z: -0.5 * ((data - net(z)) ** 2).sum(1)  # noqa: E731
    make, record = plan.make_of(trace.trace(log_density, line), line)
    chain = make.fused()
    assert chain is not None
    got = chain.langevin(record.leaves(), line, 1.0, [0.0], stream(0)) - line
    t = line.double().tanh()
    wanted = -2 * t * (1 - t * t)
    assert (got - wanted).abs().max() < 1e-5  # x is subtracted again: its rounding dominates, up to 12
    inside = line.abs() < 1
    assert ((got - wanted).abs() / wanted.abs().clamp(min=1e-3))[inside].max() < 3e-4
    nan = chain.langevin(record.leaves(), torch.full_like(line, torch.nan), 1.0, [0.0], stream(0))
    assert nan.isnan().all()


# --- what changes between chains -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("net", ["mlp", "deconv"])
def test_updated_parameters_and_new_data_are_honoured(kind: str, net: str) -> None:
    torch.manual_seed(0)
    shape = (1, 4, 4) if net == "mlp" else (2, 8, 8)
    prior = EBM(mlp_f(4, 8), StandardNormal(4)).double()
    g = GaussianGenerator(mlp_generator(4, 8, shape) if net == "mlp" else deconv_generator(4, 8, 2, 1), 0.3).double()
    z = noise_like(torch.empty(5, 4, dtype=F64), stream(1))
    ends: list[Tensor] = []
    with use(kind) as state:
        for k in range(4):
            x = noise_like(torch.empty(5, *shape, dtype=F64), stream(2, 0, k // 2))
            log_density = observe(prior().log_density, lambda z, x=x: g(z).log_prob(x))
            got = Langevin(4, 0.1)(log_density, z, rng=stream(3))
            with engine.use("eager"):
                wanted = Langevin(4, 0.1)(log_density, z, rng=stream(3))
            assert (got - wanted).abs().max() < 1e-12
            assert all((got - end).abs().max() > 1e-6 for end in ends)
            ends.append(got)
            with torch.no_grad():  # an optimizer's in-place update; `.data` leaves no mark of a change
                for p in [*prior.parameters(), *g.parameters()]:
                    p.data.mul_(1.1)
    assert sum(k[0] == "static" for k in state.made) == (kind == "graph")


def test_guards_of_inference_mode_and_no_grad() -> None:
    log_density, x = targets(F64)["posterior, deconv"]
    wanted = Langevin(3, 0.1)(log_density, x, rng=stream(1))
    for mode in (torch.no_grad, torch.inference_mode):
        with use("traced"), mode():
            got = Langevin(3, 0.1)(log_density, x, rng=stream(1))
        assert (got - wanted).abs().max() < 1e-12


# --- laws ------------------------------------------------------------------------------------------------------------

TILT, SLOPE, SIGMA, DATA, CHAINS = 0.7, 0.9, 0.8, 1.3, 30_000


def linear_gaussian() -> LogDensity:
    """f(z) = t z and x ~ N(a z, σ²), both through networks: the posterior is N(m, 1/P)."""
    f, g = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 1), nn.Flatten(0)), nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        f[0].weight.copy_(torch.tensor([[2.0], [-1.0]]))
        f[1].weight.copy_(torch.tensor([[TILT, TILT]]))
        g.weight.fill_(SLOPE)
    prior, generator = EBM(f, StandardNormal(1)).double(), GaussianGenerator(g, SIGMA).double()
    data = torch.full((CHAINS, 1), DATA, dtype=F64)
    return observe(prior().log_density, lambda z: generator(z).log_prob(data))


PRECISION = 1 + SLOPE**2 / SIGMA**2
MEAN = (TILT + SLOPE * DATA / SIGMA**2) / PRECISION


def short_run(steps: int, step_size: float) -> tuple[float, float]:
    """Mean and variance after K steps from N(0, 1)."""
    a = 1 - step_size**2 * PRECISION / 2
    mean, var = 0.0, 1.0
    for _ in range(steps):
        mean, var = MEAN + a * (mean - MEAN), a * a * var + step_size**2
    return mean, var


def run_law(kind: str, sampler: Sampler, **more) -> Tensor:
    start = noise_like(torch.empty(CHAINS, 1, dtype=F64), stream(11))
    with use(kind, **more) if kind != "eager" else nullcontext():
        return sampler(linear_gaussian(), start, rng=stream(12)).flatten()


@pytest.mark.parametrize("kind", ["eager", *ENGINES])
def test_short_run_law(kind: str) -> None:
    normal_law(run_law(kind, Langevin(5, 0.6)), *short_run(5, 0.6))


@pytest.mark.parametrize("kind", ["eager", *ENGINES])
def test_stationary_laws(kind: str) -> None:
    delta = 0.8
    biased = 1 / (PRECISION * (1 - delta**2 * PRECISION / 4))
    normal_law(run_law(kind, Langevin(20, delta)), MEAN, biased)
    normal_law(run_law(kind, MALA(25, 1.0)), MEAN, 1 / PRECISION)
    normal_law(run_law(kind, HMC(8, 0.4, leapfrog_steps=3)), MEAN, 1 / PRECISION)


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize(
    "wrong", [Langevin(5, 0.6, noise_scale=0.0), Langevin(5, 0.6 * 2**0.5, noise_scale=0.6), Langevin(6, 0.6)]
)
def test_negative_controls_fail(kind: str, wrong: Langevin) -> None:
    """Noise dropped, drift doubled, a step too many."""
    with pytest.raises(AssertionError):
        normal_law(run_law(kind, wrong), *short_run(5, 0.6))


# --- what must be refused ------------------------------------------------------------------------------------------


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):  # type: ignore[override]
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):  # type: ignore[override]
        return -g


class Hooked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.layer.register_full_backward_hook(lambda m, gi, go: (2 * gi[0],))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).sum(1)


W = torch.randn(6, 6, generator=stream(0))
_GENERATOR = stream(9)


def _autocast(x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        h = F.linear(x, W)
    return h.float().sum(1) + (x * x).sum(1)


REFUSED: dict[str, LogDensity] = {
    "value-dependent branch": lambda x: (x @ W).tanh().sum(1) * (1.0 if float(x.abs().max()) > 0 else -1.0),
    "value-dependent shape": lambda x: (x @ W)[:, x[0] > 0].tanh().sum(1),
    "reversed gradient": lambda x: Reversed.apply(x @ W).tanh().sum(1),
    "backward hook": Hooked(),
    "tensor hook": lambda x: _with_hook(x @ W).tanh().sum(1),
    "noise inside": lambda x: (x * noise_like(W[: len(x)], _GENERATOR)).sum(1),
    "dropout": lambda x: F.dropout(x @ W, 0.5, training=True).tanh().sum(1),
    "statistics kept": nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 1), nn.Flatten(0)),
    "autocast": _autocast,
}


def _with_hook(x: Tensor) -> Tensor:
    x.register_hook(lambda g: 3 * g)
    return x


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_planned_runs_on_autograd_and_one_line_says_so(name: str) -> None:
    log_density, x = REFUSED[name], noise_like(torch.empty(4, 6), stream(1))
    said: list[str] = []
    with use("fused", said):
        for _ in range(2):
            torch.manual_seed(0)
            _GENERATOR.manual_seed(1)
            got = Langevin(3, 0.1)(log_density, x, rng=stream(2))
    torch.manual_seed(0)
    _GENERATOR.manual_seed(1)
    wanted = Langevin(3, 0.1)(log_density, x, rng=stream(2))
    assert len(said) == 1
    assert said[0].startswith("engine: a log density runs on plain autograd: ")
    assert "\n" not in said[0]
    if name != "dropout":  # its noise comes from torch's own generator, which looking moves on
        assert torch.equal(got, wanted)


def test_dropout_in_eval_mode_is_no_obstacle() -> None:
    net = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5), nn.Tanh()).eval()
    x, said = noise_like(torch.empty(4, 6), stream(1)), []
    with use("traced", said):
        got = engine.score(lambda x: net(x).sum(1))(x)
    assert torch.allclose(got, density.score(lambda x: net(x).sum(1), x), atol=1e-6)


def test_a_wrong_kernel_is_caught_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    right = layers._matmul
    monkeypatch.setattr(layers, "_matmul", lambda how, weight, *a: right(how, 3.0 * weight, *a))
    log_density, x = targets(torch.float32)["prior, tanh"]
    said: list[str] = []
    with use("traced", said):
        got = engine.score(log_density)(x)
    assert torch.equal(got, density.score(log_density, x))
    assert said == ["engine: a log density runs on plain autograd: its traced score differs from autograd's"]


def test_errors_of_the_users_own_come_through() -> None:
    f = EBM(mlp([6, 4, 1]), StandardNormal(6))()  # [b, 1] where [b] is due
    with use("traced"), pytest.raises(InputError, match="squeeze"):
        Langevin(2, 0.1)(f.log_density, torch.zeros(3, 6), rng=stream(0))


def test_no_compiler_means_steps_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library.shutil, "which", lambda name: None)
    library.build.cache_clear()
    try:
        log_density, x = targets(F64)["prior"]
        said: list[str] = []
        with use("fused", said):
            got = [Langevin(3, 0.2)(log_density, x, rng=stream(1)) for _ in range(2)]
    finally:
        library.build.cache_clear()
    assert said == ["engine: there is no C++ compiler: chains run step by step"]
    assert (got[1] - Langevin(3, 0.2)(log_density, x, rng=stream(1))).abs().max() < 1e-12


def test_auto_builds_only_what_the_run_repays(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    plain = scores.build
    monkeypatch.setattr(scores, "build", lambda: built.append(1) or plain())
    log_density, x = targets(F64)["prior"]
    for updates, wanted in ((None, 0), (scores.BUILD_FROM - 1, 0), (scores.BUILD_FROM, 1)):
        with engine.use("auto", updates=updates):
            Langevin(2, 0.1)(log_density, x, rng=stream(1))
        assert len(built) == wanted


def test_engines_nest_and_end() -> None:
    with use("traced"):
        with engine.use("eager"):
            assert engine._current.get().name == "eager"
        assert engine._current.get().name == "traced"
    assert engine._current.get().name == "eager"
    for wrong in ({"name": "fast"}, {"name": "traced", "drift": "fp8"}, {"name": "eager", "drift": "bf16"}):
        with pytest.raises(Exception, match=r"must be|Type-check|drift bf16 is of"), engine.use(**wrong):
            pass


@pytest.mark.skipif(not scores.has_bf16(), reason="no bfloat16 arithmetic")
def test_a_run_says_in_its_journal_that_its_drift_is_bf16(tmp_path: Path) -> None:
    recipe = digits()
    plain = absynth.fit(recipe, tmp_path / "plain", chains="traced")
    rounded = absynth.fit(recipe, tmp_path / "rounded", chains="traced", drift="bf16")
    said = [(tmp_path / name / "journal.jsonl").read_text() for name in ("plain", "rounded")]
    assert ["the drift of its chains in bf16" in text for text in said] == [False, True]
    ours, theirs = (torch.cat([p.flatten() for p in a.parameters()]) for a in (plain, rounded))
    assert 0 < (ours - theirs).norm() < 0.01 * ours.norm()


def test_graph_without_a_gpu_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    log_density, x = targets(F64)["prior"]
    with engine.use("graph"):
        for _ in range(2):
            Langevin(2, 0.1)(log_density, x, rng=stream(1))
    assert capsys.readouterr().err.count("no GPU") == (not torch.cuda.is_available())


def test_a_capture_that_fails_or_differs_means_steps_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of a captured chain, on a replay that does nothing, in place of a GPU's."""
    log_density, x = targets(F64)["prior"]
    monkeypatch.setattr(graph.StaticChain, "_capture", lambda self: self._check(lambda: None))
    plain = graph.StaticChain.__init__

    def made_and_checked(self, *args) -> None:
        plain(self, *args)
        self._capture()

    monkeypatch.setattr(graph.StaticChain, "__init__", made_and_checked)
    said: list[str] = []
    with use("graph", said):
        for _ in range(2):
            got = Langevin(3, 0.2)(log_density, x, rng=stream(1))
    assert "engine: no graph: a captured chain differs from its steps; chains run step by step" in said
    assert len(said) <= 2
    assert (got - Langevin(3, 0.2)(log_density, x, rng=stream(1))).abs().max() < 1e-12
    monkeypatch.setattr(graph.StaticChain, "_capture", lambda self: self._check(self.run))
    with use("graph", said := []):
        Langevin(3, 0.2)(log_density, x, rng=stream(1))
    assert not any("no graph" in line for line in said)


def test_auto_compares_its_first_captured_chain_with_autograds(monkeypatch: pytest.MonkeyPatch) -> None:
    """On static buffers in place of a GPU's graph, and with a replay that stays where it is."""
    log_density, x = targets(F64)["prior"]
    monkeypatch.setattr(scores.Scores, "_name", lambda self, x: "graph")
    wanted = [Langevin(3, 0.2)(log_density, x, rng=stream(1, 0, k)) for k in range(2)]
    ends = {
        "agrees with autograd's": graph.StaticChain.__call__,
        "differs from autograd's": lambda self, plan, x, rng: x,
    }
    for words, call in ends.items():
        monkeypatch.setattr(graph.StaticChain, "__call__", call)
        said: list[str] = []
        with use("auto", said):
            got = [Langevin(3, 0.2)(log_density, x, rng=stream(1, 0, k)) for k in range(2)]
        assert sum(words in line for line in said) == 1
        assert max(float((a - b).abs().max()) for a, b in zip(got, wanted)) < 1e-12


class Waits(TorchDispatchMode):
    """Counts the operations that wait for a value on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("target", ["prior", "posterior, deconv", "image", "mixture", "restricted"])
def test_no_step_waits_for_a_value_on_the_host(target: str) -> None:
    log_density, x = targets(torch.float32)[target]
    with use("graph") as state:
        Langevin(3, 0.1)(log_density, x, rng=stream(1))
    chain = next(made for key, made in state.made.items() if key[0] == "static")
    with Waits() as waits:
        chain.run()
        assert waits.count == 0
        float(chain.end.sum())
        assert waits.count == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("target", ["prior", "posterior, mlp", "posterior, deconv", "image"])
def test_graph_on_a_gpu_gives_eagers_chain(target: str) -> None:
    log_density, x = targets(F64)[target]
    for module in _modules(log_density):
        module.to("cuda")
    wanted = Langevin(5, 0.1)(log_density, x.cuda(), rng=stream(1, device="cuda"))
    with use("graph"):
        for _ in range(3):
            got = Langevin(5, 0.1)(log_density, x.cuda(), rng=stream(1, device="cuda"))
    assert (got - wanted).abs().max() < 1e-10


@pytest.mark.parametrize("wrong", [False, True])
def test_a_compiler_gets_no_factor_that_it_forgets_and_one_that_is_wrong_is_caught(
    wrong: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch 2.13 makes a product and a + α b one product and drops α; here a stand-in for it."""

    def compiled(module, dynamic):
        given = [n.kwargs for n in module.graph.nodes if n.op == "call_function"]
        assert not any("alpha" in kwargs for kwargs in given)
        return (lambda *a: tuple(1.5 * t for t in module(*a))) if wrong else module

    monkeypatch.setattr(torch, "compile", compiled)
    log_density, x = targets(F64)["prior"]
    with use("compiled", said := []):
        for sampler in (Langevin(3, 0.2), MALA(3, 0.2)):
            got = sampler(log_density, x, rng=stream(1))
            with engine.use("eager"):
                wanted = sampler(log_density, x, rng=stream(1))
            assert (got - wanted).abs().max() < 1e-12
    assert any("its compiled score differs from autograd's" in line for line in said) == wrong


@pytest.mark.slow
@pytest.mark.parametrize("target", ["prior", "posterior, mlp", "posterior, deconv", "image", "mixture"])
def test_compiled_gives_eagers_chain_and_compiles_once(target: str) -> None:
    log_density, x = targets(F64)[target]
    said: list[str] = []
    with use("compiled", said) as state:
        for k in range(2):
            for module in _modules(log_density):
                for p in module.parameters():
                    p.data.mul_(1.1)
            for sampler in (Langevin(4, 0.2), MALA(3, 0.1)):
                got = sampler(log_density, x, rng=stream(1, k))
                with engine.use("eager"):
                    wanted = sampler(log_density, x, rng=stream(1, k))
                assert (got - wanted).abs().max() < 1e-12 * wanted.abs().max()
        assert len(state.made) == 1
    assert len(said) == 1
    assert "compiled a score in" in said[0]
