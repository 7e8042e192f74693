"""A composed, painted or small image, redrawn with the patches of the image that a model was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from absynth import pictures
from absynth.errors import InputError
from absynth.networks.canvas import resized
from absynth.report import TaskResult
from absynth.seeding import Streams
from absynth.tasks.opened import check_positive, open_run

TITLE = "Redrawn image"
NEEDS = "a pyramid of patch energies on one image (patchwise)"
REPORT: dict | None = None


def command(
    run: Path,
    input: str = "",
    mask: str = "",
    scale: int = -1,
    enlarge: float = 0.0,
    n: int = 2,
    seed: int = 0,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Harmonize, edit or paint to image (--input), or enlarge the trained image itself (--enlarge 2).

    Args:
        run: Run directory.
        input: Your composed or painted image; it is resized as the trained image was.
        mask: An image that is white where the input may change; elsewhere the input is kept.
        scale: Scale of the pyramid to begin at, 0 the coarsest: what is coarser stays. Defaults to the middle one.
        enlarge: Factor of the sides for super-resolution of the trained image; 0 leaves it out.
        n: Number of draws.
        seed: Seed of the noise.
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/redraw.
        device: auto, cpu, cuda.
    """
    check_positive(n=n)
    if bool(input) == bool(enlarge):
        raise InputError("expected --input IMAGE or --enlarge FACTOR, and one of them: give an image to redraw")
    if mask and not input:
        raise InputError("expected --mask with --input, got it with --enlarge: leave --mask out")
    opened = open_run(run, device, task="redraw", data=data, out=out)
    opened.require_kind("picture")
    model, pixels = opened.model, opened.data
    rng = Streams(seed, range(n), device=opened.device)
    if enlarge:
        with torch.no_grad():
            x = model.enlarge(enlarge, n, rng=rng).cpu()
        source = opened.model.get_buffer("image")[None].cpu()
        shown = {"the trained image": source, "bicubic": resized(source, x.shape[2:]), "enlarged": x[:1]}
        text = f"The trained image, enlarged {enlarge:g} times: reduced to its size, each of {n} draws is the image."
    else:
        y = pixels.parse(Path(input).expanduser()).to(opened.device)
        x = model.redraw(y.expand(n, *y.shape[1:]), scale, rng=rng)
        if mask:
            where = _mask(pixels.parse(Path(mask).expanduser()), y)
            x = where * x + (1 - where) * y
        x, shown = x.cpu(), {"input": y.cpu(), "redrawn": x[:1].cpu()}
        begun = "the middle scale" if scale < 0 else f"scale {scale}"
        text = f"{n} draws that begin at the input at {begun} of the pyramid and run through the finer ones."
    np.savez_compressed(opened.folder / "redrawn.npz", x=x.numpy())
    pictures.grid(x, opened.folder / "redrawn.png", columns=min(n, 4), scale=1)
    found = opened.result(TITLE, text, seed)
    found.add(opened.data.compare(shown, opened.folder / "comparison.png"))
    found.pictures.append({"file": "redrawn.png", "caption": f"{n} draws"})
    found.figures["draws"] = n
    return opened.save(found)


def _mask(x: Tensor, y: Tensor) -> Tensor:
    """1 where a mask is white, of the size of y."""
    if x.shape[2:] != y.shape[2:]:
        raise InputError(
            f"expected a mask of the input's proportions, got {tuple(x.shape[2:])} for {tuple(y.shape[2:])}"
        )
    return (x.mean(1, keepdim=True).to(y) > 0).to(y.dtype)
