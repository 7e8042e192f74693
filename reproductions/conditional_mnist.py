"""Label to digit: ``python reproductions/conditional_mnist.py --seeds 0 1 [--recipe conditional_fashion_mnist]``.

A classifier that was trained on the training split reads the labels of drafts (the initializer's) and of revised drafts
(the solver's). Diversity is the mean Euclidean distance of two examples of one class, over that of test pictures. f
reads labels too: the label of highest f(x, c) of test pictures.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from translation_mnist import read_as

from absynth import fit, pictures, recipes
from absynth.algorithms.conditional_cooperative import ConditionalCooperative
from absynth.metrics.features import classifier_features
from absynth.networks.conditional import LabelF
from absynth.recipes.conditional_images import ConditionalImages
from absynth.results import record
from absynth.seeding import stream

SAMPLES = 2000


def diversity(x: Float[Tensor, "n c h w"], labels: Int[Tensor, "n"], classes: int) -> float:
    """The mean distance of two different examples of a class, averaged over classes."""
    found = []
    for label in range(classes):
        of = x[labels == label].flatten(1)
        found.append(float(torch.cdist(of, of).sum()) / (len(of) * (len(of) - 1)))
    return sum(found) / classes


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", default="conditional_mnist")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--cache", type=Path, default=Path("runs/features"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    name = arguments.recipe
    recipe = recipes.find(name)().resolve()
    assert isinstance(recipe, ConditionalImages)
    features = classifier_features(recipe.read("train"), cache=arguments.cache)
    test = recipe.images("test")
    assert test.labels is not None
    x, labels = test.all(), test.labels
    c = recipe.conditions(SAMPLES)
    assert c is not None
    spread = diversity(x[:SAMPLES], labels[:SAMPLES], recipe.classes)
    real = float((read_as(x, features, arguments.cache) == labels).float().mean())
    rates: dict[str, list[float]] = {"draft": [], "revised": []}
    diversities: dict[str, list[float]] = {"draft": [], "revised": []}
    by_f = []
    for seed in arguments.seeds:
        model = fit(replace(recipe, seed=seed), arguments.runs / f"{name}_{seed}")
        assert isinstance(model, ConditionalCooperative)
        draft = model.draft(SAMPLES, c, rng=stream(seed, 0, 0, 1))[1]
        revised = model.revise(draft, c, rng=stream(seed, 0, 0, 2))
        for kind, found in (("draft", draft), ("revised", revised.clamp(-1, 1))):
            rates[kind].append(float((read_as(found, features, arguments.cache) == c).float().mean()))
            diversities[kind].append(diversity(found, c, recipe.classes) / spread)
        with torch.no_grad():
            f = model.ebm.f
            assert isinstance(f, LabelF)
            by_f.append(float((f.by_label(x).argmax(1) == labels).float().mean()))
        said = {kind: (rates[kind][-1], diversities[kind][-1]) for kind in rates}
        print(f"seed {seed}: (share read, diversity) {said}, argmax f {by_f[-1]:.3f}", flush=True)
        if seed == arguments.seeds[0]:
            both = {"draft": draft, "revised": revised}
            rows = {f"{kind} {i + 1}": v[10 * i : 10 * i + 10] for i in range(3) for kind, v in both.items()}
            pictures.rows_with_labels(rows, arguments.docs / f"{name}.png")
    gain = [after - before for before, after in zip(rates["draft"], rates["revised"])]
    record(
        arguments.out or Path("results") / f"{name}.json",
        command=f"python reproductions/conditional_mnist.py --recipe {name} --seeds "
        + " ".join(map(str, arguments.seeds)),
        data=f"{test.name}: training split to learn, test split to compare with",
        protocol=f"{recipe.steps} updates of {recipe.batch}, chains of {recipe.chain_steps} steps from drafts; "
        f"{SAMPLES} samples, labels in turn, read by the classifier of {features.name}; diversity is the mean distance "
        f"of two examples of one class over that of {SAMPLES} test pictures; f reads all test pictures",
        seeds=arguments.seeds,
        figures={
            "share read as its label": rates["revised"],
            "share gained over the drafts": gain,
            "diversity within a class": diversities["revised"],
            "share of test pictures whose label f reads": by_f,
        },
        baselines={
            "share read as its label/draft": rates["draft"],
            "share read as its label/test pictures": [real],
            "diversity within a class/draft": diversities["draft"],
            "share of test pictures whose label f reads/chance": [1 / recipe.classes],
        },
        bars={
            "share read as its label": {"at_least": 0.9, "why": "the solver draws what it was asked for"},
            "share gained over the drafts": {"at_least": 0.0, "why": "the slow solver is above the fast initializer"},
            "diversity within a class": {"at_least": 0.7, "why": "z is heard"},
            "share of test pictures whose label f reads": {"at_least": 0.2, "why": "twice chance: f hears c"},
        },
    )


if __name__ == "__main__":
    main()
