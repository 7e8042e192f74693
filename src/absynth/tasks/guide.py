"""Molecules to order: an observation of a property is added to the prior, and no sampler knows.

    log p(z | y) = log p_α(z) + log N(y; h(z), s²) + const                              (1)

h is a small network that tells a property of the molecule from z. It is fitted to posterior draws of training molecules
when the question is asked, and s is what it misses on those it did not see: the model itself is left as it was trained.
(Pang, Han, Wu 2020, arXiv:2010.09351, learn such a head jointly, for one property.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth import pictures
from absynth.algorithms import LatentPrior
from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.density import observe
from absynth.distributions import Normal
from absynth.errors import InputError
from absynth.files import write_atomic
from absynth.metrics.molecules import draw, measured, parsed
from absynth.networks.mlp import mlp
from absynth.recipes.latent_prior_smiles import LatentPriorSMILES, write
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import open_run, result
from absynth.types import Rng

FITTED = 4000
"""Training molecules that a head is fitted to, a tenth of them aside to tell what it misses."""


@dataclass(frozen=True)
class Head:
    """What tells a property from z."""

    net: nn.Module
    mean: float
    scale: float
    """Mean and standard deviation of the property among the molecules it was fitted to."""
    missed: float
    """s, its root mean squared error on molecules it was not fitted to."""

    def __call__(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        return self.net(z).squeeze(1) * self.scale + self.mean

    @property
    def explained(self) -> float:
        """The share of the property's variance that z tells, on molecules it was not fitted to."""
        return 1 - (self.missed / self.scale) ** 2


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
    aside = torch.arange(len(z), device=z.device) % 10 == 9
    mean, scale = float(y[~aside].mean()), max(float(y[~aside].std()), 1e-6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = mlp([z.shape[1], 64, 1], "silu").to(z)
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-2)
    rng, rows = stream(seed, 0, 0, 17), (~aside).nonzero().squeeze(1)
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
    missed = float(((head(z[aside]) - y[aside]) ** 2).mean().sqrt())
    return Head(net, mean, scale, max(missed, 1e-3 * scale))


def learn_head(
    model: AmortizedLatentPrior, recipe: LatentPriorSMILES, name: str, *, seed: int, device: torch.device
) -> Head:
    """A head for one property, on posterior draws of the training molecules."""
    smiles = [s for s in recipe.lines("train").lines[:FITTED] if parsed(s) is not None]
    words = recipe.words()
    smiles = [s for s in smiles if len(words.encode(s)) <= recipe.length]
    y = torch.from_numpy(measured(smiles, name)).float().to(device)
    x = words.rows(smiles, recipe.length).to(device)
    with torch.no_grad():
        parts = [model.posterior(p).sample(stream(seed, 0, i, 18, device=device)) for i, p in enumerate(x.split(500))]
    return fit_head(torch.cat(parts), y, seed=seed)


def guided(model: LatentPrior, head: Head, value: float, n: int, *, std: float, rng: Rng) -> Float[Tensor, "n d"]:
    """z ``[n, d]`` of the prior given that the property is ``value``: eq. (1), by the chain that the prior has.

    The short run from p_0 is what the generator learned to write from; on ZINC a longer chain wrote fewer valid ones.

    Args:
        model: its prior is learned.
        head: what tells the property from z.
        value: wanted.
        n: how many.
        std: s, what the property may differ from ``value`` by.
        rng: draws all noise.
    """
    prior = model.prior()
    wanted = observe(
        prior.log_density,
        lambda z: Normal(head(z)[:, None], std).log_prob(torch.full_like(z[:, :1], value)),
    )
    return model.prior_sampler(wanted, prior.reference.sample(n, rng), rng=rng)


def command(
    run: Path,
    property: Literal["logP", "QED", "rings", "length"] = "logP",
    value: float = 4.0,
    n: int = 500,
    std: float = 0.0,
    seed: int = 0,
    device: str = "auto",
) -> TaskResult:
    """Molecules with a property near a value: guided.smi, a picture, how far it moved and how many stayed valid.

    Args:
        run: directory of a run that was trained on molecules.
        property: logP, QED, rings or length (characters).
        value: what is wanted of it; 4 is a high logP.
        n: molecules to write, and as many without guidance beside them.
        std: what the property may differ from the value by; 0: what the fitted head misses. Smaller pulls harder.
        seed: of all noise.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    model, recipe = opened.latent(), opened.recipe
    if not isinstance(recipe, LatentPriorSMILES) or not isinstance(model, AmortizedLatentPrior):
        raise InputError(f"this task needs a model of molecules, {run} is {recipe.name()}: train latent_prior_smiles")
    head = learn_head(model, recipe, property, seed=seed, device=opened.device)
    rng = stream(seed, 0, 1, 19, device=opened.device)
    strength = std or head.missed
    latent = {
        "without guidance": model.sample_prior(n, rng=rng),
        "guided": guided(model, head, value, n, std=strength, rng=rng),
    }
    words, smiles, values = recipe.words(), {}, {}
    with torch.no_grad():
        for name, z in latent.items():
            smiles[name] = words.texts(write(model, z, recipe.temperature, rng=rng).cpu())
            values[name] = measured(smiles[name], property)
    folder = opened.folder("guide")
    write_atomic(folder / "guided.smi", "\n".join(smiles["guided"]) + "\n")
    text = (
        f"{property} of {value:g} was added to the prior as an observation of standard deviation {strength:.3g}. The "
        f"head that tells it from z explains {head.explained:.0%} of its variance. Molecules as generated, valid or "
        "not, in guided.smi; the property is that of the valid ones."
    )
    found = result("guide", "Guided sampling", seed, text)
    if draw(smiles["guided"], folder / "guided.png"):
        found.pictures.append({"file": "guided.png", "caption": f"Molecules guided to {property} {value:g}"})
    for figure, of in ((f"mean {property}", lambda v: float(np.mean(v))), ("validity", lambda v: len(v) / n)):
        if all(map(len, values.values())):
            found.figures[figure] = of(values["guided"])
            found.baselines[figure] = {"without guidance": of(values["without guidance"])}
    if all(map(len, values.values())):
        pictures.histogram(folder / "property.png", values, property)
        found.pictures.append({"file": "property.png", "caption": f"{property} of valid molecules"})
    found.save(folder)
    return found
