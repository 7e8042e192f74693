"""One parameter update: losses, one backward pass per player, the guard's measurements, optimizer steps.

``Training`` holds everything that an update changes; :func:`absynth.training.fit` is the loop around it. No loss
reaches another player, so adversarial and cooperative methods need no toggling of gradients and no second trainer.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from absynth import checkpoint, distributed
from absynth.algorithms import Algorithm
from absynth.density import EBM
from absynth.errors import InputError
from absynth.guard import Guard, Remedies, Trouble, stability
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromLast, Persistent
from absynth.seeding import dropout_from, stream
from absynth.selection import Best, HeldOut
from absynth.types import Batch

STABILITY_STREAM = 1  # tells the guard's own randomness from the algorithm's, so that looking changes nothing
RETRY_STREAM = int.from_bytes(b"retry", "big")  # and the noise after a roll-back from all that a recipe may draw


def backward(losses: Mapping[str, Tensor], players: Mapping[str, nn.Module], scale: float = 1.0) -> None:
    """Give each player's parameters the gradient of its own loss, and of nothing else.

    Players whose loss is one tensor share a backward pass.
    """
    shared: dict[int, list[str]] = {}
    for name in players:
        shared.setdefault(id(losses[name]), []).append(name)
    *_, last = shared
    for key, names in shared.items():
        parameters = [p for name in names for p in players[name].parameters() if p.requires_grad]
        # Players may share a graph (one forward pass, two losses): it is freed with the last of them.
        (losses[names[0]] * scale).backward(inputs=parameters, retain_graph=key != last)


def update(
    algorithm: Algorithm, optimizers: Mapping[str, Optimizer], *batch: Batch, rng: torch.Generator
) -> dict[str, float]:
    """One parameter update without a guard, a log or a checkpoint.

    Args:
        algorithm: The model and its learning rule.
        optimizers: One optimizer per player.
        batch: The minibatch; a second one where the method learns from unpaired data.
        rng: Source of randomness.

    Returns:
        The loss of each player.
    """
    losses = algorithm.losses(*batch, rng=rng)
    for optimizer in optimizers.values():
        optimizer.zero_grad(set_to_none=True)
    backward(losses, {name: algorithm.get_submodule(name) for name in optimizers})
    for optimizer in optimizers.values():
        optimizer.step()
    return {name: float(loss.detach()) for name, loss in losses.items()}


class EMA:
    """An exponential moving average of an algorithm's parameters, for use after training."""

    def __init__(self, algorithm: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {k: v.detach().clone() for k, v in self._parameters(algorithm).items()}

    def update(self, algorithm: nn.Module, step: int) -> None:
        """average ← d · average + (1 − d) · parameters, d = min(decay, (1 + step) / (10 + step)).

        The first averages are short: with a constant decay a training of few updates would keep the random start.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        parameters = self._parameters(algorithm)
        torch._foreach_lerp_(list(self.average.values()), [parameters[k].detach() for k in self.average], 1 - decay)

    @staticmethod
    def _parameters(algorithm: nn.Module) -> dict[str, nn.Parameter]:
        return dict(algorithm.named_parameters(remove_duplicate=False))  # tied weights are saved under each name


class Training:
    """Everything that a step changes: what a checkpoint holds."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device
        self.remedies = Remedies()
        self.held_out = HeldOut(recipe, device) if recipe.select_by else None
        self.restart()

    def restart(self) -> None:
        """The state before the first step, under the remedies in force."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.recipe.seed)
            self.algorithm = self.recipe.algorithm()
        self.remedies.apply(self.algorithm)
        self.algorithm.to(self.device).train()
        self.optimizers = self.recipe.optimizers(self.algorithm)
        self.rates = {name: [g["lr"] for g in o.param_groups] for name, o in self.optimizers.items()}
        self.players = {name: self.algorithm.get_submodule(name) for name in self.optimizers}
        self.ema = EMA(self.algorithm, self.recipe.ema) if self.recipe.ema else None
        self.starts = [module for module in self.algorithm.modules() if isinstance(module, Persistent)]
        ebms = {name for name, module in self.algorithm.named_modules() if isinstance(module, EBM)}
        self.guard = Guard(ebms, gap=self.recipe.guard_difference, stability=self.recipe.guard_stability)
        self.measured: dict[str, float] = {}
        """The latest δ²λ, until a line of metrics.jsonl holds it."""
        self.figures: dict[str, float] = {}
        """The latest held-out figure, likewise."""
        self.best = Best(0, float("inf"), 0, {})
        self.resting: frozenset[str] = frozenset()
        """Players that did not learn in the last update."""
        self.step = 0
        self.seconds = 0.0

    @property
    def done(self) -> bool:
        """Whether all updates are done, or the held-out figure has not improved for so long that training ends."""
        patience = self.recipe.patience
        return self.step >= self.recipe.steps or 0 < patience <= self.best.since

    def state_dict(self) -> dict:
        """The state of all processes, which may differ in buffers alone; every one must call it."""
        for start in self.starts:
            start.merge(distributed.gather)
        whole = self.algorithm.state_dict()
        names = [name for name, _ in self.algorithm.named_buffers() if name in whole]
        return {
            "step": self.step,
            "seconds": self.seconds,
            "measured": self.measured,
            "figures": self.figures,
            "algorithm": whole,
            "buffers": distributed.gather({name: whole[name].cpu() for name in names}),
            "optimizers": {k: o.state_dict() for k, o in self.optimizers.items()},
            "ema": self.ema.average if self.ema else None,
            "guard": self.guard.state_dict(),
            "remedies": vars(self.remedies),
            "best": vars(self.best),
        }

    def load_state_dict(self, state: dict, remedies: Remedies | None = None) -> None:
        """Go on from a checkpoint; ``remedies`` replace those that were in force when it was made."""
        self.remedies = remedies or Remedies(**state["remedies"])
        self.restart()
        rank, buffers = distributed.rank(), state["buffers"]
        self.algorithm.load_state_dict(state["algorithm"] | (buffers[rank] if rank < len(buffers) else {}))
        for name, optimizer in self.optimizers.items():
            own = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            optimizer.load_state_dict(state["optimizers"][name])
            for group, numbers in zip(optimizer.param_groups, own):
                group.update(numbers)  # the recipe's: --override may have changed a weight decay
        if self.ema and state["ema"]:
            self.ema.average = {k: v.clone() for k, v in state["ema"].items()}
        elif self.ema:  # averaging was turned on by --override
            self.ema = EMA(self.algorithm, self.recipe.ema)
        self.guard.load_state_dict(state["guard"])
        self.best = Best(**state.get("best", vars(self.best)))
        self.step, self.seconds, self.measured = state["step"], state["seconds"], dict(state["measured"])
        self.figures = dict(state.get("figures", {}))

    def latest_weights(self) -> dict[str, Tensor]:
        """The weights of this step: averaged where the recipe averages."""
        return dict(self.algorithm.state_dict()) | (self.ema.average if self.ema else {})

    def judge(self) -> str:
        """Measure the held-out figure of the weights of this step; what it is, in words, "" without one."""
        if self.held_out is None:
            return ""
        figure = float("nan")
        weights = self.latest_weights()
        if distributed.rank() == 0:  # others may differ by rounding, and all must choose the same weights
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                torch.manual_seed(self.recipe.seed)
                model = self.recipe.algorithm()  # not the model that learns: sampling leaves traces in a model
            self.remedies.apply(model)
            model.load_state_dict(weights)
            model.set_progress(self.step / self.recipe.steps)
            figure = self.held_out.figure(model.to(self.device))
        figure = distributed.gather(figure)[0]
        self.best = self.best.after(self.step, figure, weights)
        self.figures |= {self.held_out.name: figure}
        text = f"held-out {self.held_out.name} {figure:.5g}"
        return text + (", the best" if self.best.step == self.step else f", best {self.best.figure:.5g}")

    def weights(self) -> checkpoint.Weights:
        """The weights that ``load`` reads: those of the best held-out figure where the recipe selects."""
        chosen = self.best.weights or self.latest_weights()
        selected = {"step": self.best.step, self.recipe.select_by: self.best.figure} if self.best.weights else None
        config = {
            **self.recipe.entry(),
            "step": self.step,
            **({"selected": selected} if selected else {}),
            "remedies": vars(self.remedies),
            "metrics": self.algorithm.explain_metrics(),
        }
        return checkpoint.Weights(chosen, config)

    def learn(self, batch: Batch | tuple[Batch, ...]) -> dict[str, dict[str, float]]:
        """One update up to the optimizers' steps; what there is to see of it, averaged over slices and processes.

        Returns:
            ``loss`` and ``gradient`` (its norm) of each player, ``reach`` (largest coordinate) of each chain and of
            its start, mean ``energy`` of positive and negative examples where the algorithm tells it.
        """
        recipe, world, rank = self.recipe, distributed.world(), distributed.rank()
        batches = (batch,) if isinstance(batch, Batch) else batch
        data = {tuple(each.x.shape[1:]): self._reach(each) for each in batches}
        self.algorithm.set_progress(self.step / recipe.steps)
        players = self._learners()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        totals = {name: torch.zeros((), device=self.device) for name in players}
        retry = (RETRY_STREAM, self.remedies.stream) if self.remedies.stream else ()
        reach: dict[str, Tensor] = {}
        energy: dict[str, Tensor] = {}
        for shard in range(rank, recipe.shards, world):
            rng = stream(recipe.seed, shard, self.step, *retry, device=self.device)
            parts = [each.slice(shard, recipe.shards, self.device) for each in batches]
            for start in self.starts:
                start.slice = (shard, recipe.shards)
            with dropout_from(rng):
                losses = self.algorithm.losses(*parts, rng=rng)
            backward(losses, players, world / recipe.shards)
            for name in totals:
                totals[name] += losses[name].detach() * (world / recipe.shards)
            for name, mean in self.algorithm.energies.items():
                energy[name] = energy.get(name, 0) + mean * (world / recipe.shards)
            for name, chain in self.algorithm.chains.items():
                for key, x in ((name, chain.end), (f"{name} start", chain.start)):
                    far = x.detach().abs().amax()
                    if x is chain.start and tuple(x.shape[1:]) in data:  # a young generator starts near 0
                        far = far.clamp(min=data[tuple(x.shape[1:])])
                    reach[key] = torch.maximum(reach[key], far) if key in reach else far  # keeps NaN
        for start in self.starts:
            start.slice = (0, 1)
            if isinstance(start, FromLast):  # an example may be another process's next time
                start.merge(distributed.gather)
        parameters = {name: [p for p in m.parameters() if p.grad is not None] for name, m in players.items()}
        distributed.average([p.grad for ps in parameters.values() for p in ps] + [*totals.values(), *energy.values()])  # type: ignore[misc]
        norms = {name: torch.nn.utils.get_total_norm([p.grad for p in ps]) for name, ps in parameters.items()}  # type: ignore[misc]
        groups = {"loss": totals, "gradient": norms, "reach": reach, "energy": energy}
        numbers = iter(torch.stack([v.float() for g in groups.values() for v in g.values()]).tolist())  # one transfer
        return {group: {name: next(numbers) for name in values} for group, values in groups.items()}

    def _learners(self) -> dict[str, nn.Module]:
        """The players that learn in this update; the others, if there are any, go to evaluation mode."""
        rates = {name: self.recipe.rate(self.step, name) for name in self.players}
        resting = frozenset(name for name, rate in rates.items() if rate == 0 and any(rates.values()))
        if resting != self.resting:
            self.resting = resting
            for name, player in self.players.items():
                player.train(name not in resting)
        return {name: player for name, player in self.players.items() if name not in resting}

    def _reach(self, batch: Batch) -> float:
        """The largest coordinate of a batch.

        Raises:
            InputError: A value is not finite; the message names its example.
        """
        if not batch.x.is_floating_point():
            return 0.0
        for what, values in (("x", batch.x), ("its condition", batch.c)):
            if values is None or not values.is_floating_point() or values.isfinite().all():
                continue
            observed = batch.mask if what == "x" else None
            bad = ~values.isfinite() if observed is None else ~values.isfinite() & (observed != 0)
            if bad.any():
                row = int(bad.flatten(1).any(1).nonzero()[0, 0])
                raise InputError(f"{self._name_of(batch, row)} holds a value that is not finite ({what}): correct it")
        return float(batch.x.nan_to_num(0.0, 0.0, 0.0).abs().max())

    def _name_of(self, batch: Batch, row: int) -> str:
        """A row of a minibatch in words."""
        if batch.index is None:
            return f"row {row} of minibatch {self.step}"
        number = int(batch.index[row])
        data = self.recipe.dataset
        if data is None or number >= max(len(data), 1):
            return f"example {number}"
        name = data.names(batch.index[row : row + 1].cpu())[0]
        return f"example {number} of {data.name}" + ("" if name == str(number) else f" ({name})")

    def look(self, seen: dict[str, dict[str, float]]) -> Trouble | None:
        """What the guard finds in an update, with δ²λ measured now and then."""
        chains, fresh = self.algorithm.chains, {}
        if self.step % self.guard.every == 0:
            rng = stream(self.recipe.seed, distributed.rank(), self.step, STABILITY_STREAM, device=self.device)
            # A chain that no EBM learns from is only reported, and its gradients may cost much: a posterior's pass
            # through the generator.
            rare = self.step % (4 * self.guard.every) == 0
            watched = {name: chain for name, chain in chains.items() if rare or name in self.guard.ebms}
            fresh = stability(watched, rng=rng)
            self.measured |= fresh
        samplers = {name: self.algorithm.sampler_name(chain.sampler) for name, chain in chains.items()}
        return self.guard.check(self.step, seen, fresh, samplers)

    def advance(self) -> None:
        """Step the optimizer of every player that learns, at the scheduled rate."""
        for name, optimizer in self.optimizers.items():
            if name in self.resting:
                continue
            factor = self.recipe.rate(self.step, name) * self.remedies.learning_rate.get(name, 1.0)
            for group, rate in zip(optimizer.param_groups, self.rates[name]):
                group["lr"] = rate * factor
            optimizer.step()
        if self.ema:
            self.ema.update(self.algorithm, self.step)
        self.step += 1
