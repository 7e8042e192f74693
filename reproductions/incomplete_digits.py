"""Learning from pictures with missing pixels: ``python reproductions/incomplete_digits.py --seeds 0 1``.

A short-run EBM of scikit-learn's 8×8 digits of which half of the pixels are hidden, the same ones of a picture always:
a recovery chain draws them given the others, a synthesis chain draws whole pictures, and learning compares the two. The
hidden pixels of the training pictures are then recovered: by one chain, and by the mean of twenty, which is what can be
compared with a fill. Beside them: the mean of what was seen of a pixel, and the conditional mean of a Gaussian whose
mean and covariance are learned by EM from the same pixels. Pictures that the model draws are set beside those of the
same model learned from whole pictures.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from absynth import fit, pictures, stream
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.data.images import Images, digits
from absynth.density import EBM
from absynth.distributions import Uniform
from absynth.metrics.features import classifier_features
from absynth.metrics.frechet import frechet
from absynth.networks.mlp import mlp_f
from absynth.recipes.short_run_images import ShortRunImages
from absynth.results import record
from absynth.samplers import FromNoise, Langevin
from absynth.types import Batch

MISSING = 0.5
DRAWS = 20


@dataclass(frozen=True, kw_only=True)
class IncompleteDigits(ShortRunImages):
    """Short-run EBM of digits of which pixels are missing."""

    steps: int = 1500
    batch: int = 100
    size: int = 8
    channels: int = 1
    missing: float = MISSING
    width: int = 128
    chain_steps: int = 30
    step_size: float = math.sqrt(0.2)
    temperature: float = 0.03**2 / 0.2
    data_noise: float = 0.05
    lr: float = 2e-3
    decay: float = 0.5

    def read(self, split: Literal["train", "test"]) -> Images:
        return digits(Path(), split)

    def algorithm(self) -> MaximumLikelihood:
        flat = Uniform(1, 8, 8)
        f = nn.Sequential(nn.Flatten(), *mlp_f(64, self.width, "silu"))
        sampler = Langevin(self.chain_steps, self.step_size, self.step_size * math.sqrt(self.temperature))
        return MaximumLikelihood(EBM(f, flat), start=FromNoise(flat), sampler=sampler, data_noise=self.data_noise)


def hidden(recipe: IncompleteDigits, x: Tensor) -> Batch:
    """All training pictures as the recipe sees them."""
    return recipe.hide(Batch(x, index=torch.arange(len(x))))


def gaussian_fill(x: Float[Tensor, "n d"], seen: Bool[Tensor, "n d"], rounds: int = 15) -> Float[Tensor, "n d"]:
    """Missing entries by their conditional mean under the Gaussian that EM finds from what was seen of x."""
    x, n, d = x.double(), len(x), x.shape[1]
    mean = (x * seen).sum(0) / seen.sum(0)
    cov, filled = torch.eye(d, dtype=torch.float64), x
    for _ in range(rounds):
        outer, rows = torch.zeros_like(cov), []
        for row, known in zip(x, seen, strict=True):
            gain = torch.linalg.solve(
                cov[known][:, known] + 1e-3 * torch.eye(int(known.sum())), cov[known][:, ~known]
            ).T
            full = row.clone()
            full[~known] = mean[~known] + gain @ (row[known] - mean[known])
            rest = torch.zeros_like(cov)
            unknown = (~known).nonzero()[:, 0]
            rest[unknown[:, None], unknown] = cov[~known][:, ~known] - gain @ cov[known][:, ~known]
            outer += rest
            rows.append(full)
        filled = torch.stack(rows)
        mean = filled.mean(0)
        cov = ((filled - mean).T @ (filled - mean) + outer) / n
    return filled.float()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--pictures", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--cache", type=Path, default=Path("runs/features"))
    parser.add_argument("--out", type=Path, default=Path("results/incomplete_digits.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    recipe = IncompleteDigits().resolve()
    assert isinstance(recipe, IncompleteDigits)
    train = recipe.read("train")
    x = train.all()
    features = classifier_features(train, cache=arguments.cache)
    real = features(recipe.read("test").all())
    fd = f"fd[{features.name}]"
    figures, beside = defaultdict(list), defaultdict(list)
    for seed in arguments.seeds:
        models = {}
        for name, missing in (("incomplete", MISSING), ("whole", 0.0)):
            with tempfile.TemporaryDirectory() as folder:
                model = fit(replace(recipe, seed=seed, missing=missing), Path(folder) / "run", chains="planned")
            assert isinstance(model, MaximumLikelihood)
            models[name] = model
        model, batch = models["incomplete"], hidden(replace(recipe, seed=seed), x)
        assert batch.mask is not None
        seen = batch.mask.bool()
        draws = [model.recover(batch.x, seen, rng=stream(seed, 0, k, 6)).clamp(-1, 1) for k in range(DRAWS)]

        def error(filled: Tensor, seen: Tensor = seen) -> float:
            return float(((filled - x) ** 2)[~seen].mean())

        mean = (batch.x * seen).sum(0) / seen.sum(0)
        gaussian = gaussian_fill(batch.x.flatten(1), seen.flatten(1)).view_as(x)
        figures["MSE of one recovery"].append(error(draws[0]))
        figures["MSE of the recoveries' mean"].append(error(torch.stack(draws).mean(0)))
        for name in ("MSE of one recovery", "MSE of the recoveries' mean"):
            beside[f"{name}/mean of what was seen"].append(error(torch.where(seen, x, mean)))
            beside[f"{name}/Gaussian by EM"].append(error(gaussian))
        samples = {name: m.sample(1000, rng=stream(seed, 0, 0, 3)).clamp(-1, 1) for name, m in models.items()}
        figures[fd].append(frechet(features(samples["incomplete"]), real))
        beside[f"{fd}/learned from whole pictures"].append(frechet(features(samples["whole"]), real))
        print(f"seed {seed}:", {k: round(v[-1], 4) for k, v in (figures | beside).items()}, flush=True)
        rows = {"picture": x[:10], "seen": batch.x[:10], "recovered": draws[0][:10], "Gaussian": gaussian[:10]}
        pictures.rows_with_labels(
            rows | {"drawn": samples["incomplete"][:10]}, arguments.pictures / f"incomplete_{seed}.png"
        )
    fill = beside["MSE of the recoveries' mean/mean of what was seen"]
    bar = {"at_most": sum(fill) / len(fill), "why": "below mean fill"}
    record(
        arguments.out,
        command="python reproductions/incomplete_digits.py --seeds " + " ".join(map(str, arguments.seeds)),
        data="scikit-learn's digits, 8×8, the training split with half of its pixels hidden; the test split for the "
        "distance",
        protocol=f"{recipe.steps} updates of {recipe.batch} synthesis and as many recovery chains of "
        f"{recipe.chain_steps} steps, temperature {recipe.temperature:.2g}; mean squared error of the hidden pixels of "
        f"the training pictures, on the [-1, 1] scale, by one recovery chain and the mean of {DRAWS}; Fréchet distance "
        "of 1,000 samples",
        seeds=arguments.seeds,
        figures=dict(figures),
        baselines=dict(beside),
        bars={"MSE of the recoveries' mean": bar},
    )


if __name__ == "__main__":
    main()
