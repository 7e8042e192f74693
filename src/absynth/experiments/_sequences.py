"""What experiments on sequences share: the same decoder without z, a VAE of the same networks, and what z says."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from absynth.algorithms.vae import VAE
from absynth.distributions import GaussianInference, Normal, StandardNormal
from absynth.networks.recurrent import RecurrentEncoder, RecurrentGenerator
from absynth.seeding import stream
from absynth.types import Rng

DECODER = "same decoder without z"
GAUSSIAN = "same generator, z from N(0, I)"
POSTERIOR = "same generator, z from the posterior"
KL, INFORMATION = "KL(q‖p0), nats", "information of z, nats"
OWN, OTHER = "−log p(x|z), its own z", "−log p(x|z), another example's z"
CPU = "CPU seconds of training"
_TRAINED, _SHARED = 31, 32  # streams of the rivals' noise


def cpu_seconds(train: Callable[[], Any]) -> tuple[Any, float]:
    """What a function returns, and the seconds of CPU that it took."""
    begun = time.process_time()
    return train(), time.process_time() - begun


def _learn(recipe: Any, players: dict[str, nn.Module], losses: Callable[[Any, int], dict[str, Tensor]]) -> None:
    """Plain training in the recipe's joint updates: its batches, rates, clip and schedule."""
    known, steps = recipe.fields(), recipe.joint_updates()
    betas = (known.get("beta1", 0.9), 0.999)
    rates = {name: known.get(f"{name}_lr", recipe.generator_lr) for name in players}
    optimizers = {name: Adam(player.parameters(), rates[name], betas) for name, player in players.items()}
    batches = recipe.batches()
    for step in range(steps):
        found = losses(next(batches), step)
        total = sum(found.values())  # no loss holds another player's gradient
        for name, optimizer in optimizers.items():
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = rates[name] * recipe.rate(step, name)
        total.backward()  # type: ignore[union-attr]
        for name, optimizer in optimizers.items():
            if recipe.clip:
                nn.utils.clip_grad_norm_(list(players[name].parameters()), recipe.clip)
            optimizer.step()


def _decoder(recipe: Any, latent: int) -> RecurrentGenerator:
    """The recipe's generator with a z of another size; 0 for none."""
    net = RecurrentGenerator(
        len(recipe.examples.vocabulary), latent=latent, embedding=recipe.embedding, hidden=recipe.generator_width,
        length=recipe.length,
    )  # fmt: skip
    if (init := recipe.fields().get("init_range", 0.0)) > 0:
        for p in net.parameters():
            nn.init.uniform_(p, -init, init)
    return net


def train_decoder(recipe: Any) -> RecurrentGenerator:
    """p(x): the recipe's generator without z, by maximum likelihood in as many updates."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = _decoder(recipe, 0)
    none = torch.zeros(recipe.batch, 0)
    _learn(recipe, {"generator": net}, lambda batch, _: {"generator": -net(none).log_prob(batch.x).mean()})
    return net.eval()


def train_vae(recipe: Any) -> VAE:
    """A VAE of the recipe's networks, its variance learned, by the bound (weight 1) in as many updates."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        size, hidden = len(recipe.examples.vocabulary), recipe.fields().get("inference_width", recipe.generator_width)
        encoder = RecurrentEncoder(size, embedding=recipe.embedding, hidden=hidden, out=2 * recipe.latent)
        generator = _decoder(recipe, recipe.latent)
    model = VAE(generator, GaussianInference(encoder), StandardNormal(recipe.latent))

    def losses(batch: Any, step: int) -> dict[str, Tensor]:
        return {"inference": model.losses(batch, rng=stream(recipe.seed, 0, step, _TRAINED))["inference"]}

    _learn(recipe, {"generator": generator, "inference": model.get_submodule("inference")}, losses)
    return model.eval()


def draw_decoder(net: RecurrentGenerator, n: int, *, temperature: float = 1.0, rng: Rng, batch: int = 1000) -> Tensor:
    """n sequences ``[n, length]`` of a decoder without z."""
    parts = torch.zeros(n, 0).split(batch)
    return torch.cat([net(part).at_temperature(temperature).sample(rng) for part in parts])


@torch.no_grad()
def decoder_nll(net: RecurrentGenerator, x: Tensor, batch: int = 500) -> float:
    """−log p(x) of a decoder without z, nats an example."""
    return -float(sum(net(torch.zeros(len(part), 0)).log_prob(part).sum() for part in x.split(batch))) / len(x)


@torch.no_grad()
def posterior_draws(model: Any, x: Tensor, *, rng: Rng, batch: int = 500) -> Tensor:
    """One z ~ q(z|x) for each example ``[n, d]``."""
    return torch.cat([model.encode(part).sample(rng) for part in x.split(batch)])


@dataclass(frozen=True)
class LatentInformation:
    """What z says of x, in nats an example.

    Attributes:
        kl: KL(q ‖ p_0), of which a shift of all means is a part that tells nothing.
        information: E log q(z|x) − log q(z), with q(z) the mean of q over training examples.
        own: −log p(x|z) at z ~ q(z|x).
        other: −log p(x|z) at the z of another example.
    """

    kl: float
    information: float
    own: float
    other: float

    def figures(self) -> dict[str, float]:
        """By the names that records have."""
        return {KL: self.kl, INFORMATION: self.information, OWN: self.own, OTHER: self.other}


@torch.no_grad()
def what_z_tells(model: Any, x: Tensor, train: Tensor, *, seed: int, batch: int = 500) -> LatentInformation:
    """Measures on test examples ``x``; q(z) is the mixture of the posteriors of ``train``."""
    rng = stream(seed, 0, 0, _SHARED)
    many = [model.encode(part) for part in train.split(batch)]
    mixture = Normal(torch.cat([q.mean for q in many]), torch.cat([q.std for q in many]))
    sums = torch.zeros(4, dtype=torch.float64)
    for part in x.split(batch):
        q = model.encode(part)
        z = q.sample(rng)
        other = z.roll(1, 0)
        sums += torch.stack([
            q.kl_standard().sum(),
            (q.log_prob(z) - log_mixture(mixture, z)).sum(),
            -model.likelihood(z).log_prob(part).sum(),
            -model.likelihood(other).log_prob(part).sum(),
        ])  # fmt: skip
    return LatentInformation(*(sums / len(x)).tolist())


def log_mixture(mixture: Normal, z: Tensor) -> Tensor:
    """log of the mean density of the rows of a normal ``[m, d]`` at each z ``[b, d]``, shape ``[b]``."""
    assert isinstance(mixture.std, Tensor)
    mean, weight = mixture.mean.double(), mixture.std.double() ** -2
    squared = z.double() ** 2 @ weight.T - 2 * z.double() @ (mean * weight).T + (mean**2 * weight).sum(1)
    constant = -mixture.std.double().log().sum(1) - z.shape[1] / 2 * math.log(2 * math.pi)
    return (constant - squared / 2).logsumexp(1) - math.log(len(mean))
