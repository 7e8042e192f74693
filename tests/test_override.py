"""Numbers changed on purpose on resume: refused without ``override``, in force and in the journal with it."""

from __future__ import annotations

import json

import pytest
import torch

import absynth as ab
from absynth.errors import InputError
from absynth.updates import Training


def recipe(**fields) -> ab.Recipe:
    return ab.recipe("dual_teaching", "wide_ring", tiny=True, **{"steps": 4, "threads": 1} | fields)


def advanced(training: Training) -> dict:
    """The state after three updates."""
    batches = training.recipe.batches()
    for _ in range(3):
        training.learn(next(batches))
        training.advance()
    return training.state_dict()


def test_a_changed_rate_is_refused_and_with_override_in_force_and_in_the_journal(tmp_path):
    before = ab.fit(recipe(), tmp_path / "run")
    with pytest.raises(InputError, match=r"energy_lr .* there, 0.5 now.*override"):
        ab.fit(recipe(steps=6, energy_lr=0.5), tmp_path / "run")
    after = ab.fit(recipe(steps=6, energy_lr=0.5), tmp_path / "run", override=True)
    moved = [float((a - b).abs().max()) for a, b in zip(before.ebm.parameters(), after.ebm.parameters())]
    assert max(moved) > 0.2  # Adam moves by about the rate
    events = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    assert any(e["event"] == "override" and "energy_lr" in e["text"] and e["step"] == 4 for e in events)
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["fields"]["energy_lr"] == 0.5
    ab.fit(recipe(steps=7, energy_lr=0.5), tmp_path / "run")  # it has that rate from here on


def test_what_networks_depend_on_is_never_overridden(tmp_path):
    ab.fit(recipe(steps=2), tmp_path / "run")
    with pytest.raises(InputError, match="energy_width") as error:
        ab.fit(recipe(steps=2, energy_width=9), tmp_path / "run", override=True)
    assert "override" not in str(error.value)


def test_a_resumed_optimizer_has_the_numbers_of_the_recipe():
    """An optimizer's own state would bring its old weight decay back in silence."""
    state = advanced(Training(recipe(), torch.device("cpu")))
    changed = Training(recipe(generator_weight_decay=0.125), torch.device("cpu"))
    changed.load_state_dict(state)
    assert changed.optimizers["generator"].param_groups[0]["weight_decay"] == 0.125


def test_averaging_that_is_turned_on_begins_at_the_trained_weights():
    state = advanced(Training(recipe(), torch.device("cpu")))
    averaged = Training(recipe(ema=0.9), torch.device("cpu"))
    averaged.load_state_dict(state)
    for name, value in averaged.latest_weights().items():
        assert torch.equal(value, state["algorithm"][name]), name
