"""(f) MALA and HMC on the prior of (a): a MALA step beside a plain Langevin step, and HMC by every engine.

By autograd, by the engine in Python, and in C++.

python benchmarks/metropolis.py
"""

from __future__ import annotations

import torch
from common import models
from common.side_by_side import Bench, arguments

from absynth.samplers import HMC, MALA, Langevin, engine
from absynth.seeding import stream

if __name__ == "__main__":
    options = arguments(__doc__ or "", steps=60).parse_args()
    bench = Bench("metropolis", "MALA beside Langevin", options)
    prior = models.prior()
    z, rng = torch.randn(models.BATCH, models.LATENT), stream(0)

    def ours(sampler: HMC | MALA | Langevin, name: engine.Name, fused: bool) -> None:
        with engine.use(name, fused=fused):
            sampler(prior().log_density, z, rng=rng)

    langevin, mala = Langevin(options.steps, 0.4), MALA(options.steps, 0.4)
    ways: dict[str, tuple[engine.Name, bool]] = {
        "eager": ("eager", False), "traced": ("traced", False), "cpp": ("traced", True),
    }  # fmt: skip
    for part, way in ways.items():
        bench.run(
            {"MALA": lambda way=way: ours(mala, *way), "Langevin": lambda way=way: ours(langevin, *way)},
            part=part,
            gflop=options.steps * models.gflop(prior.f, *z.shape),  # type: ignore[arg-type]
            calls=3,
        )
    hmc = HMC(options.steps // 10, 0.2, leapfrog_steps=10)
    bench.run(
        {part: lambda way=way: ours(hmc, *way) for part, way in ways.items()},
        part="HMC",
        gflop=options.steps * models.gflop(prior.f, *z.shape),  # type: ignore[arg-type]
        calls=3,
    )
    bench.keep(
        "A MALA step costs this many Langevin steps (ratio of MALA's time to Langevin's); of HMC, autograd's time over "
        "each engine's."
    )
