"""Inpainting: the missing part of an image, a clip or a shape drawn given the rest, several times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from absynth.algorithms import Projection
from absynth.data.hidden import hidden, through_time
from absynth.density import restrict
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.observed import WORDS, add_completions, completions, nearest
from absynth.tasks.opened import Opened, check_positive, open_run

TITLE = "Inpainting"
NEEDS = "a model of images, video or voxels without a condition, with a chain"
REPORT = {"n": 10, "samples": 3}

Hide = Literal["box", "block", "frames", "pixels"]
HOLE = int.from_bytes(b"hole", "big")
"""Separates the choice of what is hidden from the noise of the draws."""


def box_hole(box: list[int], height: int, width: int) -> Bool[Tensor, "1 h w"]:
    """True inside the box (left, top, width, height), in pixels."""
    if len(box) != 4:
        raise InputError(f"--box takes x,y,width,height, got {box}: for instance --box [7,7,14,14]")
    left, top, w, h = box
    if min(left, top) < 0 or min(w, h) < 1 or left + w > width or top + h > height:
        raise InputError(f"--box {box} (x,y,width,height) must lie within images of {width}x{height}")
    hole = torch.zeros(1, height, width, dtype=torch.bool)
    hole[:, top : top + h, left : left + w] = True
    return hole


def painted_hole(path: Path, height: int, width: int) -> Bool[Tensor, "1 h w"]:
    """True where an image was painted: where it is opaque if it has transparent parts, else where it is bright.

    Another size is resized to that of the images by nearest neighbour.
    """
    try:
        with Image.open(path) as file:
            picture = file.convert("RGBA").resize((width, height), Image.Resampling.NEAREST)
    except OSError as error:
        raise InputError(f"--mask must be an image file, got {path}: {' '.join(str(error).split())[:100]}") from error
    colours = torch.from_numpy(np.array(picture)).float()
    alpha = colours[..., 3]
    hole = alpha > 127 if bool((alpha < 255).any()) else colours[..., :3].mean(-1) > 127
    if not hole.any() or hole.all():
        what = "nothing" if not hole.any() else "all"
        raise InputError(f"--mask {path} paints {what} of the image: paint the hole white, or on transparent ground")
    return hole[None]


def find_hole(kind: str, sides: Sequence[int], box: list[int] | None, mask: str, hide: Hide, share: float, seed: int):
    """True where examples are hidden, ``[1, *sides]``: a painted mask, a box of every frame, or what ``hide`` says."""
    *_, height, width = sides
    if mask or box or hide == "box":
        if kind == "voxels":
            raise InputError("--box and --mask are for images and video, got voxels: give --hide block or pixels")
        flat = (
            painted_hole(Path(mask), height, width)
            if mask
            else box_hole(box or [width // 4, height // 4, width // 2, height // 2], height, width)
        )
        return flat.expand(1, *sides) if len(sides) == 2 else flat[:, None].expand(1, *sides)
    if kind == "image":
        raise InputError(f"--hide {hide} is for video and voxels, got images: give --box or --mask")
    return hidden(sides, hide, share, rng=stream(seed, 0, 0, HOLE), whole=kind == "voxels")


def inpaint(
    opened: Opened,
    x: Float[Tensor, "n c *sides"],
    hole: Bool[Tensor, "1 *sides"],
    samples: int,
    *,
    steps: int = 0,
    seed: int,
    batch: int = 250,
) -> Float[Tensor, "samples n c *sides"]:
    """Draws of each example given what lies outside the hole; what lies inside is never used."""
    known = (~hole).to(opened.device)
    seen = torch.where(hole, 0.0, x).to(opened.device)

    def project(rows: slice) -> Projection:
        return restrict(lambda v: v.new_zeros(len(v)), known, seen[rows]).fill

    return completions(opened, project, len(x), samples, steps=steps, seed=seed, batch=batch)


def compute_baselines(
    x: Tensor, hole: Bool[Tensor, "1 *sides"], train: Tensor, kind: str = "image"
) -> dict[str, Tensor]:
    """The mean training example in the hole, the nearest one's hole, and of clips interpolation through time."""

    def see(v: Tensor) -> Tensor:
        return v.flatten(2)[:, :, ~hole.flatten()]

    what = WORDS[kind]
    others = {f"mean training {what}": train.mean(0), f"nearest training {what}": nearest(x, train, see)}
    found = {name: torch.where(hole, other, x) for name, other in others.items()}
    return found | ({"interpolation in time": through_time(x, hole)} if kind == "video" else {})


def command(
    run: Path,
    box: list[int] | None = None,
    mask: str = "",
    hide: Hide = "box",
    share: float = 0.5,
    n: int = 100,
    samples: int = 4,
    steps: int = 0,
    input: str = "",
    seed: int = 0,
    batch: int = 250,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Fill a hole in images, clips or shapes, several times, with the error inside it and the spread of the draws.

    Args:
        run: Run directory.
        box: The hole as [x,y,width,height] in pixels. Without --box and --mask it is the central quarter.
        mask: The hole as an image file, painted white or on transparent ground.
        hide: What is hidden of clips and shapes: a box of every frame, a block in the middle of every frame (the end of
            a volume), whole frames, or single pixels.
        share: Share that is hidden, with --hide block, frames or pixels.
        n: Number of images (the first 10 are shown).
        samples: Draws of each.
        steps: Length of the chains; 0 is as in training.
        input: File or folder of your own images. Defaults to the test split.
        seed: Seed of the noise.
        batch: Chains that run at once (memory only; the draws stay the same).
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/inpaint.
        device: auto, cpu, cuda.
    """
    if box and mask:
        raise InputError(f"the hole is given by --box or by --mask, got both {box} and {mask}: leave one out")
    check_positive(n=n, samples=samples, batch=batch)
    opened = open_run(run, device, task="inpaint", data=data, out=out)
    opened.require_kind("image", "video", "voxels")
    opened.require_unconditional()
    x, _ = opened.inputs(input, n)
    kind = opened.data.kind
    hole = find_hole(kind, x.shape[2:], box, mask, "block" if (kind, hide) == ("voxels", "box") else hide, share, seed)
    draws = inpaint(opened, x, hole, samples, steps=steps, seed=seed, batch=batch).clamp(-1, 1)
    others = compute_baselines(x, hole, opened.examples("train").all(), kind)
    text = (
        f"{len(x)} {opened.data.unit} of {opened.input_name(input)}, {int(hole.sum())} of {hole.numel()} pixels "
        f"missing, {samples} "
        "draws of each. PSNR inside the hole, in dB (peak 2, squared errors averaged over all images, higher is "
        "better): of one draw, and of the mean of the draws, which is no sample but nearer on average. Spread is the "
        "standard deviation of a pixel over the draws. The nearest training example is nearest outside the hole."
    )
    found = opened.result("Inpainting", text, seed)
    file, seen = opened.folder / "inpainting.png", torch.where(hole, 0.0, x)
    add_completions(opened, found, file, x, seen, draws, others, figure="PSNR in the hole", where=hole)
    return opened.save(found)
