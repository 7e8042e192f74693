"""One class of digits turned into another by short chains (one-sided translation, Zhao, Xie, Li, ICLR 2021).

A short-run EBM of the target class whose chains start at training images of the source class, while it learns and when
it is used. Test images of the source are translated, and the distance moved is compared with that between random pairs
of test images of the two classes. The chain's length is the shortest at which a classifier trained on the training
split reads 97 % of 200 training images of the source, kept apart from those that chains learn from, as the target: too
few steps leave the source as it is, too many leave nothing of it. A second classifier, of another seed, which chose
nothing, reads the translated test images. The first 300 test images, which were looked at while the experiment was
written, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.data import sets
from absynth.experiments._classifier import read_as
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.metrics.features import Features
from absynth.recipes.maximum_likelihood.images import MaximumLikelihoodImages
from absynth.samplers.start import Start, Ticket
from absynth.seeding import stream, uniform_like
from absynth.tasks.opened import row_streams
from absynth.tasks.translate import mean_distance, translate
from absynth.types import Rng

SOURCE, TARGET = 3, 8
KEPT, SEEN, N = 200, 300, 300
LENGTHS = (5, 10, 15, 20, 30, 40, 60, 80, 120, 160)
LENGTH = int.from_bytes(b"length", "big")
"""Separates the noise by which the chain's length is chosen from that of the test."""
READ, MOVED = "share read as the target", "distance moved over that of random pairs"
FIELDS: dict[str, Any] = {
    "steps": 250, "energy_width": 16, "stem": 1, "energy_lr": 3e-4, "batch": 32, "chain_steps": 20, "final_share": 0.2,
    "guard_retries": 8, "guard_step_size": 0.5, "guard_learning_rate": 0.5, "guard_difference": 1.0,
    "guard_stability": 4.0,
}  # fmt: skip


class FromImages(Start):
    """Every chain from an image of another domain, drawn with replacement."""

    images: Tensor

    def __init__(self, images: Float[Tensor, "n *event"]) -> None:
        super().__init__()
        self.register_buffer("images", images, persistent=False)

    def draw(self, x: Tensor, *, rng: Rng, index: Tensor | None = None) -> tuple[Tensor, Ticket]:
        u = uniform_like(x.new_empty(len(x)), rng)
        return self.images[(u * len(self.images)).long()], None


@dataclass(frozen=True, kw_only=True)
class FromAnotherClass(MaximumLikelihoodImages):
    """Short-run EBM of one class, with chains from another."""

    dataset_from: Any = field(default=None, repr=False, compare=False)
    """Images where chains start."""

    def algorithm(self) -> MaximumLikelihood:
        model = super().algorithm()
        if self.dataset_from is not None:
            model.start = FromImages(self.dataset_from)
        return model


def of_label(split: Any, label: int) -> Tensor:
    """The images of one class of MNIST."""
    data = sets.open("mnist").split(split)
    assert data.labels is not None
    return data.batch((data.labels == label).nonzero()[:, 0]).x


@experiment(
    data=f"MNIST, class {SOURCE} to class {TARGET}; training split to learn, test split to translate",
    protocol=f"250 updates of 32 chains of 20 steps at temperature 5e-5, started at source images; used at the "
    f"shortest length at which 97 % of {KEPT} other training images are read as the target; {N} test images after "
    f"the first {SEEN}; read by a classifier that did not choose the length; distances relative to the mean "
    f"over pairs of test images of the classes",
    seeds=(0, 1),
    minutes=4,
    bars={
        READ: at_least(0.9, "the classifier reads the target"),
        MOVED: at_most(0.7, "the source is partly kept"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    source, target = of_label("train", SOURCE), of_label("train", TARGET)
    data = sets.open(target.numpy(), kind="image")
    base = run.recipe("maximum_likelihood", data, preset="mnist", **FIELDS)
    made = FromAnotherClass(**base.fields(), dataset=base.dataset, dataset_from=source[:-KEPT])
    model = run.train(made, "translation").model
    digits = run.fit("vae", "mnist", label="classifier", steps=1, checkpoint_every=1)
    chooser, judge = (run.features_of(digits, seed=k) for k in (0, 1))
    x = of_label("test", SOURCE)[SEEN : SEEN + run.few(N)]
    pairs = mean_distance(x, of_label("test", TARGET)[: run.few(1000)])

    def share(v: Tensor, reader: Features) -> float:
        return float((read_as(v.clamp(-1, 1), reader, run.features) == TARGET).float().mean())

    steps = LENGTHS[-1]
    for length in LENGTHS:
        chain = model.data_chain().with_steps(length)
        if share(translate(chain, source[-run.few(KEPT) :], rng=stream(seed, 0, 0, LENGTH)), chooser) >= 0.97:
            steps = length
            break
    chain = model.data_chain().with_steps(steps)
    there = translate(chain, x, rng=row_streams(seed, range(len(x)), device="cpu")).clamp(-1, 1)
    pictures.rows_with_labels({"source": x[:10], "translation": there[:10]}, run.images / f"translation_{seed}.png")
    moved = float((there - x).flatten(1).norm(dim=1).mean()) / pairs
    return Figures(
        {READ: share(there, judge), f"{READ}, by the classifier of the length": share(there, chooser), MOVED: moved,
         "steps": steps},
        {f"{READ}/source untouched": share(x, judge)},
    )  # fmt: skip
