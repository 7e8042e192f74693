"""Guided sampling of molecules: an observation of a property is added to the prior.

    log p(z | y) = log p_α(z) + log N(y; h(z), s²) + const                              (1)

h is a small network that predicts a property of the molecule from z. It is fitted to posterior draws of training
molecules when the task runs, and s is its error on those it was not fitted to: the model itself stays as it was
trained. (Pang, Han, Wu 2020, arXiv:2010.09351, learn such a head jointly, for one property.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth import pictures
from absynth.algorithms import Algorithm, Chain
from absynth.density import observe
from absynth.distributions import Normal
from absynth.errors import InputError
from absynth.files import write_atomic
from absynth.metrics.molecules import draw, measured, parsed
from absynth.networks.mlp import mlp
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import Opened, check_positive, open_run
from absynth.types import Rng

TITLE = "Guided sampling of molecules"
NEEDS = "a model of molecules whose latent variable is sampled by a chain"
REPORT: dict | None = {"n": 200}

FITTED = 4000
"""Training molecules that a head is fitted to, a tenth of them held out to measure its error."""


@dataclass(frozen=True)
class Head:
    """Predicts a property from z."""

    net: nn.Module
    mean: float
    scale: float
    """Mean and standard deviation of the property among the molecules it was fitted to."""
    error: float
    """s, its root mean squared error on molecules it was not fitted to."""

    def __call__(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        return self.net(z).squeeze(1) * self.scale + self.mean

    @property
    def explained(self) -> float:
        """The share of the property's variance that z explains, on molecules it was not fitted to."""
        return 1 - (self.error / self.scale) ** 2


def fit_head(z: Float[Tensor, "n d"], y: Float[Tensor, "n"], *, seed: int, updates: int = 600) -> Head:
    """A network with one hidden layer, fitted by least squares; every tenth row is held out.

    Args:
        z: latent vectors.
        y: the property of each.
        seed: of the initial weights and of the order.
        updates: of Adam, on 200 rows each.
    """
    if len(z) < 20:
        raise InputError(f"expected at least 20 molecules to learn a property from, got {len(z)}")
    held_out = torch.arange(len(z), device=z.device) % 10 == 9
    mean, scale = float(y[~held_out].mean()), max(float(y[~held_out].std()), 1e-6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = mlp([z.shape[1], 64, 1], "silu").to(z)
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-2)
    rng, rows = stream(seed, 0, 0, 17), (~held_out).nonzero().squeeze(1)
    for step in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 - step / updates)
        chosen = rows[torch.randint(len(rows), (200,), generator=rng).to(rows.device)]
        loss = ((net(z[chosen]).squeeze(1) - (y[chosen] - mean) / scale) ** 2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    net.requires_grad_(False)
    head = Head(net, mean, scale, 0.0)
    error = float(((head(z[held_out]) - y[held_out]) ** 2).mean().sqrt())
    return Head(net, mean, scale, max(error, 1e-3 * scale))


def learn_head(opened: Opened, name: str, *, seed: int) -> Head:
    """A head for one property, on posterior draws of the training molecules."""
    data: Any = opened.dataset
    smiles = [s for s in data.lines[:FITTED] if parsed(s) is not None]
    smiles = [s for s in smiles if len(data.vocabulary.encode(s)) <= data.length]
    y = torch.from_numpy(measured(smiles, name)).float().to(opened.device)
    x = data.vocabulary.rows(smiles, data.length).to(opened.device)
    parts = [
        opened.model.sample_posterior(part, rng=stream(seed, 0, i, 18, device=opened.device))
        for i, part in enumerate(x.split(500))
    ]
    return fit_head(torch.cat(parts), y, seed=seed)


def guided(chain: Chain, head: Head, value: float, n: int, *, std: float, rng: Rng) -> Float[Tensor, "n d"]:
    """z ``[n, d]`` of the prior given that the property is ``value``: eq. (1), by the chain that the prior has.

    The short run from p_0 is what the generator learned to write from; on ZINC a longer chain wrote fewer valid ones.

    Args:
        chain: The chain on the prior.
        head: Predicts the property from z.
        value: Wanted value.
        n: Number of molecules.
        std: s, what the property may differ from ``value`` by.
        rng: Source of randomness.
    """
    wanted = observe(
        chain.density.log_density,
        lambda z: Normal(head(z)[:, None], std).log_prob(torch.full_like(z[:, :1], value)),
    )
    return chain.sampler(wanted, chain.start.sample(n, rng), rng=rng)


def write(model: Algorithm, data: Any, z: Tensor, temperature: float, *, rng: Rng) -> list[str]:
    """A molecule for each z, as SMILES, drawn token by token."""
    return data.vocabulary.texts(model.draw(z, temperature=temperature, rng=rng).cpu())


def command(
    run: Path,
    property: Literal["logP", "QED", "rings", "length"] = "logP",
    value: float = 4.0,
    n: int = 500,
    std: float = 0.0,
    seed: int = 0,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Molecules with a property near a value: guided.smi, an image, how far it moved and how many stayed valid.

    Args:
        run: Run directory.
        property: logP, QED, rings or length (characters).
        value: Wanted value of it; 4 is a high logP.
        n: Number of molecules to write, and as many without guidance to compare with.
        std: What the property may differ from the value by; 0 is the error of the fitted head. Smaller pulls harder.
        seed: Seed of all noise.
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/guide.
        device: auto, cpu, cuda.
    """
    check_positive(n=n)
    if not 0 <= std < math.inf:
        raise InputError(f"expected --std of 0 or more, got {std:g}")
    opened = open_run(run, device, task="guide", data=data, out=out)
    opened.require_kind("smiles")
    chain, model = opened.chain(), opened.model
    head = learn_head(opened, property, seed=seed)
    rng = stream(seed, 0, 1, 19, device=opened.device)
    strength = std or head.error
    latent = {
        "without guidance": model.sample_prior(n, rng=rng),
        "guided": guided(chain, head, value, n, std=strength, rng=rng),
    }
    temperature = float(opened.recipe.fields().get("temperature", 1.0))
    smiles = {name: write(model, opened.data, z, temperature, rng=rng) for name, z in latent.items()}
    values = {name: measured(found, property) for name, found in smiles.items()}
    write_atomic(opened.folder / "guided.smi", "\n".join(smiles["guided"]) + "\n")
    text = (
        f"{property} of {value:g} was added to the prior as an observation of standard deviation {strength:.3g}. The "
        f"head that predicts it from z explains {head.explained:.0%} of its variance. Molecules as generated at "
        f"temperature {temperature:g}, valid or not, in guided.smi; the property is that of the valid ones."
    )
    found = opened.result("Guided sampling", text, seed)
    if draw(smiles["guided"], opened.folder / "guided.png"):
        found.pictures.append({"file": "guided.png", "caption": f"Molecules guided to {property} {value:g}"})
    if all(map(len, values.values())):
        for figure, of in ((f"mean {property}", lambda v: float(np.mean(v))), ("validity", lambda v: len(v) / n)):
            found.figures[figure] = of(values["guided"])
            found.baselines[figure] = {"without guidance": of(values["without guidance"])}
        pictures.histogram(opened.folder / "property.png", values, property)
        found.pictures.append({"file": "property.png", "caption": f"{property} of valid molecules"})
    return opened.save(found)
