"""Pictures and plots in one quiet look: pillow for grids of images, matplotlib for curves.

Plots use matplotlib's object interface and its Agg canvas alone: nothing here reads or changes pyplot's global state,
so a training process, a notebook and a test may draw side by side. Files are written whole or not at all.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from absynth.errors import InputError
from absynth.files import write_atomic
from absynth.results import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = Sequence | np.ndarray | Tensor
"""Numbers along one axis, in any form."""

COLOURS = ("#2f6b9a", "#c8553d", "#4b8b5e", "#8a6bb0", "#b8862b", "#5b5b5b")
"""Six hues of different lightness, distinct for readers with colour vision deficiencies too."""

TILE = 48
"""The least side of a tile, in pixels: smaller images are enlarged by a whole factor."""

_INK, _FAINT, _PAPER = "#333333", "#c9c9c9", "#ffffff"
_DASHES = ("-", "--", "-.", ":")


def grid(x: Float[Tensor, "n c h w"], path: Path, columns: int = 10, scale: int | None = None, gap: int = 2) -> None:
    """Tile images into one PNG, row by row.

    Args:
        x: images in [-1, 1] with one or three channels; what lies outside is shown as black or white.
        path: the file.
        columns: images in a row, at most.
        scale: whole factor of enlargement (nearest neighbour); by default the least that makes tiles 48 pixels wide.
        gap: pixels between tiles.

    Raises:
        InputError: no images, values that are not finite, or a count of channels that is not a picture's.
    """
    _save(_sheet(_tiles(x, scale), columns, gap), path)


def single(x: Float[Tensor, "c h w"], path: Path) -> None:
    """Write one image at its own size; grey stays grey."""
    tile = _tiles(x[None], 1)[0]
    _save(Image.fromarray(tile if len(x) == 3 else tile[:, :, 0]), path)


def png(x: Float[Tensor, "n c h w"], columns: int = 10, scale: int | None = None, gap: int = 2) -> bytes:
    """The picture of :func:`grid` as the bytes of a PNG, quickly written rather than small."""
    buffer = io.BytesIO()
    _sheet(_tiles(x, scale), columns, gap).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def animation(
    x: Float[Tensor, "n c t h w"],
    path: Path,
    columns: int = 6,
    scale: int | None = None,
    gap: int = 2,
    rate: float = 12.0,
) -> None:
    """Tile clips into one animated GIF, row by row; it repeats for ever.

    Args:
        x: clips in [-1, 1] with one or three channels.
        path: the file.
        columns: clips in a row, at most.
        scale: as in :func:`grid`.
        gap: pixels between tiles.
        rate: frames per second.
    """
    sheets = [_sheet(_tiles(frame, scale), columns, gap) for frame in x.unbind(2)]
    # One palette for all frames: with one per frame the background would flicker.
    palette = _stacked(sheets[:: max(1, len(sheets) // 8)]).quantize(256, dither=Image.Dither.NONE)
    frames = [sheet.quantize(palette=palette, dither=Image.Dither.NONE) for sheet in sheets]
    buffer = io.BytesIO()
    times = {"duration": round(1000 / rate), "loop": 0}
    frames[0].save(buffer, format="GIF", save_all=True, append_images=frames[1:], optimize=True, **times)
    write_atomic(path, buffer.getvalue())


def rows_with_labels(
    rows: Mapping[str, Float[Tensor, "_ _ _ _"]], path: Path, scale: int | None = None, gap: int = 2
) -> None:
    """Rows of images with their titles on the left, such as inputs above their reconstructions.

    Args:
        rows: title -> images in [-1, 1]; every row holds the same number, sizes may differ (a low-resolution input).
        path: the file.
        scale: whole factor of enlargement of the largest images; by default tiles are 48 pixels wide or more.
        gap: pixels between tiles.
    """
    if not rows:
        raise InputError("rows must hold at least one row of images, got none: give title -> images")
    counts = {title: len(x) for title, x in rows.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"rows must hold the same number of images each, got {counts}: cut them to one length")
    largest = max(rows.values(), key=lambda x: x.shape[2] * x.shape[3])
    height, width = _tiles(largest[:1], scale).shape[1:3]
    fit = {title: max(1, min(height // x.shape[2], width // x.shape[3])) for title, x in rows.items()}
    tiles = {title: _tiles(x, fit[title]) for title, x in rows.items()}
    font = _font(13)
    left = 12 + max(math.ceil(font.getlength(title)) for title in rows)
    n = len(largest)
    sheet = Image.new("RGB", (left + n * (width + gap) - gap, len(rows) * (height + 2 * gap) - 2 * gap), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for r, (title, row) in enumerate(tiles.items()):
        top = r * (height + 2 * gap)
        draw.text((0, top + height // 2), title, fill=_INK, font=font, anchor="lm")
        for i, tile in enumerate(row):
            inset = (width - tile.shape[1]) // 2, (height - tile.shape[0]) // 2
            sheet.paste(Image.fromarray(tile), (left + i * (width + gap) + inset[0], top + inset[1]))
    _save(sheet, path)


def curves(
    path: Path,
    series: Mapping[str, tuple[Values, Values]],
    x_label: str,
    y_label: str,
    title: str,
    log: bool = False,
) -> None:
    """Lines over one axis. Points that are not finite leave a gap; ``log`` makes the vertical axis logarithmic.

    Args:
        path: the file.
        series: name -> (xs, ys) of one length.
        x_label, y_label, title: what stands beside the axes and above the plot.
        log: logarithmic vertical axis; points that are not positive leave a gap.
    """
    figure, axes = _plot(x_label, y_label, title)
    if not series:
        raise InputError("series must hold at least one curve, got none: give name -> (xs, ys)")
    for i, (name, (xs, ys)) in enumerate(series.items()):
        horizontal, vertical = _array(xs), _array(ys)
        if len(horizontal) != len(vertical):
            raise InputError(f"curve {name} must have as many xs as ys, got {len(horizontal)} and {len(vertical)}")
        vertical = np.where(np.isfinite(vertical) & ((vertical > 0) | (not log)), vertical, np.nan)
        marker = "o" if len(horizontal) == 1 else ""
        axes.plot(horizontal, vertical, label=name, lw=1.3, marker=marker, ms=4, **_style(i))
    if log:
        _logarithmic(axes)
    elif axes.get_ylim()[0] < 0 < axes.get_ylim()[1]:
        axes.axhline(0, color=_FAINT, lw=0.9, zorder=0)
    _finish(figure, axes, path, legend=len(series) > 1)


def bars(path: Path, values: Mapping[str, float], x_label: str, title: str, mark: float | None = None) -> None:
    """Horizontal bars from the top down, each with its number.

    Args:
        path: the file.
        values: name -> length of the bar.
        x_label, title: what stands below the axis and above the plot.
        mark: where a vertical line is drawn.
    """
    if not values:
        raise InputError("values must hold at least one bar, got none: give name -> length")
    names, lengths = list(values), _array(list(values.values()))
    figure, axes = _plot(x_label, "", title, size=(6.4, 1.0 + 0.28 * len(names)))
    drawn = axes.barh(range(len(names)), lengths, height=0.66, color=_style(0)["color"])
    axes.bar_label(drawn, [number(round(float(v), 2)) for v in lengths], padding=3, fontsize=8.5, color=_INK)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.grid(False, axis="y")
    if mark is not None:
        axes.axvline(mark, color=_INK, lw=0.9)
    _finish(figure, axes, path, legend=False)


def precision_recall(path: Path, series: Mapping[str, tuple[Values, Values]], base_rate: float) -> None:
    """Precision over recall, and the base rate, which is the precision of guessing.

    Args:
        path: the file.
        series: name -> (recall, precision), recall falling or rising.
        base_rate: the share of positives among the examples.
    """
    figure, axes = _plot("recall", "precision", "Precision and recall")
    for i, (name, (recall, precision)) in enumerate(series.items()):
        recalls, precisions = _array(recall), _array(precision)
        # Between two thresholds precision is that of the stricter one: a step, never a slanted line.
        falling = len(recalls) < 2 or recalls[0] >= recalls[-1]
        axes.plot(recalls, precisions, drawstyle="steps-post" if falling else "steps-pre", label=name, **_style(i))
    axes.axhline(base_rate, color="#888888", lw=1, ls=(0, (4, 3)), label=f"base rate {number(base_rate)} (guessing)")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    _finish(figure, axes, path, legend=True)


def energy_profile(path: Path, energies: Float[Tensor, "t b"], steps: Sequence[int], mark: int | None = None) -> None:
    """The energy along chains: median and the band from 10 to 90 %, over the chain's steps.

    Args:
        path: the file.
        energies: of b chains at t moments, −f − log p_0; lower is more probable.
        steps: the t moments, in steps of the chain.
        mark: the number of steps that the model was trained with, as a dashed line.
    """
    if len(steps) != len(energies):
        raise InputError(f"steps must have one entry a row of energies, expected {len(energies)}, got {len(steps)}")
    low, median, high = np.quantile(_array(energies), (0.1, 0.5, 0.9), axis=1)
    figure, axes = _plot("step of the chain", "energy (lower is more probable)", "Energy along the chain")
    axes.fill_between(steps, low, high, color=COLOURS[0], alpha=0.18, lw=0, label="10 to 90 % of chains")
    axes.plot(steps, median, color=COLOURS[0], lw=1.6, label="median")
    if mark is not None:
        axes.axvline(mark, color=COLOURS[1], lw=1.1, ls=(0, (4, 3)), label=f"{mark} steps, as trained")
    _finish(figure, axes, path, legend=True)


def histogram(path: Path, series: Mapping[str, Values], x_label: str) -> None:
    """How values are spread, one outline a name, over bins that all share. Each outline has area one."""
    arrays = {name: _array(values).ravel() for name, values in series.items()}
    together = np.concatenate(list(arrays.values())) if arrays else np.empty(0)
    if not len(together) or not np.isfinite(together).all():
        raise InputError("values of a histogram must be finite and at least one, got others: drop them before")
    # Few values in narrow bins would show nothing but noise: the square root rule, for the smallest of the sets.
    count = int(np.clip(2 * math.sqrt(min(map(len, arrays.values()))), 8, 60))
    bins = np.histogram_bin_edges(together, bins=count).tolist()
    figure, axes = _plot(x_label, "density", "")
    for i, (name, values) in enumerate(arrays.items()):
        colour = COLOURS[i % len(COLOURS)]
        axes.hist(values, bins=bins, density=True, histtype="stepfilled", color=colour, alpha=0.22, lw=0)
        axes.hist(values, bins=bins, density=True, histtype="step", color=colour, lw=1.3, label=name)
    _finish(figure, axes, path, legend=len(arrays) > 1)


def scatter2d(
    path: Path,
    series: Mapping[str, Float[Tensor, "_ 2"]],
    density: Float[Tensor, "h w"] | None = None,
    extent: tuple[float, float, float, float] | None = None,
    title: str = "",
) -> None:
    """Points in the plane, over a density where one is given.

    Args:
        path: the file.
        series: name -> points.
        density: on a grid, row 0 at the lowest second coordinate, column 0 at the lowest first.
        extent: (left, right, bottom, top) of the grid's outer edges; needed with ``density``.
        title: above the plot.
    """
    if density is not None and extent is None:
        raise InputError("extent must be given with density, got None: give (left, right, bottom, top) of its grid")
    figure, axes = _plot("", "", title, size=(5.2, 5.0))
    axes.grid(False)
    if density is not None:
        axes.imshow(_array(density), origin="lower", extent=extent, cmap="Greys", aspect="auto", alpha=0.75)
    for i, (name, points) in enumerate(series.items()):
        at = _array(points)
        axes.scatter(at[:, 0], at[:, 1], s=5, color=COLOURS[i % len(COLOURS)], alpha=0.55, lw=0, label=name)
    if extent is not None:
        axes.set(xlim=extent[:2], ylim=extent[2:])
    axes.set_aspect("equal")
    _finish(figure, axes, path, legend=len(series) > 1)


def _sheet(tiles: np.ndarray, columns: int, gap: int) -> Image.Image:
    """Tiles ``[n, h, w, 3]`` row by row on white."""
    columns = min(_positive("columns", columns), len(tiles))
    rows = math.ceil(len(tiles) / columns)
    height, width = tiles.shape[1:3]
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), _PAPER)
    for i, tile in enumerate(tiles):
        sheet.paste(Image.fromarray(tile), ((i % columns) * (width + gap), (i // columns) * (height + gap)))
    return sheet


def _stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    """Images of one size below each other."""
    width, height = sheets[0].size
    out = Image.new("RGB", (width, height * len(sheets)))
    for i, sheet in enumerate(sheets):
        out.paste(sheet, (0, i * height))
    return out


def _tiles(x: Tensor, scale: int | None) -> np.ndarray:
    """Images as bytes ``[n, h, w, 3]``, enlarged."""
    if x.shape[1] not in (1, 3) or 0 in x.shape:
        raise InputError(f"images must be [n, 1 or 3, h, w] with n, h, w > 0, got {list(x.shape)}: select channels")
    if not torch.isfinite(x).all():
        raise InputError("images must be finite, got nan or inf: the chain that made them diverged")
    factor = math.ceil(TILE / min(x.shape[2:])) if scale is None else _positive("scale", scale)
    shown = ((x.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    shown = shown.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(shown.repeat(factor, axis=1).repeat(factor, axis=2))


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise InputError(f"{name} must be 1 or more, got {value}")
    return value


def _array(values: Values) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def _font(size: int) -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path  # it brings a font with Greek letters, the same as the plots'

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _style(i: int) -> dict:
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": _DASHES[i // len(COLOURS) % len(_DASHES)]}


def _plot(x_label: str, y_label: str, title: str, size: tuple[float, float] = (6.4, 3.6)) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # 0.3 s, paid by those who draw
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=144, facecolor=_PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, color=_INK)
    axes.set_xlabel(x_label, fontsize=9.5, color=_INK)
    axes.set_ylabel(y_label, fontsize=9.5, color=_INK)
    axes.grid(True, color="#ececec", lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, labelsize=8.5, length=3, color=_FAINT)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_FAINT)
    return figure, axes


def _logarithmic(axes: Axes) -> None:
    """A logarithmic vertical axis that is labelled in plain numbers, and between powers of ten if there are few."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5) if high > 5 * low else tuple(range(2, 10))))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: number(v)))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda v, _: number(v) if high < 100 * low else ""))
    axes.tick_params(which="minor", colors=_INK, labelsize=8.5, length=2, color=_FAINT)


def _finish(figure: Figure, axes: Axes, path: Path, *, legend: bool) -> None:
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8.5, labelcolor=_INK, markerscale=2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})  # the same numbers give the same bytes
    write_atomic(path, buffer.getvalue())


def _save(sheet: Image.Image, path: Path) -> None:
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    write_atomic(path, buffer.getvalue())
