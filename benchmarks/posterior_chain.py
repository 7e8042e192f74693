"""(b) The posterior chain: the SVHN generator of the paper, batch 100, K = 20 (and 40 with --steps 40, in a record of
its own).

python benchmarks/posterior_chain.py
"""

from __future__ import annotations

import torch
from common import models, naive
from common.side_by_side import Bench, arguments

from absynth.samplers import Langevin, engine
from absynth.seeding import stream

if __name__ == "__main__":
    options = arguments(__doc__ or "", steps=20).parse_args()
    name = "posterior_chain" if options.steps == 20 else f"posterior_chain_{options.steps}"
    bench = Bench(name, f"posterior chain, K = {options.steps}", options)
    prior, generator = models.prior(), models.generator()
    x, z = torch.rand(models.BATCH, 3, 32, 32) * 2 - 1, torch.randn(models.BATCH, models.LATENT)
    rng = stream(0)
    sampler = Langevin(options.steps, 0.1)

    def ours(**drift: str) -> None:
        with engine.use("planned", **drift):  # type: ignore[arg-type]
            sampler(models.posterior(prior, generator, x), z, rng=rng)

    candidates = {
        "naive": lambda: naive.posterior_chain(prior.f, generator.net, x, z, options.steps, 0.1, models.STD),
        "planned": lambda: ours(),
        "planned, bf16 drift": lambda: ours(drift="bf16"),
    }
    work = models.gflop(generator.net, *z.shape) + models.gflop(prior.f, *z.shape)  # type: ignore[arg-type]
    bench.run(candidates, gflop=options.steps * work)
    bench.keep(f"Posterior chain of {options.steps} steps, batch 100.")
