"""(e) A 2-D mixture and an MLP beside TorchEBM and beside a JAX scan.

    python benchmarks/other_libraries.py

Both libraries are optional and no dependency of absynth; without one of them its row is left out, and a line says so.
TorchEBM's step is x ← x + η·score + √(2η)·ε, so its η is our δ²/2.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from common import models, naive
from common.side_by_side import Bench, arguments
from torch import Tensor, nn

from absynth.data.toy import EightGaussians
from absynth.samplers import Langevin, engine
from absynth.seeding import stream
from absynth.types import LogDensity

STEP_SIZE = 0.1


def ours(log_density: LogDensity, x: Tensor, steps: int, name: engine.Name = "traced") -> Callable[[], object]:
    rng = stream(0)

    def run() -> None:
        with engine.use(name):
            Langevin(steps, STEP_SIZE)(log_density, x, rng=rng)

    return run


def torchebm(log_density: LogDensity, x: Tensor, steps: int) -> Callable[[], object]:
    from torchebm.core import BaseModel  # type: ignore[import-not-found]
    from torchebm.samplers import LangevinDynamics  # type: ignore[import-not-found]

    class Energy(BaseModel):
        def forward(self, x: Tensor) -> Tensor:
            return -log_density(x)

    sampler = LangevinDynamics(Energy(), step_size=STEP_SIZE**2 / 2, noise_scale=1.0)
    return lambda: sampler.sample(x=x, n_steps=steps)


def jax_mlp(net: nn.Sequential, x: Tensor, steps: int) -> Callable[[], object]:
    """A jitted scan with threefry noise, weights as arguments."""
    import jax  # type: ignore[import-not-found]
    import jax.numpy as jnp  # type: ignore[import-not-found]

    weights = [
        (jnp.asarray(m.weight.detach().numpy().T), jnp.asarray(m.bias.detach().numpy()))
        for m in net
        if isinstance(m, nn.Linear)
    ]

    def log_density(z, weights):
        h = z
        for w, b in weights[:-1]:
            h = jax.nn.leaky_relu(h @ w + b, 0.2)
        w, b = weights[-1]
        return (h @ w + b).sum() - 0.5 * (z * z).sum()

    @jax.jit
    def chain(z, weights, key):
        def step(carry, _):
            z, key = carry
            key, now = jax.random.split(key)
            noise = STEP_SIZE * jax.random.normal(now, z.shape)
            return (z + STEP_SIZE**2 / 2 * jax.grad(log_density)(z, weights) + noise, key), None

        (z, _), _ = jax.lax.scan(step, (z, key), None, length=steps)
        return z

    z, key = jnp.asarray(x.numpy()), jax.random.PRNGKey(0)
    return lambda: chain(z, weights, key).block_until_ready()


if __name__ == "__main__":
    options = arguments(__doc__ or "", steps=60).parse_args()
    bench = Bench("other_libraries", f"beside other libraries, K = {options.steps}", options)
    found = {name: importlib.util.find_spec(name) is not None for name in ("torchebm", "jax")}
    for name, there in found.items():
        if not there:
            print(f"{name} is not installed here: its rows are left out")
            bench.notes.append(f"{name} absent")
    prior, z = models.prior(), torch.randn(models.BATCH, models.LATENT)
    mlp: dict[str, Callable[[], object]] = {"absynth": ours(prior().log_density, z, options.steps)}
    mlp["absynth eager"] = ours(prior().log_density, z, options.steps, "eager")
    mlp["naive"] = lambda: naive.prior_chain(prior.f, z, options.steps, STEP_SIZE)
    mixture, x = EightGaussians(), torch.randn(1000, 2)
    two: dict[str, Callable[[], object]] = {"absynth": ours(mixture.log_prob, x, options.steps)}
    two["absynth eager"] = ours(mixture.log_prob, x, options.steps, "eager")
    if found["torchebm"]:
        mlp["TorchEBM"] = torchebm(prior().log_density, z, options.steps)
        two["TorchEBM"] = torchebm(mixture.log_prob, x, options.steps)
    if found["jax"]:
        mlp["JAX scan"] = jax_mlp(prior.f, z, options.steps)  # type: ignore[arg-type]
    work = options.steps * models.gflop(prior.f, *z.shape)  # type: ignore[arg-type]
    bench.run(mlp, part="mlp", gflop=work, calls=3)
    # A mixture of 8: about 12 operations a component forward and as many back.
    bench.run(two, part="mixture", gflop=options.steps * 1000 * 8 * 24 / 1e9, calls=3)
    bench.keep("Chains on one MLP energy (batch 100) and one 2-D mixture of eight (1000 chains), same step.")
