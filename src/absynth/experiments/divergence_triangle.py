"""The divergence triangle: does f rank data over noise, and what does the entropy surrogate keep?

Ring of eight Gaussians and MNIST. AUROC of f, 2,000 examples against 2,000 of uniform noise, for the presets as they
are: noise on [-4, 4]², which meets the modes now and then (the true density's AUROC is the baseline), and [-1, 1] in
every pixel. Modes among 2,000 initial samples, with and without −log q(z|g(z)) in the generator's loss; on the ring at
four settings: at the preset's width σ of p(x|z); at σ = 4, where KL(Q‖P) says little to the generator of where the data
are; at the preset's with KL(P‖Π) weighted 20; and at σ = 10 with a generator ten times as fast as f. In the last two
the generator answers f and little else, and its best answer is one point without entropy; pilots on seed 9 chose them.
A digit counts as a mode, and a sample belongs to the class whose mean in a classifier's features is nearest.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.data.toy import EightGaussians
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.metrics.frechet import frechet
from absynth.metrics.grid import Grid
from absynth.metrics.kernel import mmd, modes_hit
from absynth.metrics.ranking import detection
from absynth.seeding import stream, uniform_like
from absynth.types import LogDensity

RING = EightGaussians(radius=2.0, std=0.2)
N, DIGITS = 2000, 500
GENTLE: dict[str, Any] = {"energy_lr": 5e-4, "beta1": 0.5, "ema": 0.0}
"""What the other comparisons train with, for they are short."""
LEADING = 20.0
SETTINGS: dict[str, dict[str, Any]] = {
    "σ = 1": {},
    "σ = 4": GENTLE | {"steps": 1000, "std": 4.0},
    f"KL(P‖Π) weighted {LEADING:g}": GENTLE
    | {"steps": 1500, "energy_lr": 1e-3, "energy_weight": LEADING, "entropy_weight": LEADING},
    "σ = 10, fast generator": GENTLE | {"steps": 1500, "std": 10.0, "generator_lr": 5e-3},
}
"""What differs from the ring's preset, with the surrogate; without it ``entropy_weight`` is 0."""
GRID = Grid(-6, 6, 300, 2, dtype=torch.float32)
MODES = "modes of 8, ring, {}, {} the surrogate"
BARS = {f"AUROC of f, {where}": at_least(0.95, "f ranks data over noise") for where in ("ring", "MNIST")}
BARS[MODES.format("σ = 1", "with")] = at_least(8, "the preset keeps all modes")
for _setting in list(SETTINGS)[2:]:
    BARS[MODES.format(_setting, "with")] = at_least(8, "the surrogate alone keeps them")
    BARS[MODES.format(_setting, "without")] = at_most(7, "modes drop without it")


def auroc(f: LogDensity, data: Float[Tensor, "n *event"], width: float, seed: int) -> float:
    """The probability that f is higher at an example than at a draw of uniform noise on [-width, width]."""
    noise = width * (2 * uniform_like(data, stream(seed, 0, 0, 1)) - 1)
    with torch.no_grad():
        score = -f(torch.cat([data, noise]))
    return detection(score, torch.arange(2 * len(data)) >= len(data)).auroc


@experiment(
    data="eight Gaussians of standard deviation 0.2 on a circle of radius 2, fresh draws; MNIST, 20,000 training "
    "images",
    protocol=f"ring: 4,000 updates of 100 (1,000 at σ = 4, 1,500 in the last two settings, found by pilots on seed "
    f"9), modes of 2 % of {N} initial samples or more; MNIST: {DIGITS} updates of 100, f 784-200-200-1, Fréchet "
    f"distance in a classifier's features; AUROC of {N} examples that were not trained on against as many of uniform "
    f"noise",
    seeds=(0, 1),
    minutes=8,
    bars=BARS,
)
def measure(seed: int, run: Run) -> Figures:
    values: dict[str, float] = {}
    n = run.few(N, 60)
    data = RING.sample(n, stream(seed, 0, 0, 2))
    truth = auroc(RING.log_prob, data, 4.0, seed)
    for setting, numbers in SETTINGS.items():
        for word, without in (("with", {}), ("without", {"entropy_weight": 0.0})):
            label = f"{setting}, {word}"
            model: Any = run.fit("divergence_triangle", "wide_ring", label=label, **numbers | without).model
            samples = model.initial_samples(n, rng=stream(seed, 0, 0, 3))[1]
            where = f"ring, {setting}, {word} the surrogate"
            values[f"modes of 8, {where}"] = modes_hit(samples, RING.means.float())
            values[f"MMD of initial samples, {where}"] = float(mmd(samples, data))
            if not numbers and not without:
                values["AUROC of f, ring"] = auroc(model.ebm().f, data, 4.0, seed)
                values["KL of the ebm, ring"] = GRID.kl(RING.log_prob, model.ebm().log_density)
    for word, entropy in (("with", 1.0), ("without", 0.0)):
        opened = run.fit(
            "divergence_triangle", "mnist", label=f"mnist, {word}", steps=DIGITS, checkpoint_every=DIGITS,
            entropy_weight=entropy,
        )  # fmt: skip
        model = opened.model
        features, test = run.features_of(opened), opened.examples("test")
        assert test.labels is not None
        images = test.head(run.few(10_000, 400))
        of_test, labels = features(images), test.labels[: len(images)]
        means = torch.stack([of_test[labels == label].mean(0) for label in range(10)])
        seen = features(model.initial_samples(n, rng=stream(seed, 0, 0, 3))[1])
        values[f"modes of 10, MNIST, {word} the surrogate"] = modes_hit(seen, means)
        values[f"Fréchet of initial samples, MNIST, {word} the surrogate"] = frechet(seen, of_test)
        if entropy:
            values["AUROC of f, MNIST"] = auroc(model.ebm().f, images[:n], 1.0, seed)
    return Figures(values, {"AUROC of f, ring/the true density": truth})
