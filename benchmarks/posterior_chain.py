"""(b) The posterior chain: the SVHN generator of the paper, batch 100, K = 20, and K = 40 in a record of its own.

python benchmarks/posterior_chain.py
"""

from __future__ import annotations

import torch
from common import models, naive
from common.side_by_side import Bench, arguments

from absynth.samplers import Langevin, engine
from absynth.seeding import stream

if __name__ == "__main__":
    options = arguments(__doc__ or "", steps=0).parse_args()
    prior, generator = models.prior(), models.generator()
    x, z = torch.rand(models.BATCH, 3, 32, 32) * 2 - 1, torch.randn(models.BATCH, models.LATENT)
    rng = stream(0)
    work = models.gflop(generator.net, *z.shape) + models.gflop(prior.f, *z.shape)  # type: ignore[arg-type]
    for steps in [options.steps] if options.steps else [20, 40]:
        name = "posterior_chain" if steps == 20 else f"posterior_chain_{steps}"
        bench, sampler = Bench(name, f"posterior chain, K = {steps}", options), Langevin(steps, 0.1)

        def ours(sampler: Langevin = sampler, **drift: str) -> None:
            with engine.use("traced", **drift):  # type: ignore[arg-type]
                sampler(models.posterior(prior, generator, x), z, rng=rng)

        candidates = {
            "naive": lambda k=steps: naive.posterior_chain(prior.f, generator.net, x, z, k, 0.1, models.STD),
            "traced": ours,
            "planned, bf16 drift": lambda ours=ours: ours(drift="bf16"),
        }
        bench.run(candidates, gflop=steps * work)
        bench.keep(f"Posterior chain of {steps} steps, batch 100.")
