"""Symbol-vector coupling on a table: classes of rows from few labels. Your own CSV, or a table of scikit-learn's.

A column of the CSV holds the classes (``--target``, the last one by default) and may be empty in any row; with
``--labels 0`` every class that is given is used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from absynth import pictures
from absynth.data import tables
from absynth.data.tables import Table
from absynth.distributions import GaussianGenerator
from absynth.networks.mlp import mlp
from absynth.recipes._few_labels import Examples, FewLabels, Part
from absynth.recipes.recipe import Recipe
from absynth.report import Picture, ResultTable


@dataclass(frozen=True, kw_only=True)
class SymbolVectorTable(FewLabels):
    """Symbol-vector coupling on a table, your own CSV or one of scikit-learn's."""

    steps: int = 500
    labels: int = 50
    table: str = "digits"
    """Without --data: digits, wine or breast_cancer, which scikit-learn carries."""
    target: str = ""
    """The column of classes in your CSV; empty: the last one."""
    std: float = 0.5
    """σ of p(x|z), for columns of standard deviation 1."""
    latent: int = 8
    width: int = 200

    def read(self) -> Table:
        """The whole table."""
        return read(self.data, self.table, self.target)

    def examples(self, part: Part) -> Examples:
        found = self.read()
        rows = found.rows(part)
        return Examples(found.standardized(found.x[rows]), found.y[rows], found.classes)

    def unseen(self, path: Path) -> Tensor:
        trained = self.read()
        return trained.standardized(tables.csv_table(path, self.target, like=trained).x)

    def generator(self, train: Examples) -> GaussianGenerator:
        net = mlp([self.latent, *[self.width] * self.hidden, train.x.shape[1]], "silu")
        return GaussianGenerator(net, self.std)

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """The first columns of each row, in units of the training rows' spread, and two of them as a scatter."""
        names = self.read().columns
        pictures.scatter2d(file, {"rows": x[:, :2]}, title=f"{names[0]} and {names[min(1, len(names) - 1)]}")
        table: ResultTable = {
            "caption": "Rows, standardized",
            "columns": list(names[:columns]),
            "rows": [[round(v, 3) for v in row[:columns].tolist()] for row in x[:20]],
        }
        return [{"file": file.name, "caption": f"{len(x)} rows of {self.name()}"}, table]

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=24, labelled_batch=8, labels=0, latent=4, width=8, nef=8, prior_steps=3,
            posterior_steps=3, log_every=1, checkpoint_every=2,
        )  # fmt: skip


@lru_cache(maxsize=4)
def read(data: str, table: str, target: str) -> Table:
    """The table, read once a process: a file, or one that scikit-learn carries where ``data`` is none."""
    path = Path(data)
    if not data or path.is_dir():
        return tables.carried(table)
    return tables.arrays_table(path) if path.suffix == ".npz" else tables.csv_table(path, target)
