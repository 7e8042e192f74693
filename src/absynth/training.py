"""The one loop that trains everything: updates, logs, checkpoints, roll-backs, resume."""

from __future__ import annotations

import math
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from absynth import checkpoint, distributed, lock
from absynth.algorithms import Algorithm
from absynth.data import sets
from absynth.devices import choose_device
from absynth.errors import Diverged, InputError, with_fields
from absynth.files import refused
from absynth.guard import Trouble
from absynth.logs import Callback, Journal, MetricsFile
from absynth.recipes.recipe import Recipe, absolute
from absynth.samplers import engine
from absynth.updates import Training

PLACES = 8
"""Shares of training at which the cost of an update is measured, of a method that changes with the share done."""


def fit(
    recipe: Recipe,
    run: str | Path,
    *,
    data: Any = None,
    minutes: int | float | None = None,
    override: bool = False,
    device: str | torch.device = "cpu",
    chains: engine.Name = "auto",
    drift: engine.Drift = "same",
    callbacks: Sequence[Callback] = (),
) -> Algorithm:
    """Train a recipe into a run directory, or resume where it stopped.

    Args:
        recipe: The method with its numbers.
        run: Run directory. Created if missing; an existing run of the same recipe is resumed.
        data: Data set in memory or elsewhere: what :func:`absynth.data.open` takes. Defaults to the recipe's own.
        minutes: Train for about this long: the cost of the first updates is measured and ``steps`` set from it.
            A resumed run keeps the number it began with.
        override: Whether learning rates, step sizes and weights of terms may differ from those that the run began with;
            the journal records the change.
        device: Where to train.
        chains: Engine that runs the chains (absynth.samplers.engine). All give the same result to rounding, so a run
            that must be equal bit for bit is resumed with the engine it began with.
        drift: "bf16" computes the layers that chains pass through in bfloat16, which changes the score by a percent or
            more; the journal records it.
        callbacks: Receive progress, for example a :class:`absynth.logs.ProgressBar`.

    Returns:
        The trained algorithm in evaluation mode, with its saved (averaged, if the recipe averages) weights.

    Raises:
        InputError: The directory holds another run, the data cannot be read or changed or are of another kind than the
            recipe takes, the disk is full.
        Diverged: The guard used up its retries; the run keeps its last good checkpoint.
        KeyboardInterrupt: After a checkpoint was written; the same call resumes.
    """
    if minutes is not None:
        check_minutes(minutes)
    if not isinstance(recipe, Recipe):
        raise InputError(f"expected a recipe, got {recipe!r}: ab.recipe(METHOD, DATA) makes one")
    run, device = Path(run).expanduser(), choose_device(device)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    with ExitStack() as stack:
        for context in (torch.inference_mode(False), torch.enable_grad(), distributed.process_group(device)):
            stack.enter_context(context)
        _fit(stack, recipe, run, data, minutes, override, device, chains, drift, callbacks)
    return checkpoint.load(run, device=device)


def _fit(
    stack: ExitStack,
    recipe: Recipe,
    run: Path,
    data: Any,
    minutes: int | float | None,
    override: bool,
    device: torch.device,
    chains: engine.Name,
    drift: engine.Drift,
    callbacks: Sequence[Callback],
) -> None:
    callbacks = callbacks if distributed.rank() == 0 else ()
    if data is not None:
        recipe = _on(recipe, data)
    recipe = recipe.resolve()
    ahead = recipe.steps
    if minutes is not None:
        with engine.use(chains, drift=drift, updates=ahead, say=lambda text: None):  # the cost is its own
            recipe = within(recipe, minutes, run, device, callbacks)
        ahead = max(ahead, recipe.steps)
    if recipe.shards % distributed.world():
        raise InputError(
            f"shards must be a multiple of the {distributed.world()} processes, got {recipe.shards}: "
            f"add --shards {distributed.world()}"
        )
    if recipe.batch % recipe.shards:  # slices of unlike sizes would count alike
        raise InputError(f"batch must be a multiple of shards, got batch {recipe.batch}, shards {recipe.shards}")
    # Before the run is claimed: what cannot be trained leaves no run behind.
    training = Training(recipe, device)
    if not checkpoint.checkpoints(run):
        next(iter(recipe.batches()))
    overridden = ""
    if distributed.rank() == 0:
        overridden = _claim(stack, run, recipe, override)
    distributed.barrier()
    journal = Journal(run, callbacks)
    state = _latest(run, device, journal)
    if state is not None:
        _restore(training, state, run)
    elif (done := checkpoint.finished(run)) > 0:
        raise InputError(
            f"{run} holds a model of {done} updates but no intact checkpoint, and training would overwrite it: choose "
            "another --out, or move model.safetensors away"
        )
    if overridden:
        journal.write("override", training.step, overridden)
    also = "" if drift == "same" else f", the drift of its chains in {drift}"
    journal.write("start" if state is None else "resume", training.step, f"{recipe.name()} on {device}{also}")
    metrics = MetricsFile(run, training.step)

    def say(text: str) -> None:
        journal.write("engine", training.step, text)

    for callback in callbacks:
        if training.done:
            callback.say(with_fields(_finished(run, training)))
        callback.begin(recipe, training.step)
    try:
        with _stop_signal() as stopped, engine.use(chains, drift=drift, updates=ahead, say=say):
            _train(training, run, journal, metrics, callbacks, stopped)
    finally:
        for callback in callbacks:
            callback.end()


def _claim(stack: ExitStack, run: Path, recipe: Recipe, override: bool) -> str:
    """Lock and claim the run directory until the end of training; what was overridden, in words."""
    fresh = not run.exists()
    try:
        run.mkdir(parents=True, exist_ok=True)
        stack.enter_context(lock.hold(run))
    except OSError as error:
        raise refused(run, error) from error
    try:
        return checkpoint.claim(run, recipe, override=override)
    except InputError:
        if not (run / "recipe.json").exists():  # leaves a folder that is no run as it was
            (run / lock.NAME).unlink(missing_ok=True)
            if fresh:
                run.rmdir()
        raise


def _restore(training: Training, state: dict, run: Path) -> None:
    """Load a checkpoint; an InputError if it does not fit the recipe."""
    try:
        training.load_state_dict(state)
    except (RuntimeError, KeyError, ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"the checkpoint in {run} does not fit its recipe ({reason}): choose another --out") from None


def _on(recipe: Recipe, data: Any) -> Recipe:
    """The recipe on data in memory or elsewhere."""
    recipe.check_kind(recipe.kind or sets.kind_before_reading(data), str(data) if isinstance(data, str | Path) else "")
    opened = sets.open(data, kind=recipe.kind, **({} if isinstance(data, sets.Dataset) else recipe.reader_options()))
    # Of data in memory, no name of other data may stay: tasks would open those.
    where = absolute(str(data)) if isinstance(data, str | Path) else opened.source
    return replace(recipe, data=where, dataset=opened)


def _finished(run: Path, training: Training) -> str:
    """What to do with a run that has nothing left to train."""
    if training.step < training.recipe.steps:
        of = f"{training.step} of {training.recipe.steps}"
        return f"{run} has stopped early, at update {of}: a larger --patience trains on"
    return f"{run} is finished, with all of its {training.step} updates: --steps {2 * training.step} trains on"


def check_minutes(minutes: int | float) -> None:
    """Raise an InputError unless a budget is a positive number of minutes."""
    if not isinstance(minutes, int | float) or not 0 < minutes < math.inf:
        raise InputError(f"expected a positive number of --minutes, got {minutes}")


def within(
    recipe: Recipe, minutes: int | float, run: Path, device: torch.device, callbacks: Sequence[Callback] = ()
) -> Recipe:
    """The recipe with ``steps`` set so that training takes about so many minutes; callbacks are told.

    A run that exists keeps its number of steps, whatever the machine's speed now is.
    """
    known = distributed.gather(checkpoint.recorded_steps(run))[0]
    if known is None:
        # One process decides: the others measure a little more or less, and all must take as many steps.
        cost = distributed.gather(cost_of_update(Training(recipe, device)))[0]
        known = max(1, round(60 * minutes / cost))
        text = f"{known} updates at {cost:.2g} s each fill {minutes:g} minutes"
    else:
        text = f"{run} keeps its {known} updates, for --minutes is the budget of a new run: --steps N changes them"
    for callback in callbacks:
        callback.say(with_fields(text))
    found = replace(recipe, steps=known)
    return replace(found, checkpoint_every=max(1, min(recipe.checkpoint_every, known // 4)))


def cost_of_update(training: Training, seconds: float = 3.0, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that one update takes, measured for at most about ``seconds``.

    The median over updates that follow a warm-up. A method that changes with the share of training that is done, such
    as one that grows from coarse to fine, is measured at as many shares of it as ``PLACES``, and their mean returned.
    """
    changes = type(training.algorithm).set_progress is not Algorithm.set_progress
    places, least = (PLACES, 2) if changes else (1, 4)
    batches, medians = training.recipe.batches(), []
    for place in range(places):
        training.step = int((place + 0.5) / places * training.recipe.steps) if changes else 0
        times: list[float] = []
        end = time.perf_counter() + seconds / places
        while len(times) < least or (len(times) < 50 and time.perf_counter() < end):
            batch, begun = next(batches), clock()
            training.look(training.learn(batch))
            training.advance()
            if training.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(clock() - begun)
        medians.append(statistics.median(times[least // 2 :]))
    return statistics.fmean(medians)


def _train(
    training: Training,
    run: Path,
    journal: Journal,
    metrics: MetricsFile,
    callbacks: Sequence[Callback],
    stopped: threading.Event,
) -> None:
    recipe = training.recipe
    if training.step == 0:
        _save(training, run)  # the guard can always go back to the beginning
    else:
        _export(training, run)  # weights that a kill left behind their checkpoint catch up
    batches = recipe.batches(training.step)
    clock = time.monotonic() - training.seconds
    while not training.done:
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
        due = training.step % recipe.checkpoint_every == 0 or training.done
        if due and (found := training.judge()):
            journal.write("held-out", training.step, found)
        if training.step % recipe.log_every == 0:
            row = {"step": training.step, "seconds": round(training.seconds, 3), **seen, "stability": training.measured}
            row |= {"held-out": training.figures} if training.figures else {}
            for log in (metrics, *callbacks):
                log.log(row)
            training.measured, training.figures = {}, {}
        finished = training.done
        if due or stop:
            _save(training, run)
        if stop and not finished:
            journal.write("interrupt", training.step, "stopped on request; the same command resumes from here")
            raise KeyboardInterrupt
    text = f"{training.seconds:.0f} s of training, {training.remedies.tries} roll-backs"
    if training.remedies.tries:
        text += f" (went on with {training.remedies}: compare samples with data before you use the model)"
    if training.held_out is not None:
        best = training.best
        text += f", weights of step {best.step} with held-out {recipe.select_by} {best.figure:.5g}"
    if training.step < recipe.steps:
        text += f", stopped early at step {training.step}"
    journal.write("finish", training.step, text, tries=training.remedies.tries)


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
            f"{trouble}. {remedies.tries} roll-backs did not help ({remedies}): give a smaller step size or learning "
            f"rate, or smooth activations"
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
    """An event that Ctrl-C or SIGTERM sets: the current update is finished and a checkpoint written."""
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
