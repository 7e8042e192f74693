"""One class of digits turned into another by short chains: ``python reproductions/translation_mnist.py --seeds 0 1``.

A short-run EBM of the target class whose chains begin at training pictures of the source class, while it learns and
when it is used (one-sided translation, Zhao, Xie, Li, ICLR 2021). Test pictures of the source are translated; a
classifier trained on the training split reads the results, and the distance moved is set beside that between random
pairs of test pictures of the two classes. The chain's length is the shortest at which 97 % of 200 training pictures of
the source, kept apart from those that chains learn from, are read as the target: too few steps leave the source as it
is, too many leave nothing of it. The test pictures are others than the first 300, which were looked at while the script
was written.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from absynth import fit, pictures
from absynth.algorithms import Algorithm
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.data.images import Images
from absynth.data.order import minibatches
from absynth.metrics.features import Features, classifier_features
from absynth.recipes.short_run_mnist import ShortRunMNIST
from absynth.results import record
from absynth.samplers.start import Start, Ticket
from absynth.seeding import uniform_like
from absynth.tasks.opened import Chain, lengthened, row_streams
from absynth.tasks.translate import mean_distance, translate
from absynth.types import Batch, Rng

KEPT = 200
"""Training pictures of the source, the last, that choose the chain's length."""

SEEN = 300
"""Test pictures of the source, the first, that are left out."""

LENGTH = int.from_bytes(b"length", "big")
"""Keeps the noise by which the chain's length is chosen apart from that of the test."""


class FromPictures(Start):
    """Every chain from a picture of another domain, drawn with replacement."""

    pictures: Tensor

    def __init__(self, pictures: Float[Tensor, "n *event"]) -> None:
        super().__init__()
        self.register_buffer("pictures", pictures, persistent=False)

    def draw(self, x: Tensor, *, rng: Rng, index: Tensor | None = None) -> tuple[Tensor, Ticket]:
        u = uniform_like(x.new_empty(len(x)), rng)
        return self.pictures[(u * len(self.pictures)).long()], None


@lru_cache(maxsize=4)
def of_label(split: Literal["train", "test"], data: str, label: int) -> Images:
    """The pictures of one class."""
    images = ShortRunMNIST(data=data).read(split)
    assert images.labels is not None
    of = images.labels == label
    return replace(images, x=images.x[of], labels=images.labels[of])


@dataclass(frozen=True, kw_only=True)
class TranslationMNIST(ShortRunMNIST):
    """Short-run EBM of one class, with chains from another."""

    steps: int = 250
    width: int = 16
    stem: Literal[1, 2] = 1
    lr: float = 3e-4
    batch: int = 32
    chain_steps: int = 20
    decay: float = 0.2
    guard_tries: int = 8
    guard_step_size: float = 0.5
    guard_learning_rate: float = 0.5
    guard_gap: float = 1.0
    guard_stability: float = 4.0
    source: int = 3
    """Label where chains begin."""
    target: int = 8
    """Label that is learned."""

    def images(self, split: Literal["train", "test"]) -> Images:
        return of_label(split, self.data, self.target)

    def algorithm(self) -> MaximumLikelihood:
        model = super().algorithm()
        model.start = FromPictures(of_label("train", self.data, self.source).all()[:-KEPT])
        return model

    def batches(self, start: int = 0) -> Iterator[Batch]:
        images = self.images("train")
        order = minibatches(len(images), self.batch, seed=self.seed, start=start)
        return (Batch(images.batch(index)) for index in order)


def read_as(x: Float[Tensor, "n c h w"], features: Features, cache: Path) -> Tensor:
    """The class that the classifier of the feature space reads, ``[n]``."""
    weights = load_file(cache / f"{features.name}.safetensors")
    return (features(x) @ weights["head.weight"].T + weights["head.bias"]).argmax(1)


def chain_of(model: Algorithm, steps: int) -> Chain:
    """The run's chain, of this length."""
    assert isinstance(model, MaximumLikelihood)
    return Chain(model.ebm(), model.origin, lengthened(model.sampler, steps), lambda v: v)


def length(model: Algorithm, x: Float[Tensor, "n c h w"], read: Callable[[Tensor], Tensor], target: int) -> int:
    """The shortest chain, up to twice the trained one, after which 97 % of x are read as the target."""
    assert isinstance(model, MaximumLikelihood)
    longest = 2 * TranslationMNIST.chain_steps
    sampler: Any = lengthened(model.sampler, longest)
    rng = row_streams(LENGTH, range(len(x)), device="cpu")
    for k, state in enumerate(sampler.path(model.ebm().log_density, x, rng=rng)):
        if float((read(state.x.clamp(-1, 1)) == target).float().mean()) >= 0.97:
            return k
    return longest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--source", type=int, default=TranslationMNIST.source)
    parser.add_argument("--target", type=int, default=TranslationMNIST.target)
    parser.add_argument("--steps", type=int, default=TranslationMNIST.steps)
    parser.add_argument("--n", type=int, default=300, help="test pictures translated")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--cache", type=Path, default=Path("runs/features"))
    parser.add_argument("--out", type=Path, default=Path("results/translation_mnist.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = TranslationMNIST(source=arguments.source, target=arguments.target, steps=arguments.steps).resolve()
    assert isinstance(recipe, TranslationMNIST)
    features = classifier_features(recipe.read("train"), cache=arguments.cache)
    x = of_label("test", recipe.data, recipe.source).all()[SEEN : SEEN + arguments.n]
    pairs = mean_distance(x, of_label("test", recipe.data, recipe.target).all())
    learned = of_label("train", recipe.data, recipe.source).all()[-KEPT:]
    share, moved, before, lengths = [], [], [], []

    def read(v: Tensor) -> Tensor:
        return read_as(v, features, arguments.cache)

    untouched = float((read(x) == recipe.target).float().mean())
    for seed in arguments.seeds:
        name = f"translation_mnist_{recipe.source}_{recipe.target}_{recipe.steps}_{seed}"
        model = fit(replace(recipe, seed=seed), arguments.runs / name, chains="planned")
        lengths.append(length(model, learned, read, recipe.target))
        chain = chain_of(model, lengths[-1])
        there = translate(chain, x, rng=row_streams(seed, range(len(x)), device="cpu")).clamp(-1, 1)
        share.append(float((read(there) == recipe.target).float().mean()))
        moved.append(float((there - x).flatten(1).norm(dim=1).mean()) / pairs)
        before.append(untouched)
        print(
            f"seed {seed}: {share[-1]:.3f} read as {recipe.target}, moved {moved[-1]:.3f} of {pairs:.2f}, "
            f"{chain.steps} steps",
            flush=True,
        )
        pictures.rows_with_labels({"source": x[:10], "translation": there[:10]}, arguments.runs / f"{name}.png")
    record(
        arguments.out,
        command="python reproductions/translation_mnist.py --seeds " + " ".join(map(str, arguments.seeds)),
        data=f"MNIST, class {recipe.source} to class {recipe.target}; training split to learn, test split to translate",
        protocol=f"{recipe.steps} updates of {recipe.batch} chains of {recipe.chain_steps} steps at temperature "
        f"{recipe.temperature:g}, begun at source pictures; used at the shortest length at which 97 % of {KEPT} "
        f"other training pictures are read as the target; {len(x)} test pictures after the first {SEEN}; read by the "
        f"classifier of {features.name}; distances beside the mean {pairs:.2f} over pairs of test pictures "
        "of the two classes",
        seeds=arguments.seeds,
        figures={
            "share read as the target": share,
            "distance moved over that of random pairs": moved,
            "steps": lengths,
        },
        baselines={"share read as the target/source untouched": before},
        bars={
            "share read as the target": {"at_least": 0.9, "why": "the classifier reads the target"},
            "distance moved over that of random pairs": {"at_most": 0.7, "why": "the source is partly kept"},
        },
    )


if __name__ == "__main__":
    main()
