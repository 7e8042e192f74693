"""The one loop that trains everything.

``fit`` asks an algorithm for one loss a player, calls ``loss.backward(inputs=that player's parameters)``, lets the
guard look, and steps each player's optimizer. No loss leaks into another player, so adversarial and cooperative methods
need no toggling of gradients and no second trainer.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from absynth import checkpoint, distributed
from absynth.algorithms import Algorithm
from absynth.density import EBM
from absynth.errors import Diverged, InputError
from absynth.guard import Guard, Remedies, Trouble, stability
from absynth.logs import Journal, MetricsFile, Watcher
from absynth.recipes.recipe import Recipe
from absynth.samplers import engine
from absynth.seeding import dropout_from, stream
from absynth.types import Batch

STABILITY_STREAM = 1  # tells the guard's own randomness from the algorithm's, so that looking changes nothing
RETRY_STREAM = int.from_bytes(b"retry", "big")  # and the noise after a roll-back from all that a recipe may draw


def backward(losses: Mapping[str, Tensor], players: Mapping[str, nn.Module], scale: float = 1.0) -> None:
    """Give each player's parameters the gradient of its own loss, and of nothing else."""
    *others, last = players
    for name in (*others, last):
        parameters = [p for p in players[name].parameters() if p.requires_grad]
        # Players may share a graph (one forward pass, two losses): it is freed with the last of them.
        (losses[name] * scale).backward(inputs=parameters, retain_graph=name != last)


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

    def update(self, algorithm: nn.Module) -> None:
        """average ← decay · average + (1 − decay) · parameters."""
        parameters = self._parameters(algorithm)
        torch._foreach_lerp_(
            list(self.average.values()), [parameters[k].detach() for k in self.average], 1 - self.decay
        )

    @staticmethod
    def _parameters(algorithm: nn.Module) -> dict[str, nn.Parameter]:
        return dict(algorithm.named_parameters(remove_duplicate=False))  # tied weights are saved under each name


class Training:
    """Everything that a step changes: what a checkpoint holds."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device
        self.remedies = Remedies()
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
        ebms = {name for name, module in self.algorithm.named_children() if isinstance(module, EBM)}
        self.guard = Guard(ebms, gap=self.recipe.guard_difference, stability=self.recipe.guard_stability)
        self.measured: dict[str, float] = {}
        """The latest δ²λ, until a line of metrics.jsonl has told it."""
        self.step = 0
        self.seconds = 0.0

    def state_dict(self) -> dict:
        """The state of all processes, which differ in buffers alone (persistent chains); every one must call it."""
        whole = self.algorithm.state_dict()
        names = [name for name, _ in self.algorithm.named_buffers() if name in whole]
        return {
            "step": self.step,
            "seconds": self.seconds,
            "measured": self.measured,
            "algorithm": whole,
            "buffers": distributed.gather({name: whole[name].cpu() for name in names}),
            "optimizers": {k: o.state_dict() for k, o in self.optimizers.items()},
            "ema": self.ema.average if self.ema else None,
            "guard": self.guard.state_dict(),
            "remedies": vars(self.remedies),
        }

    def load_state_dict(self, state: dict, remedies: Remedies | None = None) -> None:
        """Go on from a checkpoint; ``remedies`` replace those that were in force when it was made."""
        self.remedies = remedies or Remedies(**state["remedies"])
        self.restart()
        rank, buffers = distributed.rank(), state["buffers"]
        self.algorithm.load_state_dict(state["algorithm"] | (buffers[rank] if rank < len(buffers) else {}))
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        if self.ema and state["ema"]:
            self.ema.average = {k: v.clone() for k, v in state["ema"].items()}
        self.guard.load_state_dict(state["guard"])
        self.step, self.seconds, self.measured = state["step"], state["seconds"], dict(state["measured"])

    def weights(self) -> checkpoint.Weights:
        """The weights that ``load`` reads: averaged where the recipe averages."""
        state = dict(self.algorithm.state_dict())
        if self.ema:
            state |= self.ema.average
        config = {
            **self.recipe.entry(),
            "step": self.step,
            "remedies": vars(self.remedies),
        }
        return checkpoint.Weights(state, config)

    def learn(self, batch: Batch | tuple[Batch, ...]) -> dict[str, dict[str, float]]:
        """One update up to the optimizers' steps; what there is to see of it, averaged over slices and processes.

        Returns:
            ``loss`` and ``gradient`` (its norm) of each player, ``reach`` (largest coordinate) of each chain and of
            its start, mean ``energy`` of positive and negative examples where the algorithm tells it.
        """
        recipe, world, rank = self.recipe, distributed.world(), distributed.rank()
        batches = (batch,) if isinstance(batch, Batch) else batch
        self.algorithm.set_progress(self.step / recipe.steps)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        totals = {name: torch.zeros((), device=self.device) for name in self.players}
        retry = (RETRY_STREAM, self.remedies.stream) if self.remedies.stream else ()
        reach: dict[str, Tensor] = {}
        energy: dict[str, Tensor] = {}
        for shard in range(rank, recipe.shards, world):
            rng = stream(recipe.seed, shard, self.step, *retry, device=self.device)
            parts = [each.slice(shard, recipe.shards, self.device) for each in batches]
            with dropout_from(rng):
                losses = self.algorithm.losses(*parts, rng=rng)
            backward(losses, self.players, world / recipe.shards)
            for name in totals:
                totals[name] += losses[name].detach() * (world / recipe.shards)
            for name, mean in self.algorithm.energies.items():
                energy[name] = energy.get(name, 0) + mean * (world / recipe.shards)
            for name, chain in self.algorithm.chains.items():
                for key, x in ((name, chain.end), (f"{name} start", chain.start)):
                    far = x.detach().abs().amax()
                    reach[key] = torch.maximum(reach[key], far) if key in reach else far  # keeps NaN
        parameters = {name: [p for p in m.parameters() if p.grad is not None] for name, m in self.players.items()}
        distributed.average([p.grad for ps in parameters.values() for p in ps] + [*totals.values(), *energy.values()])  # type: ignore[misc]
        norms = {name: torch.nn.utils.get_total_norm([p.grad for p in ps]) for name, ps in parameters.items()}  # type: ignore[misc]
        groups = {"loss": totals, "gradient": norms, "reach": reach, "energy": energy}
        numbers = iter(torch.stack([v.float() for g in groups.values() for v in g.values()]).tolist())  # one transfer
        return {group: {name: next(numbers) for name in values} for group, values in groups.items()}

    def look(self, seen: dict[str, dict[str, float]]) -> Trouble | None:
        """What the guard finds in an update, with δ²λ measured now and then."""
        chains, fresh = self.algorithm.chains, {}
        if self.step % self.guard.every == 0:
            rng = stream(self.recipe.seed, distributed.rank(), self.step, STABILITY_STREAM, device=self.device)
            # A chain that no EBM learns from is only reported, and its gradients can be dear: a posterior's go through
            # the generator.
            rare = self.step % (4 * self.guard.every) == 0
            watched = {name: chain for name, chain in chains.items() if rare or name in self.guard.ebms}
            fresh = stability(self.algorithm, watched, rng=rng)
            self.measured |= fresh
        return self.guard.check(self.step, seen, fresh, {name: chain.sampler for name, chain in chains.items()})

    def advance(self) -> None:
        """Step every player's optimizer at the scheduled rate."""
        for name, optimizer in self.optimizers.items():
            factor = self.recipe.schedule(self.step) * self.remedies.learning_rate.get(name, 1.0)
            for group, rate in zip(optimizer.param_groups, self.rates[name]):
                group["lr"] = rate * factor
            optimizer.step()
        if self.ema:
            self.ema.update(self.algorithm)
        self.step += 1


def fit(
    recipe: Recipe,
    run: str | Path,
    *,
    device: str | torch.device = "cpu",
    chains: engine.Name = "auto",
    drift: engine.Drift = "same",
    watchers: Sequence[Watcher] = (),
) -> Algorithm:
    """Train a recipe into a run directory; go on where it stopped if the directory holds the same recipe.

    Args:
        recipe: the experiment.
        run: its directory; made if it is not there.
        device: where to train.
        chains: the engine that runs them (absynth.samplers.engine); all give the same to rounding, so a run that is
            to be equal bit for bit goes on with the one it began with.
        drift: "bf16" computes the layers that chains go through in bfloat16, which changes the score by a percent or
            more; the journal says so.
        watchers: told how it goes.

    Returns:
        The trained algorithm, in evaluation mode, with its saved (averaged, if so) weights.

    Raises:
        InputError: the directory is another run's, the data cannot be read, the disk is full.
        Diverged: the guard used up its tries; the run keeps its last good checkpoint.
        KeyboardInterrupt: after a checkpoint was written; the same call goes on from there.
    """
    run, device = Path(run), torch.device(device)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    with distributed.process_group(device):
        recipe = recipe.resolve()
        if recipe.shards % distributed.world():
            raise InputError(
                f"shards must be a multiple of the {distributed.world()} processes, got {recipe.shards}: "
                f"add --shards {distributed.world()}"
            )
        if recipe.batch % recipe.shards:  # slices of unlike sizes would count alike
            raise InputError(f"batch must be a multiple of shards, got batch {recipe.batch}, shards {recipe.shards}")
        if distributed.rank() == 0:
            checkpoint.claim(run, recipe)
        distributed.barrier()
        watchers = watchers if distributed.rank() == 0 else ()
        training = Training(recipe, device)
        journal = Journal(run, watchers)
        state = _latest(run, device, journal)
        if state is not None:
            training.load_state_dict(state)
        also = "" if drift == "same" else f", the drift of its chains in {drift}"
        journal.write("start" if state is None else "resume", training.step, f"{recipe.name()} on {device}{also}")
        metrics = MetricsFile(run, training.step)

        def say(text: str) -> None:
            journal.write("engine", training.step, text)

        for watcher in watchers:
            watcher.begin(recipe, training.step)
        try:
            with _stop_signal() as stopped, engine.use(chains, drift=drift, updates=recipe.steps, say=say):
                _train(training, run, journal, metrics, watchers, stopped)
        finally:
            for watcher in watchers:
                watcher.end()
    return checkpoint.load(run, device=device)


def _train(
    training: Training,
    run: Path,
    journal: Journal,
    metrics: MetricsFile,
    watchers: Sequence[Watcher],
    stopped: threading.Event,
) -> None:
    recipe = training.recipe
    if training.step == 0:
        _save(training, run)  # the guard can always go back to the beginning
    else:
        _export(training, run)  # weights that a kill left behind their checkpoint catch up
    batches = recipe.batches(training.step)
    clock = time.monotonic() - training.seconds
    while training.step < recipe.steps:
        seen = training.learn(next(batches))
        found = training.look(seen) if recipe.guard_retries else None
        # Processes must agree on both, or one would wait for ever for what another has left.
        reports = distributed.gather((found, stopped.is_set()))
        trouble = next((trouble for trouble, _ in reports if trouble), None)
        stop = any(stop for _, stop in reports)
        if trouble:
            _roll_back(training, trouble, run, journal)
            batches, clock = recipe.batches(training.step), time.monotonic() - training.seconds
            metrics.rewind(training.step)
            continue
        training.advance()
        training.seconds = time.monotonic() - clock
        if training.step % recipe.log_every == 0:
            row = {"step": training.step, "seconds": round(training.seconds, 3), **seen, "stability": training.measured}
            for log in (metrics, *watchers):
                log.log(row)
            training.measured = {}
        finished = training.step == recipe.steps
        if training.step % recipe.checkpoint_every == 0 or finished or stop:
            _save(training, run)
        if stop and not finished:
            journal.write("interrupt", training.step, "stopped on request; the same command goes on from here")
            raise KeyboardInterrupt
    text = f"{training.seconds:.0f} s of training, {training.remedies.tries} roll-backs"
    journal.write("finish", training.step, text)


def _save(training: Training, run: Path) -> None:
    state = training.state_dict()
    if distributed.rank() == 0:
        checkpoint.save(run, training.step, state, training.recipe.keep)
    _export(training, run)


def _export(training: Training, run: Path) -> None:
    if distributed.rank() == 0:
        checkpoint.export(run, training.weights())
    distributed.barrier()


def _latest(run: Path, device: torch.device, journal: Journal) -> dict | None:
    """The newest intact checkpoint. Rank 0 goes first: it sets damaged ones aside."""
    state = None
    for rank in range(min(2, distributed.world())):
        if min(1, distributed.rank()) == rank:
            state = checkpoint.latest(run, device, lambda text: journal.write("damaged", 0, text))
        distributed.barrier()
    return state


def _roll_back(training: Training, trouble: Trouble, run: Path, journal: Journal) -> None:
    """Back to a good checkpoint, with the next remedy.

    A trouble that comes back soon after the last one shows that the checkpoint was already going bad, so every second
    try also goes back one checkpoint further.
    """
    recipe, remedies = training.recipe, training.remedies
    if remedies.tries == recipe.guard_retries:
        journal.write("diverged", training.step, str(trouble), tries=remedies.tries)
        raise Diverged(
            f"{trouble}. {remedies.tries} roll-backs did not help (step sizes x {remedies.step_size or 1}, learning "
            f"rates x {remedies.learning_rate or 1}): give a smaller step size or learning rate, or smooth activations"
        )
    remedies, action = remedies.after(trouble, recipe.guard_step_size, recipe.guard_learning_rate)
    if distributed.rank() == 0 and remedies.tries % 2 == 0 and len(checkpoint.checkpoints(run)) > 1:
        _, before = checkpoint.checkpoints(run)[:2]
        checkpoint.drop_after(run, int(before.name.removeprefix("step_")))
    distributed.barrier()
    state = _latest(run, training.device, journal)
    if state is None:
        training.remedies = remedies
        training.restart()
    else:
        training.load_state_dict(state, remedies)
    _save(training, run)  # a kill from here on must not forget the remedies
    journal.write("guard", trouble.step, f"{trouble}; back to step {training.step} with {action}", tries=remedies.tries)


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C or a polite kill sets: the step in hand is finished and a checkpoint written."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: object) -> None:
        if stopped.is_set():  # a second Ctrl-C means now
            raise KeyboardInterrupt
        stopped.set()

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
