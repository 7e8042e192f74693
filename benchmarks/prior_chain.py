"""(a) The prior chain of the latent EBM: batch 100, z of 100, f 100-200-200-1, K = 60.

python benchmarks/prior_chain.py
"""

from __future__ import annotations

import torch
from common import models, naive
from common.side_by_side import Bench, arguments

from absynth.samplers import Langevin, engine
from absynth.seeding import stream

if __name__ == "__main__":
    options = arguments(__doc__ or "", steps=60, batch=100).parse_args()
    bench = Bench("prior_chain", f"prior chain, K = {options.steps}", options)
    prior = models.prior()
    z, rng = torch.randn(options.batch, models.LATENT), stream(0)
    sampler = Langevin(options.steps, 0.4)

    def ours(name: engine.Name, fused: bool = True) -> None:
        with engine.use(name, fused=fused):
            sampler(prior().log_density, z, rng=rng)

    bench.run(
        {
            "naive": lambda: naive.prior_chain(prior.f, z, options.steps, 0.4),
            "eager": lambda: ours("eager"),
            "traced": lambda: ours("traced", fused=False),
            "planned in C++": lambda: ours("traced"),
        },
        gflop=options.steps * models.gflop(prior.f, options.batch, models.LATENT),  # type: ignore[arg-type]
        calls=5,
    )
    bench.keep(f"Prior chain of {options.steps} steps, batch {options.batch}, five chains a timing.")
