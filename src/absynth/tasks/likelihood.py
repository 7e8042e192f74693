"""Likelihood: log Z from below and from above by annealed importance sampling, log p(x), bits a dimension.

For a density of the data, annealed from N(0, s² I) to p^{1/T}, the law that the run's chains have at their temperature
T. For a latent variable, log p(x) by annealing its posterior. See :mod:`absynth.metrics.likelihood` for what the two
bounds promise; a wide gap says that log p(x) is not known better than that.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.metrics.likelihood import LogZ, bits_per_dimension, dequantize, log_prob_latent, log_z
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import Opened, open_run, result


def command(
    run: Path,
    n: int = 10,
    images: str = "",
    chains: int = 32,
    temperatures: int = 200,
    reference_std: float = 0.0,
    seed: int = 0,
    device: str = "auto",
) -> TaskResult:
    """Estimate log Z and the log likelihood of examples, both from below and from above.

    Args:
        run: directory of a trained run.
        n: how many examples.
        images: your own pictures (folder, .npz, .npy); empty: the recipe's test split.
        chains: annealed chains; for a latent variable as many for each example.
        temperatures: steps of the annealing; more narrow the gap.
        reference_std: of the Gaussian that annealing begins at; 0: that of the examples. Not for latent variables.
        seed: of the noise.
        device: auto, cpu, cuda.
    """
    if min(n, chains, temperatures) < 1 or reference_std < 0:
        raise InputError(f"expected positive numbers, got n={n}, chains={chains}, temperatures={temperatures}")
    opened = open_run(run, device)
    chain = opened.chain()
    if images:
        data = opened.pictures(images)
        x = data.batch(torch.arange(min(n, len(data))))
    else:
        x = opened.recipe.held_out(n)
    x, rng = x.to(opened.device), stream(seed, device=opened.device)
    is_bytes = x.ndim == 4 and hasattr(opened.recipe, "images") and opened.images("test").x.dtype == torch.uint8
    x = dequantize(x, rng=rng) if is_bytes else x
    text = (
        f"Annealed importance sampling, {chains} chains, {temperatures} temperatures, {len(x)} examples that were not "
        "trained on. "
    )
    if opened.is_latent:
        found = _latent(opened, x, chains, temperatures, seed, text, rng)
    else:
        chain.tempered(x[:1])  # a chain that samples no density says so before any annealing
        found = result("likelihood", "Likelihood", seed, text)
        std = reference_std or float(x.square().mean().sqrt())
        reference = StandardNormal(*x.shape[1:], std=std).to(opened.device)
        z = log_z(chain.tempered, reference, chains=chains, temperatures=temperatures, rng=rng)
        if not (math.isfinite(z.lower.value) and math.isfinite(z.upper.value)):
            raise InputError(
                "log Z must be finite, got others: the density may have no finite integral; try more --temperatures"
            )
        with torch.no_grad():
            values = chain.tempered(x).double().cpu() - z.value
        found.text += (
            f"The density is the run's at its temperature, {chain.temperature:g}; annealed from N(0, {std:.3g}² I). "
            "The bound from below holds in expectation; the one from above as far as the forward chains arrived. "
            "log p(x) is that of the middle."
        )
        _log_z(found, z)
        _values(found, values, x)
    if is_bytes:
        found.text += " Pictures are dequantized with uniform noise of one grey level."
    found.save(opened.folder("likelihood"))
    return found


def _latent(
    opened: Opened, x: Tensor, chains: int, temperatures: int, seed: int, text: str, rng: torch.Generator
) -> TaskResult:
    model = opened.latent()
    found = result("likelihood", "Likelihood", seed, text)
    each = log_prob_latent(model.prior, model.generator, x, chains=chains, temperatures=temperatures, rng=rng)
    found.text += (
        "log p(x) of each example by annealing from p_0 to its posterior: below in expectation, but for log Z of the "
        "prior, of which the middle is used."
    )
    _log_z(found, each.log_z)
    _values(found, each.log_prob.double().cpu(), x)
    found.figures["standard error of one log p(x)"] = float(each.error.mean())
    found.figures["effective chains an example"] = float(each.effective.mean())
    return found


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
        "mean log p(x) a dimension": float(log_prob.mean()) / dimensions,
    }
    columns = ["example", "log p(x)"]
    rows = [[str(i), float(v)] for i, v in enumerate(log_prob[:20])]
    if x.ndim == 4:
        bits = bits_per_dimension(log_prob, dimensions)
        found.figures["bits per dimension"] = float(bits.mean())
        columns, rows = [*columns, "bits per dimension"], [[*row, float(b)] for row, b in zip(rows, bits)]
    found.tables.append({"caption": f"The first {len(rows)} examples", "columns": columns, "rows": rows})
