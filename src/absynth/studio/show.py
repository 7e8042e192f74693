"""What the page shows, as HTML: examples with alternative text, curves and tracks as SVG, tables.

Colours of text and lines follow the page, so the same HTML serves light and dark pages.
"""

from __future__ import annotations

import base64
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.data.dataset import Dataset
from absynth.pictures import COLOURS
from absynth.report import html
from absynth.results import number

Curve = tuple[Sequence, Sequence]
"""Numbers along both axes."""

_WIDTH, _HEIGHT = 420, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 26, 34


def picture(data: bytes, alt: str, kind: str = "png") -> str:
    """An image in the page itself, with its caption."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    said = html.escape(alt)
    return f'<figure class="studio-picture"><img src="{source}" alt="{said}"><figcaption>{said}</figcaption></figure>'


def examples(data: Dataset, x: Tensor, caption: str, *, columns: int = 4, size: int = 0) -> str:
    """Examples as their data set shows them.

    Args:
        data: The data set.
        x: Examples ``[n, *event]``.
        caption: What they are.
        columns: Images in a row.
        size: Pixels of an image's side; 0 is at least 96.
    """
    if data.kind == "image":
        scale = max(1, -(-(size or 96) // min(x.shape[2:])))
        return picture(pictures.png(x, columns=columns, scale=scale), caption)
    with tempfile.TemporaryDirectory() as place:
        parts = []
        for shown in data.show(x, Path(place) / "examples.png", columns=columns):
            if "file" in shown:
                parts.append(html.image(Path(place) / shown["file"], f"{caption}: {shown['caption']}"))
            else:
                parts.append(html.table(f"{caption}: {shown['caption']}", shown["columns"], shown["rows"]))
        return "".join(parts) or f"<p>{html.escape(caption)}: nothing to show</p>"


def numbered(x: Float[Tensor, "n c h w"]) -> str:
    """Images with their numbers, from 1."""
    scale = max(1, -(-56 // min(x.shape[2:])))
    cells = []
    for i, each in enumerate(x, 1):
        source = base64.b64encode(pictures.png(each[None], scale=scale)).decode("ascii")
        cells.append(
            f'<figure><img src="data:image/png;base64,{source}" alt="Image {i}"><figcaption>{i}</figcaption></figure>'
        )
    return f'<div class="studio-numbered" role="group" aria-label="Images to choose from">{"".join(cells)}</div>'


def message(text: str, *, error: bool = False) -> str:
    """One line about what happened; screen readers speak it."""
    kind = "studio-error" if error else "studio-note"
    return f'<p class="{kind}" role="{"alert" if error else "status"}">{html.escape(" ".join(text.split()))}</p>'


def curves(
    title: str,
    series: Mapping[str, Curve],
    x_label: str = "step",
    band: tuple[Sequence, Sequence, Sequence] | None = None,
) -> str:
    """Lines over one axis as SVG; points that are not finite leave a gap.

    Args:
        title: What is shown, above the lines and as alternative text.
        series: Name -> values along both axes.
        x_label: Below the axis.
        band: Values along the axis, lower and upper ends of a band around the first line.
    """
    drawn = {name: _finite(*curve) for name, curve in series.items()}
    drawn = {name: points for name, points in drawn.items() if points}
    if not drawn:
        return f'<p class="studio-note">{html.escape(title)}: nothing to show yet</p>'
    low, high = ([], []) if band is None else (_finite(band[0], ends) for ends in band[1:])
    area = [*low, *high]
    every = [point for points in drawn.values() for point in points] + area
    low_x, high_x = min(x for x, _ in every), max(x for x, _ in every)
    low_y, high_y = min(y for _, y in every), max(y for _, y in every)
    wide, tall = high_x - low_x or 1.0, high_y - low_y or abs(high_y) or 1.0

    def place(x: float, y: float) -> str:
        across = _LEFT + (x - low_x) / wide * (_WIDTH - _LEFT - _RIGHT)
        return f"{across:.1f},{_HEIGHT - _BOTTOM - (y - low_y) / tall * (_HEIGHT - _TOP - _BOTTOM):.1f}"

    parts = []
    if area:
        outline = " ".join(place(*point) for point in [*low, *reversed(high)])
        parts.append(f'<polygon points="{outline}" fill="{COLOURS[0]}" opacity=".22"/>')
    for i, points in enumerate(drawn.values()):
        colour = COLOURS[i % len(COLOURS)]
        line = " ".join(place(x, y) for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(points) == 1:
            x, y = place(*points[0]).split(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts.append(
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="currentColor" opacity=".45"/>'
        f'<text x="{_LEFT - 6}" y="{_TOP + 4}" text-anchor="end">{number(high_y)}</text>'
        f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">{number(low_y)}</text>'
        f'<text x="{_LEFT}" y="{bottom + 15}">{number(low_x)}</text>'
        f'<text x="{right}" y="{bottom + 15}" text-anchor="end">{number(high_x)}</text>'
        f'<text x="{(_LEFT + right) / 2}" y="{bottom + 15}" text-anchor="middle">{html.escape(x_label)}</text>'
    )
    last = {name: points[-1][1] for name, points in drawn.items()}
    said = f"{title}: " + ", ".join(f"{name} {number(value)}" for name, value in last.items())
    legend = "".join(
        f'<span style="--hue:{COLOURS[i % len(COLOURS)]}">{html.escape(name)} <b>{number(value)}</b></span>'
        for i, (name, value) in enumerate(last.items())
    )
    return (
        f'<figure class="studio-curves"><figcaption>{html.escape(title)}</figcaption>'
        f'<svg viewBox="0 {_TOP - 14} {_WIDTH} {_HEIGHT - _TOP + 8}" role="img" aria-label="{html.escape(said)}">'
        f'{"".join(parts)}</svg><div class="studio-legend">{legend}</div></figure>'
    )


def _finite(xs: Sequence, ys: Sequence) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(xs, ys) if math.isfinite(x) and math.isfinite(y)]
