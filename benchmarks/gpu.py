"""On a GPU: the prior chain of (a) and the full iteration of (c) at the paper's SVHN size, naive loop and graph engine.

    python benchmarks/gpu.py

Without a GPU it says so and measures nothing. The naive loop runs on the same card in the same precision; TF32 and the
bf16 drift are candidates of their own. The floor is the arithmetic over the card's best large matrix product.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from common import models, naive
from common.side_by_side import Bench, arguments
from rich.console import Console
from rich.table import Table
from torch.optim import Adam

import absynth
from absynth.samplers import Langevin, engine
from absynth.seeding import stream
from absynth.types import Batch

PRIOR_STEPS, POSTERIOR_STEPS = 60, 20


def peak() -> float:
    """GFLOP/s of the best of several matrix products of 8192 rows, in the precision that is set."""
    a, best = torch.randn(8192, 8192, device="cuda"), 0.0
    for _ in range(8):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        a @ a
        torch.cuda.synchronize()
        best = max(best, 2 * 8192**3 / (time.perf_counter() - begin) / 1e9)
    return best


def compare(bench: Bench, part: str, candidates: Mapping[str, Callable[[], object]], gflop: float) -> None:
    """Candidates in turns, each timed until the card has finished."""
    floor, times = gflop / peak(), {name: [] for name in candidates}
    for call in candidates.values():  # warm-up: capture, kernels, memory
        call()
        call()
    for k in range(bench.arguments.rounds):
        for name in list(candidates) if k % 2 == 0 else reversed(list(candidates)):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            candidates[name]()
            torch.cuda.synchronize()
            times[name].append(time.perf_counter() - begin)
    first, *_ = times.values()
    table = Table("candidate", "ms", "× first", "t / floor", title=part)
    for name, ts in times.items():
        ratios = [a / b for a, b in zip(first, ts)]
        each = statistics.median(ts)
        table.add_row(name, f"{1e3 * each:.2f}", f"{statistics.median(ratios):.2f}", f"{each / floor:.2f}")
        bench.figures[f"{part}: {name}"] = ratios
        bench.notes.append(f"{part}, {name}: {1e3 * each:.4g} ms, {each / floor:.2f} of the floor")
    Console(width=110).print(table)


def algorithm() -> tuple[absynth.LatentPrior, dict[str, torch.optim.Optimizer]]:
    """The paper's SVHN model, with fused optimizers."""
    made = absynth.LatentPrior(
        models.prior(),
        models.generator(),
        prior_sampler=Langevin(PRIOR_STEPS, 0.4),
        posterior_sampler=Langevin(POSTERIOR_STEPS, 0.1),
    ).cuda()
    rates = {"prior": 2e-5, "generator": 1e-4}
    optimizers: dict[str, torch.optim.Optimizer] = {
        k: Adam(made.get_submodule(k).parameters(), lr, (0.5, 0.999), fused=True) for k, lr in rates.items()
    }
    return made, optimizers


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    if not torch.cuda.is_available():
        print("no GPU: nothing is measured here")
        return
    bench = Bench("gpu", "on a GPU", options)
    rng = stream(0, device="cuda")
    x, z = torch.rand(models.BATCH, 3, 32, 32, device="cuda") * 2 - 1, torch.randn(models.BATCH, models.LATENT).cuda()
    f, g = models.prior().f.cuda(), models.generator().net.cuda()
    of_f, of_g = models.gflop(f.cpu(), *z.shape), models.gflop(g.cpu(), *z.shape)  # type: ignore[arg-type]
    f, g, prior = f.cuda(), g.cuda(), models.prior().cuda()
    torch.set_default_device("cuda")  # the naive loop draws where it runs

    def chain() -> None:
        with engine.use("graph"):
            Langevin(PRIOR_STEPS, 0.4)(prior().log_density, z, rng=rng)

    candidates = {"naive": lambda: naive.prior_chain(f, z, PRIOR_STEPS, 0.4), "graph": chain}
    compare(bench, "prior chain", candidates, PRIOR_STEPS * of_f)
    optimizers = Adam(f.parameters(), 2e-5, (0.5, 0.999)), Adam(g.parameters(), 1e-4, (0.5, 0.999))
    steps = {"prior_steps": PRIOR_STEPS, "posterior_steps": POSTERIOR_STEPS}

    def ours(**drift: str) -> Callable[[], object]:
        made, opts = algorithm()

        def step() -> None:
            with engine.use("graph", **drift):  # type: ignore[arg-type]
                absynth.update(made, opts, Batch(x), rng=rng)

        return step

    for tf32 in (False, True):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        work = (PRIOR_STEPS + POSTERIOR_STEPS) * of_f + (POSTERIOR_STEPS + 1.5) * of_g
        each = {"naive": lambda: naive.iteration(f, g, optimizers, x, **steps), "graph": ours()}
        each |= {"graph, bf16 drift": ours(drift="bf16")}
        compare(bench, "iteration in TF32" if tf32 else "iteration", each, work)
    bench.keep("Chains and iterations on one card; each timing ends when the card has finished.")


if __name__ == "__main__":
    main()
