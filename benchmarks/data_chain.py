"""(d) A chain on pictures: f of four convolutions on 3×32×32, batch 100, K = 60.

python benchmarks/data_chain.py
"""

from __future__ import annotations

import torch
from common import models, naive
from common.side_by_side import Bench, arguments

from absynth.density import EBM
from absynth.distributions import Uniform
from absynth.samplers import Langevin, engine
from absynth.seeding import stream

if __name__ == "__main__":
    options = arguments(__doc__ or "", steps=60).parse_args()
    bench = Bench("data_chain", f"chain on pictures, K = {options.steps}", options)
    f = models.image_f()
    density = EBM(f, Uniform(3, 32, 32))()
    x, rng = torch.rand(models.BATCH, 3, 32, 32) * 2 - 1, stream(0)
    sampler = Langevin(options.steps, 1.0, noise_scale=0.01)

    def ours(**drift: str) -> None:
        with engine.use("traced", **drift):  # type: ignore[arg-type]
            sampler(density.log_density, x, rng=rng)

    bench.run(
        {
            "naive": lambda: naive.data_chain(f, x, options.steps, 1.0, 0.01),
            "traced": lambda: ours(),
            "planned, bf16 drift": lambda: ours(drift="bf16"),
        },
        gflop=options.steps * models.gflop(f, *x.shape),
    )
    bench.keep(f"Chain of {options.steps} steps on pictures, batch 100.")
