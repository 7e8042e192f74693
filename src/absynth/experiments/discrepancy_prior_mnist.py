"""MNIST: the latent EBM prior learned by energy discrepancy, against the one that learns by its chain, and the time of
both."""

from __future__ import annotations

from absynth.experiments.discrepancy_prior_toy import timed
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.frechet import frechet
from absynth.seeding import noise_like, stream
from absynth.tasks.opened import Opened
from absynth.tasks.reconstruct import reconstruction_error
from absynth.tasks.sample import samples

SAMPLES = 5000
FRECHET = "Fréchet of samples"
OVER = "Fréchet over that of the chain's prior"
TIME = "processor time over that of the chain's prior"


@experiment(
    data="MNIST: 20,000 training images, 10,000 test images",
    protocol=f"presets as they stand: 900 updates of batch 100 each; {SAMPLES} samples of each model's own chain "
    "against the test split in the features of a classifier; training in one process on one thread",
    seeds=(0, 1, 2),
    minutes=4,
    bars={OVER: at_most(1.05, "within 5 % of the chain's"), TIME: at_most(1 / 3, "in a third of its time")},
)
def measure(seed: int, run: Run) -> Figures:
    ours, seconds = timed(run, "discrepancy_prior", "mnist")  # first: it pays for what a process loads once
    chain, chain_seconds = timed(run, "latent_prior", "mnist")
    features, n = run.features_of(ours), run.few(SAMPLES, 100)
    test = ours.examples("test").head(run.few(10_000, 100))
    real = features(test)

    def distance(opened: Opened) -> float:
        return frechet(features(samples(opened.model, n, seed=seed).clamp(-1, 1)), real)

    def error(opened: Opened) -> float:
        return reconstruction_error(opened.model, test, seed=seed, batch=500, device=opened.device)

    found, other = distance(ours), distance(chain)
    model = ours.model
    z = noise_like(model.sample_prior(n, rng=stream(seed, 0, 0, 5)), stream(seed, 0, 0, 6))  # type: ignore[operator]
    normal = frechet(features(model.generate(z).clamp(-1, 1)), real)
    trained = frechet(features(ours.examples("train").head(n)), real)
    return Figures(
        {
            FRECHET: found, OVER: found / other, TIME: seconds / chain_seconds, "processor seconds": seconds,
            "test MSE": error(ours),
        },
        {
            f"{FRECHET}/prior that learns by its chain": other,
            f"{FRECHET}/N(0, I)": normal,
            f"{FRECHET}/training images": trained,
            "processor seconds/prior that learns by its chain": chain_seconds,
            "test MSE/prior that learns by its chain": error(chain),
        },
    )  # fmt: skip
