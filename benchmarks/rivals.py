"""(h) The README problems of TorchEBM 0.8.9 and ebmkit 0.16.0 beside the same problems here.

    pip install torchebm ebmkit
    python benchmarks/rivals.py --seeds 0 1 2

*Two moons*: every method learns from the same 8,192 points for the same processor seconds on one thread, theirs by the
numbers of their README (energy discrepancy, which theirs only names, by our preset's numbers), ours by presets. KL(data
‖ exp(log density)) in nats by a sum over a grid, normalized on it; squared MMD of 2,000 samples against 2,000 fresh
draws. Learning rates are constant in theirs and fall to 0 in ours, whose number of updates is set by a short run.

*A correlated Gaussian*: the chains of TorchEBM's README on N(0, [[1, .8], [.8, 1]]): processor time, and the largest
error of the covariance.

Both libraries are optional and no dependency of absynth; without one of them its rows are left out. Data are drawn
before the clock starts. Samples that are not finite are left out of the MMD.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import absynth as ab
from absynth import recipes, results
from absynth.data.toy_set import ToySet
from absynth.experiments.chain_free_toy import GRID, KnownMoons
from absynth.metrics.kernel import mmd
from absynth.samplers import HMC, Langevin
from absynth.seeding import stream, uniform_like
from absynth.types import LogDensity, Rng

RECORD = Path("results/bench/rivals.json")
POINTS, SAMPLES, PILOT = 8192, 2000, 60
COVARIANCE = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
LAW = KnownMoons()


@dataclass(frozen=True)
class Points:
    """Rows of a fixed set, as a law."""

    rows: Tensor

    def sample(self, n: int, rng: Rng) -> Tensor:
        """n rows, with replacement."""
        return self.rows[(len(self.rows) * uniform_like(torch.empty(n), rng)).long()]


@dataclass
class Learned:
    """A trained model: a log density, if it has one, and its samples."""

    log_density: LogDensity | None
    sample: Callable[[int], Tensor]
    updates: int
    seconds: float


def batches(rows: Tensor, size: int) -> Callable[[], Tensor]:
    """Minibatches as the READMEs draw them."""
    return lambda: rows[torch.randint(len(rows), (size,))]


def until(seconds: float, step: Callable[[float], None]) -> tuple[int, float]:
    """Run updates until the processor time is spent; each gets the share that is."""
    begin, updates = time.process_time(), 0
    while (spent := time.process_time() - begin) < seconds:
        step(spent / seconds)
        updates += 1
    return updates, spent


def mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


def learner(parameters: nn.Module, loss: Callable[[], Tensor]) -> Callable[[float], None]:
    """One update of Adam at 1e-3, as in both READMEs."""
    adam = torch.optim.Adam(parameters.parameters(), lr=1e-3)

    def step(share: float) -> None:
        value = loss()
        adam.zero_grad()
        value.backward()
        adam.step()

    return step


def torchebm_divergence(rows: Tensor, seconds: float, seed: int, persistent: bool = False) -> Learned:
    """TorchEBM's README: contrastive divergence, 10 steps of .1 at 128 hidden units."""
    from torchebm.core import BaseModel  # type: ignore[import-not-found]
    from torchebm.losses import ContrastiveDivergence  # type: ignore[import-not-found]
    from torchebm.samplers import LangevinDynamics  # type: ignore[import-not-found]

    class Energy(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(2, 128, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x).squeeze(-1)

    torch.manual_seed(seed)
    energy, batch = Energy(), batches(rows, 256)
    sampler = LangevinDynamics(model=energy, step_size=0.1, noise_scale=1.0)
    options = {"persistent": True, "buffer_size": 8192} if persistent else {}
    divergence = ContrastiveDivergence(model=energy, sampler=sampler, k_steps=10, **options)
    updates, spent = until(seconds, learner(energy, lambda: divergence(batch())[0]))
    return Learned(
        lambda x: -energy(x), lambda n: sampler.sample(x=torch.randn(n, 2), n_steps=500), updates, spent
    )  # fmt: skip


def torchebm_persistent(rows: Tensor, seconds: float, seed: int) -> Learned:
    """The same with its replay buffer."""
    return torchebm_divergence(rows, seconds, seed, persistent=True)


def torchebm_matching(rows: Tensor, seconds: float, seed: int) -> Learned:
    """TorchEBM's README: energy matching, 10 updates of the flow for one of the contrast."""
    from torchebm.core import BaseModel, TemperatureScheduler
    from torchebm.couplings import SinkhornCoupling  # type: ignore[import-not-found]
    from torchebm.losses import EnergyMatchingLoss
    from torchebm.samplers import LangevinDynamics

    class Potential(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(2, 128, 128, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x).squeeze(-1)

    torch.manual_seed(seed)
    potential, batch = Potential(), batches(rows, 128)
    matching = EnergyMatchingLoss(
        model=potential, coupling=SinkhornCoupling(reg=0.01), lambda_cd=0.0, epsilon_max=0.15, tau_star=0.8
    )
    update = learner(potential, lambda: matching(batch()))

    def step(share: float) -> None:
        if share >= 0.5 and matching.lambda_cd == 0:  # an update of its second phase costs about ten of the first
            matching.lambda_cd = 2.0
        update(share)

    updates, spent = until(seconds, step)

    def sample(n: int) -> Tensor:
        temperature = TemperatureScheduler(epsilon_max=0.15, tau_star=0.8, n_steps=200, t_end=1.0)
        sweep = LangevinDynamics(model=potential, step_size=0.01, noise_scale=temperature)
        return sweep.sample(x=torch.randn(n, 2), n_steps=200)

    return Learned(lambda x: -potential(x) / 0.15, sample, updates, spent)


def torchebm_equilibrium(rows: Tensor, seconds: float, seed: int) -> Learned:
    """TorchEBM's README: equilibrium matching; a field, whose energy is no log density."""
    from torchebm.losses import EquilibriumMatchingLoss
    from torchebm.samplers import FlowSampler

    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(2, 128, 128, 2)

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return self.net(x)

    torch.manual_seed(seed)
    net, batch = Field(), batches(rows, 256)
    matching = EquilibriumMatchingLoss(model=net, interpolant="linear", energy_type="dot")
    updates, spent = until(seconds, learner(net, lambda: matching(batch())))
    flow = FlowSampler(model=net, interpolant="linear", negate_velocity=True, integrator="euler")
    return Learned(None, lambda n: flow.sample(x=torch.randn(n, 2), n_steps=100), updates, spent)


def ebmkit(rows: Tensor, seconds: float, seed: int, discrepancy: bool = False) -> Learned:
    """ebmkit's README: persistent contrastive divergence, 60 steps of .01 at 128-128 hidden units."""
    import ebm  # type: ignore[import-not-found]

    torch.manual_seed(seed)
    energy = ebm.nets.MLPEnergy(dim=2, hidden=(128, 128))
    sampler, batch = ebm.LangevinDynamics(step_size=1e-2, steps=60), batches(rows, 256)
    if discrepancy:
        loss = ebm.EnergyDiscrepancy(sigma=0.05**0.5, m_particles=8)
    else:
        loss = ebm.ContrastiveDivergence(sampler, buffer=ebm.ReplayBuffer(8192, (2,)))
    updates, spent = until(seconds, learner(energy, lambda: loss(energy, batch()).loss))
    return Learned(lambda x: -energy(x), lambda n: sampler.sample(energy, torch.randn(n, 2), steps=500), updates, spent)


def ebmkit_discrepancy(rows: Tensor, seconds: float, seed: int) -> Learned:
    """Energy discrepancy of ebmkit with our preset's noise and number of contrasts."""
    return ebmkit(rows, seconds, seed, discrepancy=True)


def ours(method: str) -> Callable[[Tensor, float, int], Learned]:
    """A method of absynth: its preset with as many updates as fit into the time."""

    def learn(rows: Tensor, seconds: float, seed: int) -> Learned:
        data = ToySet(Points(rows), "moons")
        with tempfile.TemporaryDirectory() as folder:

            def train(steps: int) -> tuple[ab.Algorithm, float]:
                begin = time.process_time()
                model = ab.fit(recipes.build(method, data, seed=seed, steps=steps), Path(folder) / str(steps))
                return model, time.process_time() - begin

            train(PILOT)  # what a process loads once
            each = (train(3 * PILOT)[1] - train(PILOT)[1]) / (2 * PILOT)
            updates = int(0.97 * seconds / each)
            model, spent = train(updates)
        return Learned(model.chain().density.log_density, lambda n: model.sample(n, rng=stream(seed)), updates, spent)

    return learn


LEARNERS: dict[str, tuple[str, Callable[[Tensor, float, int], Learned]]] = {
    "absynth, energy discrepancy": ("absynth", ours("energy_discrepancy")),
    "absynth, diffusive classification": ("absynth", ours("diffusive_classification")),
    "absynth, energy matching": ("absynth", ours("energy_matching")),
    "TorchEBM, contrastive divergence": ("torchebm", torchebm_divergence),
    "TorchEBM, persistent": ("torchebm", torchebm_persistent),
    "TorchEBM, energy matching": ("torchebm", torchebm_matching),
    "TorchEBM, equilibrium matching": ("torchebm", torchebm_equilibrium),
    "ebmkit, persistent": ("ebm", ebmkit),
    "ebmkit, energy discrepancy": ("ebm", ebmkit_discrepancy),
}


def gaussian_chains(seed: int) -> dict[str, tuple[str, Callable[[], Tensor]]]:
    """The README's chains: 10,000 of 500 Langevin steps with η = .02, 1,000 of 500 HMC trajectories."""
    precision = COVARIANCE.inverse()

    def log_density(x: Tensor) -> Tensor:
        return -0.5 * (x @ precision * x).sum(1)

    def torchebm(hamiltonian: bool) -> Tensor:
        from torchebm.core import GaussianModel
        from torchebm.samplers import HamiltonianMonteCarlo, LangevinDynamics

        model = GaussianModel(mean=torch.zeros(2), cov=COVARIANCE)
        if hamiltonian:
            return HamiltonianMonteCarlo(model=model, step_size=0.1, n_leapfrog_steps=10).sample(
                dim=2, n_samples=1000, n_steps=500
            )
        return LangevinDynamics(model=model, step_size=0.02, noise_scale=1.0).sample(
            dim=2, n_samples=10_000, n_steps=500
        )

    def other(hamiltonian: bool) -> Tensor:
        import ebm

        sampler = ebm.HMC(0.1, 10, 500) if hamiltonian else ebm.LangevinDynamics(0.02, 500)
        return sampler.sample(lambda x: -log_density(x), torch.randn(1000 if hamiltonian else 10_000, 2))

    def our(hamiltonian: bool) -> Tensor:
        sampler = HMC(500, 0.1, 10) if hamiltonian else Langevin(500, 0.04**0.5)
        return sampler(log_density, torch.randn(1000 if hamiltonian else 10_000, 2), rng=stream(seed))

    made = {"absynth": ("absynth", our), "TorchEBM": ("torchebm", torchebm), "ebmkit": ("ebm", other)}
    return {
        f"{name}, {chain}": (package, lambda run=run, h=h: run(h))
        for name, (package, run) in made.items()
        for chain, h in (("Langevin", False), ("HMC", True))
    }


@dataclass
class Figures:
    """Values by figure, one a seed."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, figure: str, value: float) -> None:
        self.values.setdefault(figure, []).append(value)


def moons(seed: int, seconds: float, found: Figures, installed: set[str]) -> None:
    """All methods on the moons."""
    rows, truth, again = (LAW.sample(n, stream(seed, 0, 0, k)) for k, n in ((1, POINTS), (2, SAMPLES), (3, SAMPLES)))
    for name, (package, learn) in LEARNERS.items():
        if package not in installed:
            continue
        model = learn(rows, seconds, seed)
        if model.log_density is not None:
            with torch.no_grad():
                found.add(f"KL: {name}", GRID.kl(LAW.log_prob, model.log_density))
        x = model.sample(SAMPLES).detach()
        finite = x[x.isfinite().all(1)]
        found.add(f"MMD²: {name}", mmd(finite, truth) if len(finite) else 2.0)
        found.add(f"updates: {name}", model.updates)
        found.add(f"processor s: {name}", model.seconds)
        print(f"seed {seed}: {name}: {model.updates} updates in {model.seconds:.1f} s", flush=True)
    found.add("MMD²: two sets of data", mmd(again, truth))


def gaussian(seed: int, found: Figures, installed: set[str]) -> None:
    """All chains on the Gaussian."""
    torch.manual_seed(seed)
    for name, (package, call) in gaussian_chains(seed).items():
        if package not in installed:
            continue
        begin = time.process_time()
        x = call()
        found.add(f"processor s: {name}", time.process_time() - begin)
        found.add(f"covariance error: {name}", float((x.T.cov() - COVARIANCE).abs().max()))


def table(found: Figures) -> Table:
    """Means over seeds."""
    out = Table("", *(columns := ("KL", "MMD²", "covariance error", "updates", "processor s")), title="Beside rivals")
    mean = {k: sum(v) / len(v) for k, v in found.values.items()}
    for name in dict.fromkeys(k.partition(": ")[2] for k in mean):
        out.add_row(name, *(results.number(mean[k]) if (k := f"{c}: {name}") in mean else "" for c in columns))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=10.0, help="processor seconds of training of each method")
    parser.add_argument("--no-record", action="store_true", help="print only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    installed = {"absynth"} | {name for name in ("torchebm", "ebm") if importlib.util.find_spec(name)}
    found = Figures()
    for seed in options.seeds:
        moons(seed, options.seconds, found, installed)
        gaussian(seed, found, installed)
    Console(width=120).print(table(found))
    if options.no_record:
        return
    results.record(
        RECORD,
        command=f"python benchmarks/rivals.py {shlex.join(sys.argv[1:])}".strip(),
        data=f"two moons of blur .1, {POINTS} points; N(0, [[1, .8], [.8, 1]])",
        protocol=f"{options.seconds:g} processor seconds of training each, one thread, the same points; KL by a sum "
        f"over a grid, squared MMD of {SAMPLES} samples; the READMEs' numbers of TorchEBM 0.8.9 and ebmkit 0.16.0. "
        "Chains on the Gaussian: 10,000 of 500 Langevin steps with η = .02, 1,000 of 500 HMC trajectories",
        seeds=options.seeds,
        figures=found.values,
        baselines={},
    )


if __name__ == "__main__":
    main()
