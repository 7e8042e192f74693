"""What the comparisons of teaching methods on eight Gaussians share."""

from __future__ import annotations

import math
import time
from typing import Any

import torch

from absynth import recipes
from absynth.data.toy import EightGaussians
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.errors import Diverged, Unsupported
from absynth.experiments.harness import Figures, Run
from absynth.metrics.grid import Grid
from absynth.metrics.kernel import mmd, modes_hit
from absynth.seeding import stream
from absynth.tasks.opened import open_run

DATA = "eight Gaussians of standard deviation 0.2 on a circle of radius 2, fresh draws"
LAW = EightGaussians(radius=2.0, std=0.2)
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "noise": ("maximum_likelihood", {}),
    "cooperative fast": ("cooperative", {"teaching": "fast"}),
    "cooperative full": ("cooperative", {"teaching": "full"}),
    "variational": ("variational_teaching", {}),
    "triangle": ("divergence_triangle", {}),
    "joint VAE": ("joint_vae", {"beta1": 0.0}),
    "dual": ("dual_teaching", {}),
}
COMMON: dict[str, Any] = {
    "steps": 1000, "batch": 100, "energy_width": 64, "generator_width": 64, "inference_width": 64, "latent": 2,
    "beta1": 0.5, "energy_lr": 1e-3, "inference_lr": 1e-3, "ema": 0.0, "checkpoint_every": 10_000, "log_every": 1000,
    "guard_retries": 0,  # the guard would mend what is to be shown
}  # fmt: skip
MEASURED = (
    "; KL(data ‖ ebm) in nats by a sum over a 400×400 grid on [-8, 8]²; squared MMD of 2000 against 2000 draws of the "
    "data, mean over four bandwidths; modes with 2 % of the samples"
)
GRID = Grid(-8, 8, 400, 2, dtype=torch.float32)
SAMPLES = 2000


def truth(seed: int, purpose: int = 1) -> torch.Tensor:
    """Fresh draws of the data."""
    return LAW.sample(SAMPLES, stream(seed, 0, 0, purpose))


def measured(run: Run, label: str, method: str, fields: dict[str, Any]) -> dict[str, float]:
    """Train one method and measure it.

    Samples that are not finite, and the modes of a run that the guard gave up, fail their questions.
    """
    known = {f for f in recipes.classes(method)["toy"].__dataclass_fields__ if f in fields}
    recipe = run.recipe(method, "wide_ring", label=label, **{k: v for k, v in fields.items() if k in known})
    begun, gave_up = time.process_time(), False
    try:
        model: Any = run.train(recipe, label).model
    except Diverged as error:
        print(f"{label}: {error}", flush=True)
        where, gave_up = run.folder / label.replace(" ", "_").replace("/", "_"), True
        if not (where / "model.safetensors").exists():  # not even the first weights were finite
            return {"CPU seconds": time.process_time() - begun, "MMD of refined samples": 1e3, "modes": 0, "KL": 1e3}
        model = open_run(where, "cpu").model
    found = {"CPU seconds": time.process_time() - begun}
    data, centres = truth(run.seed), LAW.means.float()
    try:
        start: Any = model.refinement().start
        initial = start.sample(SAMPLES, stream(run.seed, 0, 0, 2))
        found |= {"MMD of initial samples": mmd(initial, data), "modes of initial samples": modes_hit(initial, centres)}
    except Unsupported:
        pass
    refined = model.sample(SAMPLES, rng=stream(run.seed, 0, 0, 3))
    if not refined.isfinite().all():
        refined = torch.full_like(data, 1e3)  # far from everything
    found |= {"MMD of refined samples": mmd(refined, data), "modes": 0 if gave_up else modes_hit(refined, centres)}
    if isinstance(getattr(model, "ebm", None), EBM):  # not an energy of x and z
        kl = GRID.kl(LAW.log_prob, model.ebm().log_density)
        found["KL"] = min(kl, 1e3) if math.isfinite(kl) else 1e3
    return found


def compare(run: Run, trained: dict[str, tuple[str, dict[str, Any]]]) -> Figures:
    """Figures of every method in ``label -> (method, fields)``, beside the untrained start."""
    values: dict[str, float] = {}
    for label, (method, fields) in trained.items():
        values |= {f"{label}: {name}": value for name, value in measured(run, label, method, fields).items()}
    first = next(name for name in values if name.endswith("MMD of initial samples"))
    # Where the chains of the EBM that starts at noise begin.
    start = StandardNormal(2, std=2.0).sample(SAMPLES, stream(run.seed, 0, 0, 4))
    untrained = mmd(start, truth(run.seed))
    baselines = {
        f"{first}/untrained start": untrained,
        f"{first}/two sets of data": mmd(truth(run.seed, 5), truth(run.seed)),
    }
    return Figures(values, baselines)
