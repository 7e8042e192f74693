"""(c) The full training iteration: K_0 = 60, K_1 = 20, batch 100, SVHN generator; chains and both players' updates.

python benchmarks/iteration.py
"""

from __future__ import annotations

import torch
from common import models, naive
from common.side_by_side import Bench, arguments
from torch.optim import Adam

import absynth
from absynth.samplers import Langevin, engine
from absynth.seeding import stream
from absynth.types import Batch

if __name__ == "__main__":
    options = arguments(__doc__ or "", prior_steps=60, posterior_steps=20).parse_args()
    bench = Bench("iteration", f"full iteration, K1 = {options.posterior_steps}", options)
    x = torch.rand(models.BATCH, 3, 32, 32) * 2 - 1
    rng = stream(0)

    def naive_iteration():
        f, g = models.prior().f, models.generator().net
        optimizers = Adam(f.parameters(), 2e-5, (0.5, 0.999)), Adam(g.parameters(), 1e-4, (0.5, 0.999))
        steps = {"prior_steps": options.prior_steps, "posterior_steps": options.posterior_steps}
        return lambda: naive.iteration(f, g, optimizers, x, **steps)

    def ours(name: engine.Name, **drift: str):
        algorithm = absynth.LatentPrior(
            models.prior(),
            models.generator().to(memory_format=torch.channels_last),  # type: ignore[call-overload]  # as in the recipe
            prior_sampler=Langevin(options.prior_steps, 0.4),
            posterior_sampler=Langevin(options.posterior_steps, 0.1),
        )
        rates = {"prior": 2e-5, "generator": 1e-4}
        optimizers = {
            k: Adam(algorithm.get_submodule(k).parameters(), lr, (0.5, 0.999), fused=True) for k, lr in rates.items()
        }

        def step() -> None:
            with engine.use(name, **drift):  # type: ignore[arg-type]
                absynth.update(algorithm, optimizers, Batch(x), rng=rng)

        return step

    f, g = models.prior().f, models.generator().net
    latent = (models.BATCH, models.LATENT)
    of_f, of_g = models.gflop(f, *latent), models.gflop(g, *latent)  # type: ignore[arg-type]
    # An update runs the generator forward and back to weights and inputs: three halves of a gradient step.
    work = (options.prior_steps + options.posterior_steps) * of_f + (options.posterior_steps + 1.5) * of_g
    bench.run(
        {
            "naive": naive_iteration(),
            "traced": ours("traced"),
            "planned, bf16 drift": ours("traced", drift="bf16"),
        },
        gflop=work,
    )
    bench.keep("One parameter update of the latent EBM prior at the paper's SVHN size.")
