"""Super-resolution: fine pictures drawn given the means of their blocks, several times."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.tasks.levels import Fill
from absynth.tasks.observed import asked, completions, nearest, told
from absynth.tasks.opened import Opened, result


def coarse(x: Float[Tensor, "b c h w"], factor: int) -> Float[Tensor, "b c hc wc"]:
    """The mean of each block of factor × factor pixels."""
    return nn.functional.avg_pool2d(x, factor)


def blocks(y: Float[Tensor, "b c hc wc"], factor: int) -> Float[Tensor, "b c h w"]:
    """Each pixel repeated over its block."""
    return y.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def with_means(y: Float[Tensor, "b c hc wc"], factor: int) -> Fill:
    """x ↦ the nearest picture whose blocks have the means y."""
    return lambda x: x + blocks(y - coarse(x, factor), factor)


def super_resolve(
    opened: Opened,
    y: Float[Tensor, "n c hc wc"],
    factor: int,
    samples: int,
    *,
    steps: int = 0,
    seed: int,
    batch: int = 250,
) -> Float[Tensor, "samples n c h w"]:
    """Draws of each fine picture given its coarse one."""
    y = y.to(opened.device)
    return completions(
        opened, lambda rows: with_means(y[rows], factor), len(y), samples, steps=steps, seed=seed, batch=batch
    )


def command(
    run: Path,
    factor: int = 4,
    images: str = "",
    n: int = 100,
    samples: int = 4,
    steps: int = 0,
    seed: int = 0,
    batch: int = 250,
    device: str = "auto",
) -> TaskResult:
    """Make pictures fine that are only known as the means of their blocks, several times.

    Args:
        run: directory of a trained run.
        factor: side of a block in pixels.
        images: your own pictures (folder, .npz, .npy), which are made coarse first; empty: the recipe's test split.
        n: how many pictures (the first 10 are shown).
        samples: draws of each.
        steps: length of the chains; 0 is as in the run.
        seed: of the noise.
        batch: chains that run at once (memory only; the draws stay the same).
        device: auto, cpu, cuda.
    """
    opened, data, x = asked(run, images, n, samples, batch, device)
    height, width = x.shape[2:]
    if factor < 2 or height % factor or width % factor:
        raise InputError(f"--factor must be 2 or more and divide the sides {height}x{width}, got {factor}")
    y = coarse(x, factor)
    draws = super_resolve(opened, y, factor, samples, steps=steps, seed=seed, batch=batch).clamp(-1, 1)
    train = opened.images("train").all()
    similar = nearest(x, train, lambda v: coarse(v, factor))
    smooth = nn.functional.interpolate(y, size=(height, width), mode="bicubic").clamp(-1, 1)
    folder = opened.folder("super_resolve")
    text = (
        f"{len(x)} pictures of {data.name} that were not trained on, known as means of {factor}×{factor} blocks, "
        f"{samples} draws of each. PSNR in dB (peak 2, squared errors averaged over all pictures, higher is better): "
        "of one draw, and of the mean of the draws, which is no sample but nearer on average. The nearest training "
        "picture is nearest in the means of the blocks."
    )
    found = result("super_resolve", "Super-resolution", seed, text)
    others = {"bicubic": smooth, "repeated means": blocks(y, factor), "nearest training picture": similar}
    told(
        found, folder / "super_resolution.png", x, blocks(y, factor), draws, others, word="draw", figure="PSNR",
        shown={"bicubic": smooth},
    )  # fmt: skip
    found.save(folder)
    return found
