"""Inpainting: the missing part of a picture drawn given the rest, several times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from absynth.density import restrict
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.tasks.levels import Fill
from absynth.tasks.observed import asked, completions, nearest, told
from absynth.tasks.opened import Opened, result


def box_hole(box: list[int], height: int, width: int) -> Bool[Tensor, "1 h w"]:
    """True inside the box (left, top, width, height), in pixels."""
    if len(box) != 4:
        raise InputError(f"--box takes x,y,width,height, got {box}: for instance --box [7,7,14,14]")
    left, top, w, h = box
    if min(left, top) < 0 or min(w, h) < 1 or left + w > width or top + h > height:
        raise InputError(f"--box {box} (x,y,width,height) must lie within pictures of {width}x{height}")
    hole = torch.zeros(1, height, width, dtype=torch.bool)
    hole[:, top : top + h, left : left + w] = True
    return hole


def painted_hole(path: Path, height: int, width: int) -> Bool[Tensor, "1 h w"]:
    """True where a picture was painted: where it is opaque if it has transparent parts, else where it is bright.

    Another size is brought to the pictures' own by nearest neighbour.
    """
    try:
        with Image.open(path) as file:
            picture = file.convert("RGBA").resize((width, height), Image.Resampling.NEAREST)
    except OSError as error:
        raise InputError(f"--mask must be a picture, got {path}: {' '.join(str(error).split())[:100]}") from error
    colours = torch.from_numpy(np.array(picture)).float()
    alpha = colours[..., 3]
    hole = alpha > 127 if bool((alpha < 255).any()) else colours[..., :3].mean(-1) > 127
    if not hole.any() or hole.all():
        what = "nothing" if not hole.any() else "all"
        raise InputError(f"--mask {path} paints {what} of the picture: paint the hole white, or on transparent ground")
    return hole[None]


def inpaint(
    opened: Opened,
    x: Float[Tensor, "n c h w"],
    hole: Bool[Tensor, "1 h w"],
    samples: int,
    *,
    steps: int = 0,
    seed: int,
    batch: int = 250,
) -> Float[Tensor, "samples n c h w"]:
    """Draws of each picture given what lies outside the hole; what lies inside is never looked at."""
    known = (~hole).to(opened.device)
    seen = torch.where(hole, 0.0, x).to(opened.device)

    def fill(rows: slice) -> Fill:
        return restrict(lambda v: v.new_zeros(len(v)), known, seen[rows]).fill

    return completions(opened, fill, len(x), samples, steps=steps, seed=seed, batch=batch)


def beside(x: Tensor, hole: Bool[Tensor, "1 h w"], train: Tensor) -> dict[str, Float[Tensor, "n c h w"]]:
    """What a real model must beat: the mean training picture in the hole, and the nearest training picture's hole."""

    def see(v: Tensor) -> Tensor:
        return v.flatten(2)[:, :, ~hole.flatten()]

    others = {"mean fill": train.mean(0), "nearest training picture": nearest(x, train, see)}
    return {name: torch.where(hole, other, x) for name, other in others.items()}


def command(
    run: Path,
    box: list[int] | None = None,
    mask: str = "",
    images: str = "",
    n: int = 100,
    samples: int = 4,
    steps: int = 0,
    seed: int = 0,
    batch: int = 250,
    device: str = "auto",
) -> TaskResult:
    """Fill a hole in pictures, several times, with the error inside it and the spread of the fills.

    Args:
        run: directory of a trained run.
        box: the hole as [x,y,width,height] in pixels; without --box and --mask the central quarter.
        mask: the hole as a picture, painted white or on transparent ground.
        images: your own pictures (folder, .npz, .npy); empty: the recipe's test split.
        n: how many pictures (the first 10 are shown).
        samples: fills of each.
        steps: length of the chains; 0 is as in the run.
        seed: of the noise.
        batch: chains that run at once (memory only; the fills stay the same).
        device: auto, cpu, cuda.
    """
    if box and mask:
        raise InputError(f"the hole is given by --box or by --mask, got both {box} and {mask}: leave one out")
    opened, data, x = asked(run, images, n, samples, batch, device)
    height, width = x.shape[2:]
    if mask:
        hole = painted_hole(Path(mask), height, width)
    else:
        hole = box_hole(box or [width // 4, height // 4, width // 2, height // 2], height, width)
    draws = inpaint(opened, x, hole, samples, steps=steps, seed=seed, batch=batch).clamp(-1, 1)
    others = beside(x, hole, opened.images("train").all())
    folder = opened.folder("inpaint")
    text = (
        f"{len(x)} pictures of {data.name} that were not trained on, {int(hole.sum())} of {hole.numel()} pixels "
        f"missing, {samples} fills of each. PSNR inside the hole, in dB (peak 2, squared errors averaged over all "
        "pictures, higher is better): of one fill, and of the mean of the fills, which is no sample but nearer on "
        "average. Spread is the standard deviation of a pixel over the fills. Mean fill is the mean training picture; "
        "the nearest training picture is nearest in the pixels outside the hole."
    )
    found = result("inpaint", "Inpainting", seed, text)
    told(
        found, folder / "inpainting.png", x, torch.where(hole, 0.0, x), draws, others, word="fill",
        figure="PSNR in the hole", where=hole,
    )  # fmt: skip
    found.save(folder)
    return found
