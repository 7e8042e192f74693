"""Peak memory of the posterior chain (b), the chain on images (d) and a whole update (c): naive and by the engine.

Each is measured in a process of its own.

python benchmarks/memory.py
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import torch
from common import models, naive
from common.side_by_side import Bench, arguments
from torch.optim import Adam

import absynth
from absynth.density import EBM
from absynth.distributions import Uniform
from absynth.samplers import Langevin, engine
from absynth.seeding import stream
from absynth.types import Batch

CHAINS = ("posterior", "pictures", "update")
UPDATES = 4


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(chain: str, way: str) -> None:
    """Print by how many megabytes three steps raise the peak above what the networks and data already took.

    Of updates, four of three steps each: that includes gradients and the optimizers' states.
    """
    torch.set_num_threads(1)
    x, z = torch.rand(models.BATCH, 3, 32, 32) * 2 - 1, torch.randn(models.BATCH, models.LATENT)
    prior, generator, f = models.prior(), models.generator(), models.image_f()
    torch.ones(64, 64) @ torch.ones(64, 64)
    if way != "naive":  # torch loads a library of shapes at the first record: tens of megabytes once a process
        at_start = megabytes()
        with engine.use("traced"):
            engine.score(lambda x: -(x * x).sum(1))(torch.zeros(2, 2))
        print(f"library of shapes {megabytes() - at_start:.1f} MB")
    rates = {"prior": (prior, 2e-5), "generator": (generator, 1e-4)}
    optimizers = {k: Adam(module.parameters(), lr, (0.5, 0.999)) for k, (module, lr) in rates.items()}
    before = megabytes()
    if way == "naive" and chain == "update":
        steps = {"prior_steps": 3, "posterior_steps": 3}
        for _ in range(UPDATES):
            naive.iteration(prior.f, generator.net, tuple(optimizers.values()), x, **steps)  # type: ignore[arg-type]
    elif way == "naive" and chain == "posterior":
        naive.posterior_chain(prior.f, generator.net, x, z, 3, 0.1, models.STD)
    elif way == "naive":
        naive.data_chain(f, x, 3, 1.0, 0.01)
    else:
        with engine.use("traced", drift="bf16" if way == "bf16" else "same"):
            if chain == "update":
                samplers = {"prior_sampler": Langevin(3, 0.4), "posterior_sampler": Langevin(3, 0.1)}
                generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as in the recipe
                algorithm, rng = absynth.LatentPrior(prior, generator, **samplers), stream(0)
                for _ in range(UPDATES):
                    absynth.update(algorithm, optimizers, Batch(x), rng=rng)
            elif chain == "posterior":
                Langevin(3, 0.1)(models.posterior(prior, generator, x), z, rng=stream(0))
            else:
                Langevin(3, 1.0, noise_scale=0.01)(EBM(f, Uniform(3, 32, 32))().log_density, x, rng=stream(0))
    print(megabytes() - before)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] in CHAINS:
        child(*sys.argv[1:])
        raise SystemExit
    options = arguments(__doc__ or "").parse_args()
    bench = Bench("memory", "peak memory", options)
    for chain in CHAINS:
        taken = {}
        for way in ("naive", "traced", "bf16"):
            done = subprocess.run(
                [sys.executable, __file__, chain, way], capture_output=True, text=True, check=True, env=os.environ
            )
            *library, last = done.stdout.splitlines()
            taken[way] = float(last)
            bench.notes += [f"{chain} {way}, once a process: {line}" for line in library]
            ratio = taken[way] / taken["naive"]
            print(f"{chain:10} {way:8} {taken[way]:7.1f} MB above the start, {ratio:.2f} of naive")
            bench.figures[f"{chain}_{way}"] = [ratio]
            bench.notes.append(f"{chain} {way}: {taken[way]:.1f} MB")
    bench.keep("Peak resident memory above that before the chain, as a share of the naive loop.")
