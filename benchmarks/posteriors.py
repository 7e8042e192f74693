"""(i) NUTS with its defaults on posteriors with known moments, beside blackjax's NUTS.

    python benchmarks/posteriors.py --seeds 0 1 2

32 chains from U(−2, 2) on unconstrained coordinates, 1000 draws after a warm-up of 1000. Bars: no stuck chain, R-hat at
most 1.01, means within 4.5 standard errors, standard deviations within 5 %, and per gradient at least 0.8 of the
effective draws of blackjax, which is optional and no dependency of absynth: pip install blackjax.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
import warnings
from pathlib import Path

import torch
from common.posteriors import Posterior, posteriors
from rich.console import Console
from rich.table import Table
from torch import Tensor

import absynth as ab
from absynth.results import record
from absynth.samplers import effective_sample_size, summarize_chains

CHAINS, DRAWS, WARMUP = 32, 1000, 1000
RATE, DIAGONAL = "ESS per 1000 gradients, warm-up included", "blackjax, diagonal mass"
BARS = {
    "stuck chains": ("at_most", 0, "every chain moves"),
    "R-hat": ("at_most", 1.01, "chains agree (Vehtari et al. 2021)"),
    "largest z of a mean": ("at_most", 4.5, "means are right"),
    "largest error of an sd, %": ("at_most", 5, "standard deviations are right"),
    "over blackjax": ("at_least", 0.8, "effective draws per gradient, warm-up included, over the better blackjax's"),
}


def first_states(p: Posterior, seed: int) -> Tensor:
    """U(−2, 2), ``[32, d]``."""
    rng = ab.stream(seed, 0, 1)
    return 4 * torch.rand(CHAINS, p.dim, generator=rng, dtype=torch.float64) - 2


def ours(p: Posterior, seed: int) -> tuple[Tensor, float, float]:
    """Draws ``[chain, draw, d]``, gradients of the draws, gradients of the warm-up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the verdict is in the table
        drawn = ab.draw(p.in_torch(), first_states(p, seed), draws=DRAWS, warmup=WARMUP, rng=ab.stream(seed))
    return drawn.x, float(drawn.gradients.sum()), float(drawn.warm_gradients.sum())


def blackjax(p: Posterior, seed: int, *, dense: bool) -> tuple[Tensor, float, float]:
    """The same from blackjax's window adaptation and NUTS, target acceptance 0.8 there as here."""
    import blackjax  # type: ignore[import-not-found]
    import jax  # type: ignore[import-not-found]
    import jax.numpy as jnp  # type: ignore[import-not-found]
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    density = p.in_jax(jnp)
    warm = blackjax.window_adaptation(
        blackjax.nuts, density, is_mass_matrix_diagonal=not dense, target_acceptance_rate=0.8
    )

    def chain(key, q):
        first, second = jax.random.split(key)
        (state, parameters), info = warm.run(first, q, num_steps=WARMUP)
        kernel = blackjax.nuts(density, **parameters).step

        def transition(state, key):
            state, info = kernel(key, state)
            return state, (state.position, info.num_integration_steps)

        _, (x, used) = jax.lax.scan(transition, state, jax.random.split(second, DRAWS))
        return x, used.sum(), info.info.num_integration_steps.sum()

    keys = jax.random.split(jax.random.key(seed), CHAINS)
    x, used, warm_used = jax.jit(jax.vmap(chain))(keys, jnp.asarray(first_states(p, seed).numpy()))
    return torch.tensor(np.asarray(x)), float(used.sum()), float(warm_used.sum())


def judge(p: Posterior, x: Tensor, used: float, warm: float) -> dict[str, float]:
    """The figures of draws on unconstrained coordinates."""
    kept = p.constrain(torch, x)
    summary = summarize_chains(kept)
    mean, sd, size = kept.mean((0, 1)), kept.flatten(0, 1).std(0), effective_sample_size(kept)
    known = [torch.as_tensor(a) for a in (p.mean, p.sd, p.se)]
    z = (mean - known[0]) / (sd**2 / size + known[2] ** 2).sqrt()
    ess = float(summary.ess_bulk.min())
    return {
        "stuck chains": float(summary.stuck.sum()),
        "R-hat": float(summary.rhat.max()),
        "largest z of a mean": float(z.abs().max()),
        "largest error of an sd, %": 100 * float((sd / known[1] - 1).abs().max()),
        "ESS per 1000 gradients": 1000 * ess / used,
        RATE: 1000 * ess / (used + warm),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--no-record", action="store_true", help="print only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ways = {"absynth": ours}
    if importlib.util.find_spec("blackjax") is None:
        print("blackjax is not installed here: its rows are left out (pip install blackjax)")
    else:
        ways[DIAGONAL] = lambda p, seed: blackjax(p, seed, dense=False)
        ways["blackjax, dense mass"] = lambda p, seed: blackjax(p, seed, dense=True)
    figures: dict[str, list[float]] = {}
    baselines: dict[str, list[float]] = {}
    table = Table("posterior", "sampler", "R-hat", "z", "sd, %", "ESS / 1000 gradients", "with warm-up", "processor s")
    for k, seed in enumerate(options.seeds):
        for p in posteriors():
            found = {}
            for way, run in ways.items():
                if way == DIAGONAL and p.name.startswith("Gaussian"):
                    continue  # hundreds of gradients a draw, and minutes, in a basis that it cannot see
                begin = time.process_time()
                f = found[way] = judge(p, *run(p, seed))
                row = f"{f['R-hat']:.4f} {f['largest z of a mean']:.2f} {f['largest error of an sd, %']:.1f} "
                row += f"{f['ESS per 1000 gradients']:.1f} {f[RATE]:.1f} {time.process_time() - begin:.1f}"
                table.add_row(p.name, way, *row.split())
                for what, value in f.items():
                    into, key = (figures, what) if way == "absynth" else (baselines, f"{what}/{way}")
                    into.setdefault(f"{p.name}: {key}", []).append(value)
            others = [f[RATE] for way, f in found.items() if way != "absynth"]
            if others:
                figures.setdefault(f"{p.name}: over blackjax", []).append(found["absynth"][RATE] / max(others))
        if not options.no_record:
            keep(figures, baselines, options.seeds[: k + 1])
    Console(width=130).print(table)
    print("; ".join(missed(figures)) or "every bar is met on every seed")


def bars_of(figures: dict[str, list[float]]) -> dict[str, dict]:
    """The bar of each figure that has one."""
    found = {}
    for name in figures:
        what = name.split(": ")[1]
        if what in BARS:
            kind, value, why = BARS[what]
            found[name] = {kind: value, "why": why}
    return found


def missed(figures: dict[str, list[float]]) -> list[str]:
    """Figures of single seeds that miss their bar."""
    return [
        f"{name} {value:.4g}"
        for name, bar in bars_of(figures).items()
        for value in figures[name]
        if value > bar.get("at_most", math.inf) or value < bar.get("at_least", -math.inf)
    ]


def keep(figures: dict[str, list[float]], baselines: dict[str, list[float]], seeds: list[int]) -> None:
    """Write the record of these seeds."""
    exceptions = "; ".join(missed(figures))
    record(
        Path(__file__).parents[1] / "results" / "bench" / "posteriors.json",
        command=f"python benchmarks/posteriors.py --seeds {' '.join(map(str, seeds))}",
        data="three posteriors of posteriordb with its reference draws; Gaussians of condition 1e4 in random bases",
        protocol=f"{CHAINS} chains from U(−2, 2), {DRAWS} draws after a warm-up of {WARMUP}, defaults only. ESS is the "
        "smallest bulk effective sample size of a quantity; blackjax's diagonal mass is left out on the Gaussians. Of "
        f"single seeds {f'these miss a bar: {exceptions}' if exceptions else 'none misses a bar'}.",
        seeds=seeds,
        figures=figures,
        baselines=baselines,
        bars=bars_of(figures),
    )


if __name__ == "__main__":
    main()
