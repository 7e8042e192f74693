"""(g) Chains in one and three dimensions: f of voxels 1×16×16×16 as the library makes it, and f of series 2×128.

python benchmarks/volume_chain.py
"""

from __future__ import annotations

import torch
from common import naive
from common.side_by_side import Bench, arguments
from torch import nn

from absynth.density import EBM
from absynth.distributions import Uniform
from absynth.networks import ready
from absynth.samplers import Langevin, engine
from absynth.seeding import stream


def series_f() -> nn.Sequential:
    """f of series of two channels and 128 times: three strided convolutions."""
    leaky = nn.LeakyReLU(0.2)
    return nn.Sequential(
        nn.Conv1d(2, 32, 5, 2, 2), leaky, nn.Conv1d(32, 64, 5, 2, 2), leaky, nn.Conv1d(64, 64, 5, 2, 2), leaky,
        nn.Flatten(), nn.Linear(64 * 16, 1), nn.Flatten(0),
    )  # fmt: skip


def gflop(f: nn.Sequential, x: torch.Tensor) -> float:
    """2 · multiply-adds of a forward pass and of the gradient with respect to the input."""
    total, h = 0.0, x[:1]
    with torch.no_grad():
        for layer in f:
            h = layer(h)
            if isinstance(layer, (nn.Conv1d, nn.Conv3d)):
                total += layer.weight.numel() * h[0, 0].numel()
            elif isinstance(layer, nn.Linear):
                total += layer.weight.numel()
    return 2 * 2 * len(x) * total / 1e9


if __name__ == "__main__":
    options = arguments(__doc__ or "", steps=10).parse_args()
    bench = Bench("volume_chain", f"K = {options.steps}", options)
    rng, sampler = stream(0), Langevin(options.steps, 1.0, noise_scale=0.01)
    torch.manual_seed(2)
    cases = {
        "voxels": (ready.energy("voxels", (1, 16, 16, 16), 16), torch.rand(20, 1, 16, 16, 16)),
        "series": (series_f(), torch.randn(100, 2, 128)),
    }
    for part, (f, x) in cases.items():
        density = EBM(f, Uniform(*x.shape[1:]))()

        def ours(density=density, x=x) -> None:
            with engine.use("traced"):
                sampler(density.log_density, x, rng=rng)

        candidates = {
            "naive": lambda f=f, x=x: naive.data_chain(f, x, options.steps, 1.0, 0.01),
            "traced": ours,
        }
        bench.run(candidates, gflop=options.steps * gflop(f, x), part=part)
    bench.keep(f"Chains of {options.steps} steps on voxels, 20 of 16×16×16, and on 100 series of 2×128.")
