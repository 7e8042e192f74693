"""Super-resolution: fine images drawn given the means of their blocks, several times."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from absynth.algorithms import Projection
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.tasks.observed import add_completions, completions, nearest
from absynth.tasks.opened import Opened, check_positive, open_run

TITLE = "Super-resolution"
NEEDS = "a model of images without a condition, with a chain"
REPORT = {"n": 10, "samples": 3, "factor": 2}


def coarse(x: Float[Tensor, "b c h w"], factor: int) -> Float[Tensor, "b c hc wc"]:
    """The mean of each block of factor × factor pixels."""
    return nn.functional.avg_pool2d(x, factor)


def blocks(y: Float[Tensor, "b c hc wc"], factor: int) -> Float[Tensor, "b c h w"]:
    """Each pixel repeated over its block."""
    return y.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def with_means(y: Float[Tensor, "b c hc wc"], factor: int) -> Projection:
    """x ↦ the nearest image whose blocks have the means y."""
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
    """Draws of each fine image given its coarse one."""
    y = y.to(opened.device)
    return completions(
        opened, lambda rows: with_means(y[rows], factor), len(y), samples, steps=steps, seed=seed, batch=batch
    )


def command(
    run: Path,
    factor: int = 4,
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
    """Draw fine images that are only known as the means of their blocks, several times.

    Args:
        run: Run directory.
        factor: Side of a block in pixels.
        n: Number of images (the first 10 are shown).
        samples: Draws of each.
        steps: Length of the chains; 0 is as in training.
        input: File or folder of your own images, which are made coarse first. Defaults to the test split.
        seed: Seed of the noise.
        batch: Chains that run at once (memory only; the draws stay the same).
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/super_resolve.
        device: auto, cpu, cuda.
    """
    check_positive(n=n, samples=samples, batch=batch)
    opened = open_run(run, device, task="super_resolve", data=data, out=out)
    opened.require_kind("image")
    opened.require_unconditional()
    x, _ = opened.inputs(input, n)
    height, width = x.shape[2:]
    if factor < 2 or height % factor or width % factor:
        raise InputError(f"--factor must be 2 or more and divide the sides {height}x{width}, got {factor}")
    y = coarse(x, factor)
    draws = super_resolve(opened, y, factor, samples, steps=steps, seed=seed, batch=batch).clamp(-1, 1)
    train = opened.examples("train").all()
    similar = nearest(x, train, lambda v: coarse(v, factor))
    smooth = nn.functional.interpolate(y, size=(height, width), mode="bicubic").clamp(-1, 1)
    text = (
        f"{len(x)} images of {opened.input_name(input)}, known as means of {factor}×{factor} blocks, {samples} draws "
        "of each. PSNR in dB (peak 2, squared errors averaged over all images, higher is better): of one draw, and of "
        "the mean of the draws, which is no sample but nearer on average. The nearest training image is nearest in the "
        "means of the blocks."
    )
    found = opened.result("Super-resolution", text, seed)
    others = {"bicubic": smooth, "repeated means": blocks(y, factor), "nearest training image": similar}
    file = opened.folder / "super_resolution.png"
    add_completions(found, file, x, blocks(y, factor), draws, others, figure="PSNR", shown={"bicubic": smooth})
    return opened.save(found)
