"""Pictures of tracks over their scene: the past, the predictions, and what happened."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from jaxtyping import Float64
from torch import Tensor

from absynth.data.tracks import Windows
from absynth.files import write_atomic
from absynth.pictures import COLOURS

PANELS = 4
"""Moments in a picture, at most."""
AGENTS = 12
"""Agents in a panel, at most: more would hide each other."""


def draw(file: Path, windows: Windows, paths: Float64[Tensor, "k n steps 2"]) -> None:
    """Up to four moments, each with all agents that were followed at it, over everywhere that agents walked.

    The moments with most agents are chosen, no two of them so near that they show the same paths.

    Args:
        file: where the picture goes, .png.
        windows: the pasts, and the futures where they are known.
        paths: k predictions of each.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # 0.3 s, paid by those who draw
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    moments = busiest(windows)
    columns = 1 if len(moments) == 1 else 2
    rows = -(-len(moments) // columns)
    figure = Figure(figsize=(5.4 * columns, 4.6 * rows), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (recording, frame) in zip(all_axes, moments):
        here = windows.recording == recording
        walked = windows.past[here].flatten(0, 1)
        axes.scatter(walked[:, 0], walked[:, 1], s=2, color="#d9dde2", lw=0, zorder=1)
        agents = (here & (windows.frame == frame)).nonzero().squeeze(1)[:AGENTS]
        for i in agents.tolist():
            past, future = windows.past[i], windows.future[i]
            for path in paths[:, i]:
                line = torch.cat([past[-1:], path])
                axes.plot(line[:, 0], line[:, 1], color=COLOURS[0], lw=0.9, alpha=0.35, zorder=2)
            future = torch.cat([past[-1:], future])
            axes.plot(future[:, 0], future[:, 1], color=COLOURS[1], lw=1.8, zorder=3)
            axes.plot(past[:, 0], past[:, 1], color="#24292f", lw=1.8, marker=".", ms=3, zorder=4)
        _frame(axes, windows, paths, agents)
        axes.set_title(f"recording {recording}, frame {frame}: {len(agents)} agents", loc="left", fontsize=9)
    for axes in all_axes[len(moments) :]:
        axes.set_axis_off()
    names = {
        "past": "#24292f",
        "prediction" if len(paths) == 1 else f"{len(paths)} predictions": COLOURS[0],
        "what happened": COLOURS[1],
    }
    handles = [Line2D([], [], color=colour, lw=1.8, label=name) for name, colour in names.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomic(file, buffer.getvalue())


def busiest(windows: Windows, count: int = PANELS) -> list[tuple[int, int]]:
    """``(recording, frame)`` of the moments with most agents, the most first, apart from each other in time."""
    keys, numbers = torch.stack([windows.recording, windows.frame], 1).unique(dim=0, return_counts=True)
    order = numbers.argsort(descending=True, stable=True)
    span = {int(r): _span(windows.frame[windows.recording == r]) for r in windows.recording.unique()}
    chosen: list[tuple[int, int]] = []
    for recording, frame in keys[order].tolist():
        if all(r != recording or abs(f - frame) >= span[recording] for r, f in chosen):
            chosen.append((recording, frame))
        if len(chosen) == count:
            break
    return chosen


def _span(frames: Tensor) -> int:
    """A twentieth of a recording, in its frames."""
    return int(frames.max() - frames.min()) // 20 + 1


def _frame(axes, windows: Windows, paths: Tensor, agents: Tensor) -> None:
    """Both axes alike, over what is drawn of these agents, with a margin."""
    drawn = torch.cat([windows.past[agents].flatten(0, 1), windows.future[agents].flatten(0, 1),
                       paths[:, agents].flatten(0, 2)])  # fmt: skip
    drawn = drawn[drawn.isfinite().all(1)]
    low, high = drawn.amin(0), drawn.amax(0)
    half = 0.55 * float((high - low).max()) + 1e-6
    middle = (low + high) / 2
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half), aspect="equal")
    axes.tick_params(labelsize=8, length=3)
