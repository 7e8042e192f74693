"""MNIST, small networks: the learned prior against a Gaussian prior at the same budget, and short against long chains.

Both models: 900 updates on 100 images out of 20,000, the same generator. Fréchet distance of 5,000 samples to the
10,000 test images in the penultimate features of a classifier trained on the training split; mean squared error of test
reconstructions with the trained K_1.
"""

from __future__ import annotations

from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.tasks.evaluate import sample_quality
from absynth.tasks.reconstruct import reconstruction_error

LENGTHS = [0, 10, 20, 40, 60, 100, 200, 1000]


@experiment(
    data="MNIST: 20,000 training images, 10,000 test images",
    protocol="900 updates of batch 100, K0 60 (δ .4), K1 20 (δ .1), σ .3; 5,000 samples against the test split",
    seeds=(0, 1, 2),
    minutes=5,
    bars={
        "Fréchet over that of the Gaussian prior": at_most(0.5, "same budget, same generator"),
        "test MSE over that of the Gaussian prior": at_most(1.05, "within 5 %"),
        "Fréchet at 1000 steps over the best length": at_most(1.3, "long runs stay good"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    ours = run.fit("latent_prior", "mnist", label="ebm")
    plain = run.fit("latent_prior", "mnist", label="gaussian", prior="gaussian")
    trained = ours.model.chain_steps()
    n, lengths = run.few(5000, 200), [0, trained] if run.tiny else LENGTHS
    test = ours.examples("test").head(run.few(10_000, 100))
    features = run.features_of(ours)
    by_length, others = sample_quality(ours, n, lengths, features=features, seed=seed)
    gaussian, _ = sample_quality(plain, n, [], features=features, seed=seed)
    frechet = f"Fréchet [{features.name}]"
    distance, other = by_length[trained], next(iter(gaussian.values()))
    mse, plain_mse = (reconstruction_error(o.model, test, seed=seed, batch=500, device=o.device) for o in (ours, plain))
    return Figures(
        {
            **{f"{frechet}, {length} prior steps": value for length, value in by_length.items()},
            "test MSE": mse,
            "Fréchet at 1000 steps over the best length": by_length[lengths[-1]] / min(by_length.values()),
            "Fréchet over that of the Gaussian prior": distance / other,
            "test MSE over that of the Gaussian prior": mse / plain_mse,
        },
        {
            **{f"{frechet}, {trained} prior steps/{name}": value for name, value in others.items()},
            f"{frechet}, {trained} prior steps/Gaussian prior": other,
            "test MSE/Gaussian prior": plain_mse,
        },
    )
