"""Methods of colour images on CIFAR-10: at equal updates and at equal processor time."""

from __future__ import annotations

from absynth.experiments._image_methods import DISTANCE, TEACHING, Contest, compare
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.recipes.cooperative import CONVOLUTIONS

CIFAR10 = Contest(
    "cifar10",
    {
        "latent_prior": {"preset": "mnist", "generator_width": 800, "latent": 64},
        "latent_prior_conv": {"preset": "mnist"},
        "cooperative": CONVOLUTIONS | {"energy_lr": 3e-4},  # at 1e-3 the gap swings by hundreds at first
        "dual_teaching": TEACHING | {"energy_lr": 3e-4},
        "diffusion_recovery": {"preset": "mnist"},
        "coarse_to_fine": {"energy_width": 16},
        "maximum_likelihood": {
            "reference": "gaussian", "temperature": 1.0, "chain_step_size": 0.3, "chain_steps": 10, "stem": 2,
            "energy_width": 32, "energy_lr": 1e-3, "data_noise": 0.05,
        },
    },
    updates=100,
)  # fmt: skip
OVER = "over the Gaussian's"


@experiment(
    data="CIFAR-10, 32×32 in colour: 50,000 training images, 10,000 test images",
    protocol=CIFAR10.protocol,
    seeds=(0,),
    minutes=50,
    bars={f"{DISTANCE} {OVER}, {method}": at_most(1.0, "below a Gaussian of the pixels") for method in CIFAR10.methods},
)
def measure(seed: int, run: Run) -> Figures:
    found = compare(run, CIFAR10)
    longer = f"{DISTANCE}, {CIFAR10.equal[1]}"
    gaussian = found.baselines[f"{longer}, {next(iter(CIFAR10.methods))}/Gaussian of the pixels"]
    ratios = {f"{DISTANCE} {OVER}, {m}": found.values[f"{longer}, {m}"] / gaussian for m in CIFAR10.methods}
    return Figures(ratios | dict(found.values), found.baselines)
