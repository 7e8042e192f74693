"""The loop: resumed runs equal uninterrupted ones bit for bit, no loss leaks, and the averages are what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from small import ModesPrior, digits
from torch import nn

import absynth
from absynth import checkpoint, training, updates
from absynth.algorithms import LatentPrior
from absynth.recipes import Recipe
from absynth.samplers import engine
from absynth.samplers.start import Persistent
from absynth.seeding import stream

CPU = torch.device("cpu")

# Test-only recipes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PersistentToy(ModesPrior):
    """Persistent chains, averaged weights, slices and a schedule at once."""

    steps: int = 12
    batch: int = 8
    shards: int = 2
    ema: float = 0.9
    log_every: int = 3
    checkpoint_every: int = 5
    keep: int = 100
    prior_steps: int = 3
    posterior_steps: int = 3

    def algorithm(self) -> LatentPrior:
        a = super().algorithm()
        return LatentPrior(
            a.prior,
            a.generator,
            prior_sampler=a.prior_sampler,
            posterior_sampler=a.posterior_sampler,
            prior_start=Persistent(16, a.prior.reference, 0.1, rng=stream(self.seed, 0, 0, 77)),
        )

    def schedule(self, step: int) -> float:
        return 1 / (1 + step)

    def tiny(self) -> Recipe:
        return self


RECIPES = {
    "toy": replace(ModesPrior().tiny().resolve(), steps=12, checkpoint_every=5, log_every=3, keep=100),
    "digits": replace(digits(), steps=9, checkpoint_every=4, log_every=3, keep=100),
    "persistent": PersistentToy().resolve(),
}


class Interrupts:
    """A watcher that presses Ctrl-C at a step."""

    def __init__(self, step: int, times: int = 1) -> None:
        self.step, self.times, self.said, self.ended = step, times, [], 0

    def begin(self, recipe, step):
        self.begun = step

    def log(self, row):
        if row["step"] == self.step:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)

    def say(self, text):
        self.said.append(text)

    def end(self):
        self.ended += 1


def journal(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]


def metrics(run: Path) -> list[dict]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def flat(value: object, at: str = "") -> dict[str, object]:
    """A nested state as one dict, without times."""
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() if key != "seconds" for k, v in flat(inner, f"{at}/{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for i, inner in enumerate(value) for k, v in flat(inner, f"{at}/{i}").items()}
    return {at: value}


def assert_same_state(a: dict, b: dict) -> None:
    a, b = flat(a), flat(b)
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]) if isinstance(a[key], torch.Tensor) else a[key] == b[key], key


def state(run: Path, step: int | None = None) -> dict:
    folder = checkpoint.checkpoints(run)[0] if step is None else run / f"step_{step:06d}"
    return torch.load(folder / "state.pt", weights_only=True)


def assert_same_run(a: Path, b: Path) -> None:
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()
    assert_same_state(state(a), state(b))
    assert metrics(a) == metrics(b)


# Stopping and going on -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_interrupted_run_equals_an_uninterrupted_one(name, tmp_path):
    recipe = RECIPES[name]
    absynth.fit(recipe, tmp_path / "whole")
    ctrl_c = Interrupts(3)
    with pytest.raises(KeyboardInterrupt):
        absynth.fit(recipe, tmp_path / "cut", callbacks=[ctrl_c])
    assert journal(tmp_path / "cut")[-1]["event"] == "interrupt"
    assert ctrl_c.ended == 1
    stopped = state(tmp_path / "cut")["step"]
    assert 3 <= stopped <= 4  # the step in hand is finished, and no more
    assert (tmp_path / "cut/model.safetensors").read_bytes() != (tmp_path / "whole/model.safetensors").read_bytes()
    again = Interrupts(-1)
    absynth.fit(recipe, tmp_path / "cut", callbacks=[again])
    assert again.begun == stopped
    assert again.said[0].startswith("resume")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    assert [row["event"] for row in journal(tmp_path / "cut")] == ["start", "interrupt", "resume", "finish"]


def test_the_comparison_sees_a_chain_that_was_forgotten(tmp_path, monkeypatch):
    recipe = RECIPES["persistent"]
    absynth.fit(recipe, tmp_path / "whole")
    load = updates.Training.load_state_dict

    def forgets(self, state, remedies=None):
        load(self, state, remedies)
        self.algorithm.prior_start.chains.zero_()

    monkeypatch.setattr(updates.Training, "load_state_dict", forgets)
    with pytest.raises(KeyboardInterrupt):
        absynth.fit(recipe, tmp_path / "cut", callbacks=[Interrupts(3)])
    absynth.fit(recipe, tmp_path / "cut")
    with pytest.raises(AssertionError):
        assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_measurement_before_the_interrupt_is_logged_after_it(tmp_path):
    recipe = replace(RECIPES["toy"], log_every=6, checkpoint_every=2)
    absynth.fit(recipe, tmp_path / "whole")
    assert metrics(tmp_path / "whole")[0]["stability"].keys() == {"prior", "posterior"}
    absynth.fit(replace(recipe, steps=4), tmp_path / "cut")  # ends between the measurement (0) and its line (6)
    absynth.fit(recipe, tmp_path / "cut")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_killed_process_goes_on_bit_for_bit(tmp_path):
    recipe = replace(RECIPES["toy"], steps=10**6, checkpoint_every=10, keep=2)
    code = (
        "import sys, torch, absynth; from dataclasses import replace; from pathlib import Path\n"
        "from absynth.recipes import Recipe; from absynth.files import read_json\n"
        "torch.set_num_threads(1); recipe = Recipe.from_entry(read_json(Path(sys.argv[2])))\n"
        "absynth.fit(replace(recipe, dataset=None), sys.argv[1])\n"
    )
    (tmp_path / "entry.json").write_text(json.dumps(recipe.entry()))
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen([sys.executable, "-c", code, str(killed), str(tmp_path / "entry.json")])
    try:
        end = time.monotonic() + 120
        while not any(killed.glob("step_00002*")) and time.monotonic() < end and process.poll() is None:
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    last = int(checkpoint.checkpoints(killed)[0].name.removeprefix("step_"))
    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')  # a kill in the middle of a line
    (killed / ".step_000030.1.tmp").mkdir()  # and of a checkpoint
    recipe = replace(recipe, steps=last + 7)  # so few updates that auto would leave the engine of a million
    absynth.fit(recipe, killed, chains="traced")
    absynth.fit(recipe, whole, chains="traced")
    assert_same_run(whole, killed)
    assert not [p for p in killed.iterdir() if p.name.endswith(".tmp")]


def test_a_second_ctrl_c_is_immediate(tmp_path):
    before = signal.getsignal(signal.SIGINT)  # a shell's background job starts with it ignored
    with pytest.raises(KeyboardInterrupt):
        absynth.fit(RECIPES["toy"], tmp_path, callbacks=[Interrupts(3, times=2)])
    assert state(tmp_path)["step"] == 0  # nothing was written for the first one either
    assert [row["event"] for row in journal(tmp_path)] == ["start"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_polite_kill_is_an_interrupt(tmp_path):
    class Terminated(Interrupts):
        def log(self, row):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        absynth.fit(RECIPES["toy"], tmp_path, callbacks=[Terminated(0)])
    assert journal(tmp_path)[-1]["event"] == "interrupt"


def test_a_finished_run_is_extended(tmp_path):
    recipe = RECIPES["toy"]
    absynth.fit(recipe, tmp_path / "whole")
    absynth.fit(replace(recipe, steps=6), tmp_path / "twice")
    assert state(tmp_path / "twice")["step"] == 6
    absynth.fit(recipe, tmp_path / "twice")
    assert_same_run(tmp_path / "whole", tmp_path / "twice")
    before = state(tmp_path / "twice")
    absynth.fit(recipe, tmp_path / "twice")  # nothing left to do
    assert_same_state(before, state(tmp_path / "twice"))


def test_weights_that_a_kill_left_behind_their_checkpoint_catch_up(tmp_path, monkeypatch):
    recipe = RECIPES["toy"]
    absynth.fit(recipe, tmp_path / "whole")
    export = checkpoint.export

    def dies(run, weights):
        if weights.config["step"] == recipe.steps:
            raise KeyboardInterrupt
        export(run, weights)

    monkeypatch.setattr(checkpoint, "export", dies)
    with pytest.raises(KeyboardInterrupt):
        absynth.fit(recipe, tmp_path / "cut")
    monkeypatch.undo()
    absynth.fit(recipe, tmp_path / "cut")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


# One step ------------------------------------------------------------------------------------------------------------


def test_update_is_one_step_of_fit(tmp_path):
    recipe = replace(digits(), steps=2)
    trained = absynth.fit(recipe, tmp_path, chains="eager")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        algorithm = recipe.algorithm().train()
    optimizers, batches = recipe.optimizers(algorithm), recipe.batches()
    losses = [absynth.update(algorithm, optimizers, next(batches), rng=stream(0, 0, step)) for step in range(2)]
    for name, value in algorithm.state_dict().items():
        assert torch.equal(value, trained.state_dict()[name]), name
    assert [row["loss"] for row in metrics(tmp_path)] == losses


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 3), nn.Linear(3, 1)
        self.double()


def test_no_loss_leaks_into_another_player():
    torch.manual_seed(0)
    two, x = Two(), torch.randn(5, 2, dtype=torch.float64)
    both = two.b(two.a(x).tanh())  # one graph through both players, two losses
    losses = {"a": both.square().mean(), "b": (both - 1).abs().mean()}
    updates.backward(losses, {"a": two.a, "b": two.b}, scale=0.25)
    both = two.b(two.a(x).tanh())
    expected = torch.autograd.grad(both.square().mean(), list(two.a.parameters()), retain_graph=True)
    expected += torch.autograd.grad((both - 1).abs().mean(), list(two.b.parameters()))
    for p, gradient in zip(two.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, gradient / 4)


# Averages and schedules ----------------------------------------------------------------------------------------------


def test_ema_equals_its_formula():
    torch.manual_seed(0)
    two = Two()
    ema = updates.EMA(two, 0.5)
    expected = {k: v.clone() for k, v in two.state_dict().items()}
    for step, decay in enumerate([1 / 10, 2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15, 7 / 16, 8 / 17, 0.5, 0.5]):
        with torch.no_grad():
            for p in two.parameters():
                p.add_(torch.randn_like(p))
        ema.update(two, step)
        expected = {k: decay * v + (1 - decay) * two.state_dict()[k] for k, v in expected.items()}
    assert ema.average.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(ema.average[name], value)


def test_the_average_is_what_is_saved_and_tied_weights_stay_tied(tmp_path):
    recipe = PersistentToy()
    trained = absynth.fit(recipe, tmp_path)
    saved = state(tmp_path)
    for name, value in trained.named_parameters():
        assert torch.equal(value, saved["ema"][name])
    differ = [
        not torch.equal(value, saved["algorithm"][name]) for name, value in trained.prior.named_parameters("prior")
    ]
    assert sum(differ) >= 4  # the bias of f has no gradient
    two = Two()
    two.c = two.b
    ema = updates.EMA(two, 0.5)
    ema.update(two, 0)
    checkpoint.export(tmp_path, checkpoint.Weights({**two.state_dict(), **ema.average}, {}))
    weights = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert torch.equal(weights["b.weight"], weights["c.weight"])


def test_the_schedule_sets_every_rate():
    one = updates.Training(PersistentToy(energy_lr=0.5).resolve(), CPU)
    rates = []
    batches = one.recipe.batches()
    for _ in range(3):
        one.learn(next(batches))
        one.advance()
        rates.append(one.optimizers["prior"].param_groups[0]["lr"])
    assert rates == [0.5, 0.25, 0.5 / 3]


def test_global_randomness_is_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    absynth.fit(RECIPES["toy"], tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_a_budget_is_measured_with_the_engine_that_trains(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(training, "cost_of_update", lambda _: seen.append(engine._current.get().name) or 30.0)
    absynth.fit(RECIPES["toy"], tmp_path, minutes=1, chains="traced")
    assert seen == ["traced"]
    assert checkpoint.recorded_steps(tmp_path) == 2


def test_the_cost_of_a_method_that_grows_is_that_of_its_mean_update(monkeypatch):
    """The first updates, on the coarsest scale, would promise a fraction of what training takes."""
    one, now = updates.Training(replace(RECIPES["toy"], steps=1000), CPU), [0.0]

    def grow(_, share: float) -> None:
        now[0] += share  # an update costs as many seconds as the share that is done

    monkeypatch.setattr(type(one.algorithm), "set_progress", grow)
    assert training.cost_of_update(one, 0.0, clock=lambda: now[0]) == pytest.approx(0.5, abs=0.01)
