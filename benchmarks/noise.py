"""What noise costs in the C++ chain of (a): drawn by torch, the same numbers drawn in C++, and none.

python benchmarks/noise.py
"""

from __future__ import annotations

from unittest import mock

import torch
from common import models
from common.side_by_side import Bench, arguments

from absynth.engine import fused, noise
from absynth.samplers import Langevin, engine
from absynth.seeding import stream

if __name__ == "__main__":
    options = arguments(__doc__ or "", steps=60).parse_args()
    bench = Bench("noise", "C++ prior chain", options)
    prior = models.prior()
    z, rng = torch.randn(models.BATCH, models.LATENT), stream(0)

    def chain(scale: float) -> None:
        with engine.use("traced"):
            Langevin(options.steps, 0.4, noise_scale=scale)(prior().log_density, z, rng=rng)

    def by_torch() -> None:
        with mock.patch.object(fused, "normals", noise.draw):
            chain(0.4)

    bench.run(
        {"by torch": by_torch, "in C++": lambda: chain(0.4), "none": lambda: chain(0.0)},
        gflop=options.steps * models.gflop(prior.f, *z.shape),  # type: ignore[arg-type]
        calls=5,
    )
    bench.keep(f"Prior chain of {options.steps} steps in C++, five chains a timing.")
