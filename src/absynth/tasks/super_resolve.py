"""Super-resolution: fine images and shapes drawn given the means of their blocks, several times."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from absynth.algorithms import Projection
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.samplers.multiscale import coarsen, refine
from absynth.tasks.observed import WORDS, add_completions, completions, nearest
from absynth.tasks.opened import Opened, check_positive, open_run

TITLE = "Super-resolution"
NEEDS = "a model of images or voxels without a condition, with a chain"
REPORT = {"n": 10, "samples": 3, "factor": 2}


def coarse(x: Float[Tensor, "b c *sides"], factor: int) -> Float[Tensor, "b c *coarse"]:
    """The mean of each block of ``factor`` pixels or voxels per side."""
    return coarsen(x, x.shape[-1] // factor)


def blocks(y: Float[Tensor, "b c *coarse"], factor: int) -> Float[Tensor, "b c *sides"]:
    """Each pixel repeated over its block."""
    return refine(y, y.shape[-1] * factor)


def with_means(y: Float[Tensor, "b c *coarse"], factor: int) -> Projection:
    """x ↦ the nearest example whose blocks have the means y."""
    return lambda x: x + blocks(y - coarse(x, factor), factor)


def super_resolve(
    opened: Opened,
    y: Float[Tensor, "n c *coarse"],
    factor: int,
    samples: int,
    *,
    steps: int = 0,
    seed: int,
    batch: int = 250,
) -> Float[Tensor, "samples n c *sides"]:
    """Draws of each fine example given its coarse one."""
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
    """Draw fine images or shapes that are only known as the means of their blocks, several times.

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
    opened.require_kind("image", "voxels")
    opened.require_unconditional()
    x, _ = opened.inputs(input, n)
    sides = x.shape[2:]
    if factor < 2 or any(side % factor for side in sides):
        raise InputError(f"--factor must be 2 or more and divide the sides {'x'.join(map(str, sides))}, got {factor}")
    y = coarse(x, factor)
    draws = super_resolve(opened, y, factor, samples, steps=steps, seed=seed, batch=batch).clamp(-1, 1)
    train = opened.examples("train").all()
    similar = nearest(x, train, lambda v: coarse(v, factor))
    mode = "bicubic" if len(sides) == 2 else "trilinear"
    smooth = nn.functional.interpolate(y, size=sides, mode=mode).clamp(-1, 1)
    text = (
        f"{len(x)} {opened.data.unit} of {opened.input_name(input)}, known as means of blocks of side {factor}, "
        f"{samples} draws of each. PSNR in dB (peak 2, squared errors averaged over all images, higher is better): of "
        "one draw, and of the mean of the draws, which is no sample but nearer on average. The nearest training "
        "example is nearest in the means of the blocks."
    )
    found = opened.result("Super-resolution", text, seed)
    others = {mode: smooth, "repeated means": blocks(y, factor), f"nearest training {WORDS[opened.data.kind]}": similar}
    file = opened.folder / "super_resolution.png"
    add_completions(opened, found, file, x, blocks(y, factor), draws, others, figure="PSNR", shown={mode: smooth})
    return opened.save(found)
