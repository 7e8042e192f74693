"""Likelihood: lower and upper bounds of log Z by annealed importance sampling, log p(x), bits per dimension.

A density of the data is annealed from N(0, s² I) to p^{1/T}, the distribution of chains at the run's temperature T.
With a latent variable, log p(x) is found by annealing its posterior. See :mod:`absynth.metrics.likelihood` for what the
two bounds promise; a wide gap says that log p(x) is not known better than that.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from absynth.algorithms import Chain
from absynth.distributions import StandardNormal
from absynth.errors import InputError, Unsupported
from absynth.metrics.likelihood import LogZ, bits_per_dimension, dequantize, log_prob_latent, log_z
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import Opened, check_positive, open_run

TITLE = "Likelihood"
NEEDS = "a density of the data sampled with noise, or a latent variable"
REPORT = None


def command(
    run: Path,
    n: int = 10,
    chains: int = 32,
    temperatures: int = 200,
    reference_std: float = 0.0,
    input: str = "",
    seed: int = 0,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Estimate log Z and the log-likelihood of examples, as lower and upper bounds.

    Args:
        run: Run directory.
        n: Number of examples.
        chains: Number of annealed chains; with a latent variable as many for each example.
        temperatures: Steps of the annealing; more narrow the gap.
        reference_std: Standard deviation of the Gaussian that annealing starts from; 0 is that of the examples. Not for
            latent variables.
        input: File or folder of your own examples. Defaults to the test split.
        seed: Seed of the noise.
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/likelihood.
        device: auto, cpu, cuda.
    """
    check_positive(n=n, chains=chains, temperatures=temperatures)
    if reference_std < 0:
        raise InputError(f"--reference-std must be at least 0, got {reference_std:g}")
    opened = open_run(run, device, task="likelihood", data=data, out=out)
    chain = find_density(opened)
    x, rng = opened.inputs(input, n)[0].to(opened.device), stream(seed, device=opened.device)
    from_bytes = bool(opened.data.details().get("bytes"))
    x = dequantize(x, rng=rng) if from_bytes else x
    text = (
        f"Annealed importance sampling, {chains} chains, {temperatures} temperatures, {len(x)} examples of "
        f"{opened.input_name(input)}. "
    )
    found = opened.result(TITLE, text, seed)
    if chain is None:
        _latent(opened, found, x, chains, temperatures, rng)
    else:
        _density(chain, found, x, chains, temperatures, reference_std, rng)
    if from_bytes:
        found.text += " Images are dequantized with uniform noise of one grey level."
    return opened.save(found)


def find_density(opened: Opened) -> Chain | None:
    """The chain on a density of the data; None for a latent variable model, whose posterior is annealed.

    Raises:
        Unsupported: The model has neither, or its chain samples no density.
    """
    opened.require_unconditional()
    try:
        chain = opened.model.chain()
    except Unsupported:
        opened.model.latent_density()
        return None
    if chain.latent:
        return None
    if not chain.temperature:
        raise Unsupported(f"{chain.sampler!r} ends without noise and samples no density: choose another run")
    return chain


def _density(
    chain: Chain, found: TaskResult, x: Tensor, chains: int, temperatures: int, std: float, rng: torch.Generator
) -> None:
    std = std or float(x.square().mean().sqrt())
    reference = StandardNormal(*x.shape[1:], std=std).to(x)
    z = log_z(chain.tempered, reference, chains=chains, temperatures=temperatures, rng=rng)
    if not (math.isfinite(z.lower.value) and math.isfinite(z.upper.value)):
        raise InputError(
            "the estimate of log Z is not finite: the density may have no integral; try more --temperatures"
        )
    with torch.no_grad():
        values = chain.tempered(x).double().cpu() - z.value
    found.text += (
        f"The density is the run's at its temperature, {chain.temperature:g}; annealed from N(0, {std:.3g}² I). The "
        "lower bound holds in expectation; the upper one as far as the forward chains arrived. log p(x) uses the "
        "middle."
    )
    _log_z(found, z)
    _values(found, values, x)


def _latent(opened: Opened, found: TaskResult, x: Tensor, chains: int, temperatures: int, rng: torch.Generator) -> None:
    model = opened.model
    each = log_prob_latent(
        model.latent_density, model.likelihood, x, chains=chains, temperatures=temperatures, rng=rng
    )  # fmt: skip
    found.text += (
        "log p(x) of each example by annealing from p_0 to its posterior: a lower bound in expectation, but for log Z "
        "of the prior, of which the middle is used."
    )
    _log_z(found, each.log_z)
    _values(found, each.log_prob.double().cpu(), x)
    found.figures["standard error of one log p(x)"] = float(each.error.mean())
    found.figures["effective chains per example"] = float(each.effective.mean())


def _log_z(found: TaskResult, z: LogZ) -> None:
    found.figures |= {
        "log Z, lower": z.lower.value,
        "log Z, upper": z.upper.value,
        "log Z, gap": z.gap,
        "effective chains, lower": z.lower.effective,
        "effective chains, upper": z.upper.effective,
    }


def _values(found: TaskResult, log_prob: Tensor, x: Tensor) -> None:
    dimensions = x[0].numel()
    found.figures |= {
        "mean log p(x)": float(log_prob.mean()),
        "mean log p(x) per dimension": float(log_prob.mean()) / dimensions,
    }
    columns = ["example", "log p(x)"]
    rows = [[str(i), float(v)] for i, v in enumerate(log_prob[:20])]
    if x.ndim == 4:
        bits = bits_per_dimension(log_prob, dimensions)
        found.figures["bits per dimension"] = float(bits.mean())
        columns, rows = [*columns, "bits per dimension"], [[*row, float(b)] for row, b in zip(rows, bits)]
    found.tables.append({"caption": f"The first {len(rows)} examples", "columns": columns, "rows": rows})
