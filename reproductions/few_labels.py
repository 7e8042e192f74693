"""What the figures of symbol-vector coupling share: train a recipe for each seed, classify, and set what else the same
labels give beside it. ``symbol_vector_mnist.py``, ``symbol_vector_text.py`` and ``symbol_vector_table.py`` run it.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from absynth import results
from absynth.recipes._few_labels import FewLabels
from absynth.tasks.classify import baselines, class_log_prob, labels_alone
from absynth.training import fit

ALONE = 300
"""Updates of the inference network on the labels alone; it fits them all long before."""


def measure(
    name: str,
    about: str,
    recipes: Mapping[str, Callable[[int], FewLabels]],
    *,
    data: str,
    protocol: str,
    bars: Mapping[str, Mapping[str, object]],
) -> None:
    """Train, classify, record.

    Args:
        name: of the record and of the script.
        about: the script's description.
        recipes: seed -> recipe, by the word that tells several apart ("" where there is one).
        data: which data.
        protocol: how it was measured.
        bars: as in the record.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    arguments = parser.parse_args()
    figures: dict[str, list[float]] = defaultdict(list)
    beside: dict[str, list[float]] = defaultdict(list)
    for seed in arguments.seeds:
        for word, make in recipes.items():
            recipe = make(seed)
            model = fit(recipe, arguments.runs / f"{name}{'_' if word else ''}{word}_{seed}")
            test = recipe.examples("test")
            chosen = class_log_prob(model, test.x, batch=1000, device="cpu").argmax(1)
            ours = float((chosen == test.y).double().mean())
            others = baselines(recipe) | {"the same networks on labels alone": labels_alone(recipe, ALONE)}
            said = f", {word}" if word else ""
            figures[f"test accuracy{said}"].append(ours)
            for method, value in others.items():
                beside[f"test accuracy{said}/{method}"].append(value)
            alone, near = others["the same networks on labels alone"], max(others.values())
            figures[f"points above labels alone{said}"].append(100 * (ours - alone))
            figures[f"points above the best of the others{said}"].append(100 * (ours - near))
            print(seed, word, f"{ours:.4f}", {k: round(v, 4) for k, v in others.items()}, flush=True)
    results.record(
        Path(f"results/{name}.json"),
        command=f"python reproductions/{name}.py --seeds {' '.join(map(str, arguments.seeds))}",
        data=data,
        protocol=f"{protocol} Labels are chosen by the seed, equally many a class. Baselines: the same labels; k "
        f"nearest neighbours with the best k of 1, 3 and 5 on the test examples; labels alone: {ALONE} updates.",
        seeds=arguments.seeds,
        figures=dict(figures),
        baselines=dict(beside),
        bars=bars,
    )
