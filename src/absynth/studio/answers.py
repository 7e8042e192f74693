"""Answers that are given at once: molecules to order, futures of a past, anomalies of a table, a run's curves."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from PIL import Image, ImageDraw
from torch import Tensor

from absynth.data.tracks import Windows
from absynth.errors import InputError
from absynth.metrics.molecules import PROPERTIES, draw, measured
from absynth.pictures import COLOURS
from absynth.report import logs
from absynth.seeding import stream
from absynth.studio import show
from absynth.studio.chains import check_size
from absynth.tasks.guide import Head, guided, learn_head, write
from absynth.tasks.opened import Opened
from absynth.tasks.predict import predict

MOST_ROWS = 20_000
"""Rows of a table that are scored, at most."""
LISTED = 20
"""Anomalies in the list."""
SIDE = 440
"""Pixels of a side of the scene that a past is drawn on."""

# Molecules -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Molecules:
    """Molecules as generated with and without guidance, and the property of the valid ones."""

    guided: list[str]
    free: list[str]
    mean: float
    mean_free: float
    validity: float
    head: Head
    sheet: bytes
    """Valid guided ones as a PNG; empty where there is none."""


class Guide:
    """Guides molecules to a property; what predicts the property is learned once for each model."""

    def __init__(self) -> None:
        self._heads: dict[tuple[Path, str], tuple[Opened, Head]] = {}
        self._lock = threading.Lock()

    def __call__(self, opened: Opened, name: str, value: float, n: int, *, seed: int) -> Molecules:
        """n molecules with a property near a value, and n without guidance: ``absynth guide``.

        Args:
            opened: A model of molecules.
            name: One of :data:`absynth.metrics.molecules.PROPERTIES`.
            value: The wanted value.
            n: Number of molecules.
            seed: Seed of all noise.

        Raises:
            InputError: There is no such property, or the training molecules are not at hand.
        """
        check_size(n)
        if name not in PROPERTIES:
            raise InputError(f"expected a property, one of {', '.join(PROPERTIES)}, got {name!r}")
        chain, model, head = opened.chain(), opened.model, self._head(opened, name)
        rng = stream(seed, 0, 1, 19, device=opened.device)
        latent = [model.sample_prior(n, rng=rng), guided(chain, head, value, n, std=head.error, rng=rng)]
        temperature = float(opened.recipe.fields().get("temperature", 1.0))
        free, wanted = (write(model, opened.data, z, temperature, rng=rng) for z in latent)
        values, others = measured(wanted, name), measured(free, name)
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / "guided.png"
            sheet = file.read_bytes() if draw(wanted, file, columns=4, rows=4) else b""
        means = [float(v.mean()) if len(v) else float("nan") for v in (values, others)]
        return Molecules(wanted, free, *means, len(values) / n, head, sheet)

    def _head(self, opened: Opened, name: str) -> Head:
        with self._lock:  # whoever asks meanwhile waits for the same head
            known = self._heads.get((opened.path, name))
            if known is None or known[0] is not opened:  # the weights changed since
                known = self._heads[opened.path, name] = opened, learn_head(opened, name, seed=0)
            return known[1]


# Tracks --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """A square on which a past is drawn, positions in the unit of the tracks.

    Args:
        left, bottom: Position of the lower left corner.
        extent: Length of a side.
    """

    left: float
    bottom: float
    extent: float

    def position(self, across: float, down: float) -> tuple[float, float]:
        """The position of a pixel."""
        scale = self.extent / SIDE
        return round(self.left + across * scale, 3), round(self.bottom + (SIDE - down) * scale, 3)

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of a position."""
        scale = SIDE / self.extent
        return (x - self.left) * scale, SIDE - (y - self.bottom) * scale


def scene_of(opened: Opened) -> Scene:
    """A square that an ordinary past and its futures fit on, the past ending at the origin."""
    data: Any = opened.data
    reach = 1.3 * data.unit_length * (data.past + data.future)
    return Scene(-0.45 * reach, -0.5 * reach, reach)


def read_points(text: str) -> list[tuple[float, float]]:
    """Positions as typed: x and y, one position a line or between semicolons.

    >>> read_points("0, 0; 1 0.5")
    [(0.0, 0.0), (1.0, 0.5)]

    Raises:
        InputError: Something is no position.
    """
    found = []
    for part in re.split(r"[;\n]", text):
        if not part.strip():
            continue
        try:
            x, y = (float(word) for word in re.split(r"[,\s]+", part.strip()))
        except ValueError:
            raise InputError(f"expected x and y of a position, got {part.strip()[:40]!r}: such as 0.4, 1.2") from None
        if not (abs(x) < 1e9 and abs(y) < 1e9):
            raise InputError(f"expected positions of finite size, got {part.strip()[:40]!r}: give others")
        found.append((x, y))
    return found


def past_of(points: Sequence[tuple[float, float]], count: int) -> Float64[Tensor, "count 2"]:
    """The past that points stand for: themselves if there are ``count``, else even steps along the line through them.

    Raises:
        InputError: There are fewer than two different points.
    """
    given = torch.tensor(points, dtype=torch.float64).reshape(-1, 2)
    steps = given.diff(dim=0).norm(dim=1)
    if len(given) < 2 or not steps.sum() > 0:
        raise InputError(f"expected 2 different points or more, got {len(given)}: click where it came from, then on")
    if len(given) == count:
        return given
    length = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    at = torch.linspace(0, float(length[-1]), count, dtype=torch.float64)
    k = torch.searchsorted(length, at, right=True).clamp(1, len(given) - 1)
    share = ((at - length[k - 1]) / (length[k] - length[k - 1]).clamp(min=1e-12)).clamp(0, 1)[:, None]
    return (1 - share) * given[k - 1] + share * given[k]


def futures(
    opened: Opened, points: Sequence[tuple[float, float]], k: int, *, seed: int
) -> tuple[Float64[Tensor, "past 2"], Float64[Tensor, "k future 2"]]:
    """k futures of a drawn past: ``absynth predict``.

    Args:
        opened: A model of tracks.
        points: As in :func:`past_of`.
        k: Number of futures.
        seed: Seed of the noise.
    """
    check_size(k)
    data: Any = opened.data
    past = past_of(points, data.past)
    unknown = torch.full((1, data.future, 2), torch.nan, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.long)
    windows = Windows(past[None], unknown, zero, zero, zero)
    return past, predict(opened.model, data, windows, k, seed=seed, device=opened.device)[:, 0]


def draw_scene(
    scene: Scene,
    points: Sequence[tuple[float, float]],
    past: Float64[Tensor, "past 2"] | None = None,
    paths: Float64[Tensor, "k future 2"] | None = None,
) -> Image.Image:
    """The points that were given, the past that they stand for, and its futures."""
    fine = 2  # drawn at twice the size, for smooth lines
    image = Image.new("RGB", (fine * SIDE, fine * SIDE), "#ffffff")
    pen = ImageDraw.Draw(image)

    def at(x: float, y: float) -> tuple[float, float]:
        across, down = scene.pixel(x, y)
        return fine * across, fine * down

    for k in range(1, 8):
        pen.line([(0, k * fine * SIDE / 8), (fine * SIDE, k * fine * SIDE / 8)], "#ececec")
        pen.line([(k * fine * SIDE / 8, 0), (k * fine * SIDE / 8, fine * SIDE)], "#ececec")
    for path in [] if paths is None or past is None else paths.tolist():
        pen.line([at(*xy) for xy in [past[-1].tolist(), *path]], COLOURS[0], 2)  # type: ignore[union-attr]
        end = at(*path[-1])
        pen.ellipse([end[0] - 4, end[1] - 4, end[0] + 4, end[1] + 4], COLOURS[0])
    for place in [] if past is None else past.tolist():
        x, y = at(*place)
        pen.ellipse([x - 5, y - 5, x + 5, y + 5], "#24292f")
    drawn = [at(*point) for point in points]
    if len(drawn) > 1:
        pen.line(drawn, "#24292f", 3)
    for x, y in drawn:
        pen.ellipse([x - 7, y - 7, x + 7, y + 7], outline=COLOURS[1], width=4)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


# Tables --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Anomalies:
    """Scores of a table's rows, higher is more anomalous."""

    names: list[str]
    scores: Float[Tensor, "n"]
    threshold: float
    parts: Float[Tensor, "n d"] | None
    """What each column adds to a row's energy; None where the model has no density of the data."""
    columns: list[str]
    note: str

    def rows(self, n: int = LISTED, columns: int = 3) -> list[list[object]]:
        """The most anomalous: name, score, whether it is above the threshold, the columns that explain it."""
        found: list[list[object]] = []
        for i in self.scores.argsort(descending=True)[:n].tolist():
            said = "outlier" if float(self.scores[i]) > self.threshold else ""
            row: list[object] = [self.names[i], float(self.scores[i]), said]
            if self.parts is not None:
                order = self.parts[i].argsort(descending=True)[:columns].tolist()
                row.append(", ".join(f"{self.columns[j]} {float(self.parts[i, j]):+.3g}" for j in order))
            found.append(row)
        return found

    def save(self, file: Path) -> None:
        """Write all scores as CSV."""
        from absynth.tasks.detect import write_scores

        write_scores(file, self.names, self.scores, self.threshold, self.parts, self.columns)


def anomalies(opened: Opened, file: str | Path, contamination: float = 0.1, *, seed: int) -> Anomalies:
    """Anomalies of a table in a file with the columns of the training table: ``absynth detect``.

    Args:
        opened: A model of rows.
        file: A CSV or Parquet file; "" takes the test rows of training's own table.
        contamination: Share of the training rows above the threshold.
        seed: Seed of the noise.

    Raises:
        InputError: The file cannot be read as such a table, or is too large for a page.
    """
    from absynth.tasks.detect import anomaly_scores, explain, find_threshold  # scikit-learn, paid by those who score

    if not 0 < contamination < 1:
        raise InputError(f"expected a share between 0 and 1 of outliers, got {contamination:g}")
    opened.require_kind("table")
    x, names = opened.inputs(str(file), 0)
    if not 1 <= len(x) <= MOST_ROWS:
        raise InputError(f"expected 1 to {MOST_ROWS} rows, got {len(x)}: absynth detect takes larger tables")
    scored = anomaly_scores(opened.model, x, steps=0, seed=seed, batch=500, device=opened.device)
    threshold = find_threshold(opened, scored.score, contamination, seed, 0, 500)
    parts, columns, _ = explain(opened, x, names, scored.score, each=False)
    return Anomalies(names, scored.score, threshold, parts, columns, scored.note)


# Training ------------------------------------------------------------------------------------------------------------

_SHOWN = {
    "loss": "Loss of each player",
    "energy": "Energy of positive and negative examples",
    "held-out": "Held-out figure",
}


def training(run: Path) -> tuple[str, str]:
    """Where a run's training stands, in one line, and its curves as HTML.

    Raises:
        InputError: There is no run.
    """
    log = logs.read(run)
    if not log.metrics:
        return "no step is logged yet", ""
    last, total = log.metrics[-1]["step"], log.fields.get("steps")
    said = f"step {last}" + (f" of {total}" if total else "")
    if log.seconds:
        said += f", {show.html.duration(log.seconds)} of training"
    acted = [entry for entry in log.journal if entry.get("event") == "guard"]
    said += f", the guard acted {len(acted)} times" if acted else ""
    kept = log.metrics[:: max(1, len(log.metrics) // 400)]
    kept = kept if kept[-1] is log.metrics[-1] else [*kept, log.metrics[-1]]
    drawn = [(title, logs.series(kept, key)) for key, title in _SHOWN.items()]
    return said, "".join(show.curves(title, series) for title, series in drawn if series)
