"""Two processes train what one process trains with the same slices; they agree on what to do, and only one writes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from small import ModesPrior
from test_guard import CURSED, CursedToy
from test_training import CPU, RECIPES, Interrupts, PersistentToy, assert_same_run, assert_same_state, journal, state
from torch import nn

import absynth
from absynth import checkpoint, distributed, logs, updates
from absynth.algorithms import LatentPrior
from absynth.errors import InputError
from absynth.samplers import FromLast
from absynth.seeding import stream
from absynth.tasks.sample import samples
from absynth.types import Batch

TOY = replace(RECIPES["toy"], shards=2)


@dataclass(frozen=True, kw_only=True)
class HalfCursedToy(CursedToy):
    """The second slice alone fails."""

    shards: int = 2

    def algorithm(self) -> LatentPrior:
        algorithm = super().algorithm()
        algorithm.curses = {stream(self.seed, 1, self.cursed).initial_seed()}
        return algorithm


HALF_CURSED = HalfCursedToy(**{**CURSED.fields(), "steps": 30, "shards": 2})


@dataclass(frozen=True, kw_only=True)
class LastToy(PersistentToy):
    """Posterior chains that go on where those of the same example ended; the data are visited several times."""

    limit: int = 24

    def algorithm(self) -> LatentPrior:
        a = super().algorithm()
        last = FromLast(len(self.examples), a.prior.reference, rng=stream(self.seed, 0, 0, 78))
        return LatentPrior(
            a.prior,
            a.generator,
            prior_sampler=a.prior_sampler,
            posterior_sampler=a.posterior_sampler,
            prior_start=a.prior_start,
            posterior_start=last,
        )


class InterruptedToy(ModesPrior):
    """The second process alone is told to stop, before its eighth step."""

    def batches(self, start: int = 0) -> Iterator[Batch]:
        for i, batch in enumerate(super().batches(start)):
            if i == 7 and distributed.rank() == 1:
                signal.raise_signal(signal.SIGINT)
            yield batch


def one_process(folder: Path) -> None:
    """What one of two processes does; each outcome lands in rankN.json."""
    rank, said = int(os.environ["RANK"]), {}

    def outcome(name: str, recipe, **named) -> None:
        try:
            absynth.fit(recipe, folder / name.partition(" ")[0], **named)
            said[name] = "done"
        except (InputError, KeyboardInterrupt) as error:
            said[name] = f"{type(error).__name__}: {error}"

    watcher = Interrupts(-1)
    if rank == 1:  # must not write
        originals = [(checkpoint, "claim"), (checkpoint, "save"), (checkpoint, "export"), (logs, "_append")]
        kept = [(owner, name, getattr(owner, name)) for owner, name in [*originals, (logs, "write_atomic")]]
        for owner, name, _ in kept:
            setattr(owner, name, lambda *_: pytest.fail("rank 1 wrote"))
    outcome("toy", TOY, callbacks=[watcher])  # joins the group that the environment describes, and leaves it
    said["watched"] = hasattr(watcher, "begun")
    said["left"] = not dist.is_initialized()
    dist.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=2)
    outcome("indivisible", RECIPES["toy"])
    outcome("half_cursed", HALF_CURSED)
    outcome("persistent", PersistentToy())
    outcome("cut", PersistentToy(steps=6))
    outcome("cut again", PersistentToy())
    outcome("last", LastToy())
    outcome("fewer", LastToy(steps=6))
    outcome("interrupted", InterruptedToy(**TOY.fields()))
    mean = [torch.full((2,), float(rank)), torch.full((3,), float(rank), dtype=torch.float64)]
    distributed.average(mean)
    said["mean"] = [t.tolist() for t in mean]
    said["gather"] = distributed.gather(rank)
    model, drawn = absynth.load(folder / "toy"), []
    draw = model.sample
    model.sample = lambda n, c, *, rng: (drawn.append(n), draw(n, c, rng=rng))[1]
    said["samples"], said["drawn"] = samples(model, 7, seed=3).tolist(), drawn
    dist.destroy_process_group()
    (folder / f"rank{rank}.json").write_text(json.dumps(said))


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[Path, dict, dict]:
    """The folder of runs that two processes trained, and what each said."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        "import sys, torch; from pathlib import Path; torch.set_num_threads(1); sys.path.insert(0, sys.argv[1])\n"
        "import test_distributed; test_distributed.one_process(Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(folder)]
    common = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(command, env=common | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    try:
        errors = [process.communicate(timeout=240)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return folder, *(json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1))


def test_two_processes_train_what_one_trains(two, tmp_path):
    folder, *said = two
    assert [one["toy"] for one in said] == ["done", "done"]
    absynth.fit(TOY, tmp_path)
    ours, theirs = state(tmp_path), state(folder / "toy")
    # Halving and doubling are exact, so two slices give the same bits; in general float32 rounding differs.
    assert_same_state(
        {k: ours[k] for k in ("algorithm", "optimizers")}, {k: theirs[k] for k in ("algorithm", "optimizers")}
    )
    absynth.fit(replace(TOY, shards=1), tmp_path / "whole")
    weight = "prior.f.0.weight"
    assert not torch.allclose(ours["algorithm"][weight], state(tmp_path / "whole")["algorithm"][weight], atol=1e-6)


def test_only_the_first_process_writes_and_tells(two):
    folder, first, second = two
    assert (first["watched"], second["watched"]) == (True, False)
    assert (first["left"], second["left"]) == (True, True)
    assert [row["event"] for row in journal(folder / "toy")] == ["start", "finish"]


def test_samples_are_shared_out_and_are_those_of_one_process(two):
    folder, *said = two
    assert [one["drawn"] for one in said] == [[4], [3]]
    assert said[0]["samples"] == said[1]["samples"]
    alone = samples(absynth.load(folder / "toy"), 7, seed=3)
    torch.testing.assert_close(torch.tensor(said[0]["samples"]), alone)


def test_slices_must_be_shared_out(two):
    folder, *said = two
    for one in said:
        assert one["indivisible"].startswith("InputError: shards must be a multiple of the 2 processes, got 1")
    assert not (folder / "indivisible").exists()


def test_trouble_in_one_process_rolls_back_both(two, tmp_path):
    folder, *_ = two
    assert [row["event"] for row in journal(folder / "half_cursed")] == ["start", "guard", "finish"]
    assert "step 25: prior: its loss is nan; back to step 20" in journal(folder / "half_cursed")[1]["text"]
    absynth.fit(HALF_CURSED, tmp_path)
    ours, theirs = state(tmp_path), state(folder / "half_cursed")
    for key in ("algorithm", "optimizers", "remedies"):
        assert_same_state({key: ours[key]}, {key: theirs[key]})


@pytest.mark.parametrize(("name", "recipe"), [("persistent", PersistentToy()), ("last", LastToy())])
def test_stored_chains_are_those_of_one_process(two, name, recipe, tmp_path):
    folder, *said = two
    assert [one[name] for one in said] == ["done", "done"]
    absynth.fit(recipe, tmp_path)
    ours, theirs = state(tmp_path), state(folder / name)
    for key in ("algorithm", "optimizers", "ema"):
        assert_same_state({key: ours[key]}, {key: theirs[key]})
    for buffers in theirs["buffers"]:
        assert_same_state(buffers, ours["buffers"][0])
    assert (tmp_path / "model.safetensors").read_bytes() == (folder / name / "model.safetensors").read_bytes()


def test_resumed_processes_go_on_with_their_chains(two):
    folder, *_ = two
    assert_same_run(folder / "persistent", folder / "cut")


def test_one_process_resumes_what_two_began(two, tmp_path):
    folder, *_ = two
    shutil.copytree(folder / "fewer", tmp_path / "run")
    absynth.fit(LastToy(), tmp_path / "run")
    ours, theirs = state(tmp_path / "run"), state(folder / "last")
    for key in ("algorithm", "optimizers", "ema"):
        assert_same_state({key: ours[key]}, {key: theirs[key]})


def test_processes_stop_together(two):
    folder, *said = two
    assert [one["interrupted"] for one in said] == ["KeyboardInterrupt: ", "KeyboardInterrupt: "]
    assert journal(folder / "interrupted")[-1]["event"] == "interrupt"
    assert state(folder / "interrupted")["step"] == journal(folder / "interrupted")[-1]["step"] == 8


def test_averages_and_gathers(two):
    for one in two[1:]:
        assert one["mean"] == [[0.5] * 2, [0.5] * 3]
        assert one["gather"] == [0, 1]


def test_alone_there_is_nothing_to_exchange():
    x = torch.ones(2)
    distributed.average([x])
    distributed.barrier()
    assert (x.tolist(), distributed.gather("a"), distributed.rank(), distributed.world()) == ([1, 1], ["a"], 0, 1)


# Slices in one process ------------------------------------------------------------------------------------------------


def test_slices_average_to_the_whole_batch():
    """Without noise, neither loss nor gradient may depend on the number of slices."""

    class Plain(absynth.Algorithm):
        def __init__(self) -> None:
            super().__init__()
            self.generator = nn.Linear(10, 1)

        def losses(self, batch, *, rng):
            return {"generator": self.generator(batch.x).square().mean()}

        def sample(self, n, c=None, *, rng):
            raise NotImplementedError

    class Slices(ModesPrior):
        def algorithm(self):
            return Plain()

        def optimizers(self, algorithm):
            return {"generator": torch.optim.SGD(algorithm.parameters(), 0.1)}

    x = torch.randn(12, 10)
    seen, gradients = [], []
    for shards in (1, 4):
        one = updates.Training(Slices(batch=12, shards=shards).resolve(), CPU)
        seen.append(one.learn(Batch(x)))
        gradients.append(one.algorithm.generator.weight.grad)
    torch.testing.assert_close(*gradients)
    assert seen[0]["loss"]["generator"] == pytest.approx(seen[1]["loss"]["generator"], rel=1e-5)
    assert seen[0]["gradient"]["generator"] == pytest.approx(seen[1]["gradient"]["generator"], rel=1e-5)


def test_slices_draw_their_own_noise_and_all_are_looked_at():
    one = updates.Training(replace(RECIPES["toy"], shards=4).resolve(), CPU)
    ends = []
    run_chain = one.algorithm.run_chain

    def watched(name, *arguments, rng):
        end = run_chain(name, *arguments, rng=rng)
        ends.append((name, end))
        return end

    one.algorithm.run_chain = watched
    seen = one.learn(next(one.recipe.batches()))
    prior = [end for name, end in ends if name == "prior"]
    assert len(prior) == 4
    assert len({tuple(end.flatten().tolist()) for end in prior}) == 4
    assert seen["reach"]["prior"] == torch.cat(prior).abs().max()


def test_a_batch_that_slices_do_not_divide_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"batch must be a multiple of shards, got batch 8, shards 3"):
        absynth.fit(replace(RECIPES["toy"], shards=3), tmp_path / "run")
    assert not (tmp_path / "run").exists()
