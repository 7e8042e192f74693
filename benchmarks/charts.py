"""Bar charts of docs/speed.md, drawn from the records in results/bench.

    python benchmarks/charts.py

A bar is the median of a record's rounds; nothing is measured here.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path

from absynth import pictures
from absynth.results import Result, load_all

ROOT = Path(__file__).parent.parent
NAIVE = "times faster than the naive loop"
CHAINS = {
    "prior chain, 2 threads": {
        "Python alone": "prior_chain.planned_2thread", "C++": "prior_chain.planned_in_C___2thread",
    },
    "posterior chain, 2 threads": {
        "float32": "posterior_chain.planned_2thread", "bf16 drift": "posterior_chain.planned__bf16_drift_2thread",
    },
    "whole update, 2 threads": {
        "float32": "iteration.planned_2thread", "bf16 drift": "iteration.planned__bf16_drift_2thread",
    },
    "chain on images, 2 threads": {
        "float32": "data_chain.planned_2thread", "bf16 drift": "data_chain.planned__bf16_drift_2thread",
    },
    "chain on voxels, 1 thread": {"float32": "volume_chain.voxels_traced_1thread"},
    "chain on series, 1 thread": {"float32": "volume_chain.series_traced_1thread"},
}  # fmt: skip
LIBRARIES = {
    "absynth": "mlp_absynth_1thread", "JAX scan": "mlp_JAX_scan_1thread", "naive loop": "mlp_naive_1thread",
    "absynth, eager": "mlp_absynth_eager_1thread", "TorchEBM": "mlp_TorchEBM_1thread",
}  # fmt: skip
WAYS = {
    "naive loop": "naive loop", "our engine, Python alone": "planned, Python alone", "chains in C++": "chains in C++",
    "and fused Adam": "and fused Adam", "ten posterior steps": "K1 = 10",
    "from the example's last z": "K1 = 10 from the last z",
    "from an inference model": "K1 = 10 from an inference model",
}  # fmt: skip
GROWTH = {"batch": "batch", "steps": "steps K", "weights": "weights", "pixels": "pixels"}
REST = (
    "rows: opening", "rows: later minibatch", "rows: memory", "processes: time of all", "processes: memory of each",
)  # fmt: skip


def median(records: Mapping[str, Result], figure: str) -> float:
    """Median of ``RECORD.FIGURE`` over its rounds."""
    name, _, which = figure.partition(".")
    return float(statistics.median(records[name].figures[which]))


def main() -> None:
    records = load_all(ROOT / "results" / "bench")
    docs = ROOT / "docs"
    chains = {
        f"{what}: {how}": median(records, figure) for what, ways in CHAINS.items() for how, figure in ways.items()
    }
    pictures.bars(docs / "speed_chains.png", chains, NAIVE, "Chains on a CPU", mark=1.0)
    libraries = {name: median(records, f"other_libraries.{figure}") for name, figure in LIBRARIES.items()}
    pictures.bars(docs / "speed_libraries.png", libraries, "speed, absynth = 1", "The same chain on one MLP, 1 thread")
    quality = {name: median(records, f"time_to_quality.processor s: {way}") for name, way in WAYS.items()}
    pictures.bars(docs / "speed_quality.png", quality, "processor seconds", "Time to Fréchet distance 140 on MNIST")
    slopes = {
        f"{shown}: {cost}, {subject}": median(records, f"growth.{subject}, {size}: {cost}")
        for size, shown in GROWTH.items()
        for cost in ("time", "memory")
        for subject in ("update", "chain")
    }
    slopes |= {name: median(records, f"growth.{name}") for name in REST}
    label = "slope of log cost over log size"
    pictures.bars(docs / "growth.png", slopes, label, "How cost grows: 1 is linear", mark=1.0)


if __name__ == "__main__":
    main()
