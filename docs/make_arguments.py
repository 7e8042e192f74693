"""One picture for each argument of the papers, by pretrained models and one that is trained here.

Four minutes of one core; needs ABSYNTH_DATA.

python docs/make_arguments.py
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import absynth as ab
from absynth import pictures, released, tasks
from absynth.tasks.detect import anomaly_scores

FOLDER = Path(__file__).parent / "methods"
MODEL, SEED, N = "latent_prior/mnist", 0, 1000
DRAWN = {
    "chain": {"chain.png": "latent_prior_chain.png", "energy_long.png": "latent_prior_energy.png"},
    "interpolate": {"interpolations.png": "latent_prior_interpolation.png"},
}
"""Task -> its picture -> the file in docs/methods."""


def unlike_digits(file: Path) -> None:
    """−log p(x, z) of digits that were not trained on, of clothes, and of uniform noise."""
    model = ab.pretrained(MODEL)
    x = {name: ab.data.open(name).split("test").head(N) for name in ("mnist", "fashion_mnist")}
    rng = ab.stream(SEED)
    x["noise"] = 2 * ab.seeding.uniform_like(x["mnist"], rng) - 1
    found = {}
    for name, images in x.items():
        scores = anomaly_scores(model, images, steps=60, seed=SEED, batch=500, device="cpu").scores
        label, found[name] = next(iter(scores.items()))
    pictures.histogram(file, found, label)


def composition(file: Path, folder: Path) -> None:
    """Samples of the product of two densities of the plane, over what they are samples of."""
    run = released.locate(Path("maximum_likelihood/ring"))
    other = released.locate(Path("noise_contrastive/moons"))
    found = tasks.find("compose").command(run, others=[other], n=N, out=folder)
    shutil.copyfile(folder / found.pictures[0]["file"], file)


def locality(file: Path, folder: Path) -> None:
    """Where the image changes if one location of a latent feature map is taken from another image."""
    ab.fit(ab.recipe("latent_prior_conv", "mnist", seed=SEED), folder / "run")
    tasks.find("edit").command(folder / "run", out=folder / "edit")
    shutil.copyfile(folder / "edit" / "locality.png", file)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for task, files in DRAWN.items():
            tasks.find(task).command(released.locate(Path(MODEL)), out=Path(folder) / task)
            for drawn, file in files.items():
                shutil.copyfile(Path(folder) / task / drawn, FOLDER / file)
        composition(FOLDER / "maximum_likelihood_product.png", Path(folder) / "compose")
        locality(FOLDER / "latent_prior_conv_locality.png", Path(folder) / "locality")
    unlike_digits(FOLDER / "latent_prior_unlike.png")


if __name__ == "__main__":
    main()
