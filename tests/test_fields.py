"""Every number that an algorithm takes changes what it does: a field that is accepted and ignored is found.

``OTHER`` gives another value of each; a new field of a new algorithm without one fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from cases import CASES, Case
from torch import Tensor

from absynth.algorithms import Algorithm
from absynth.errors import InputError
from absynth.seeding import stream
from absynth.updates import update

NUMBERS = ("float", "int", "bool", "Sequence[float]", "Sequence[int]", "tuple[float, float]", "Turns", "StepSchedule")

OTHER: dict[str, Any] = {
    "negative_start": "posterior",
    "adding": 0.1,
    "average": 0.9,
    "choose": 1,
    "contrast_weight": 2.5,
    "contrasts": 7,
    "copies": 3,
    "cycle": 3.0,
    "data_noise": 0.2,
    "density_weight": 0.5,
    "draws": 2,
    "drop": 0.9,
    "energy": 2.0,
    "energy_penalty": 0.5,
    "entropy": 2.0,
    "factor": 1.2,
    "flow_share": 0.9,
    "free_nats": 5.0,
    "gate": 0.1,
    "generator_teaching": 2.0,
    "inference_teaching": 0.7,
    "iterations": 0,
    "information_weight": 2.0,
    "label_weight": 2.0,
    "labelled_in_bound": False,
    "last_share": 0.2,
    "likelihood_weight": 3.0,
    "margin": 0.45,
    "memory": 5,
    "negative_weight": 2.0,
    "negatives": 5,
    "neighbours": 1,
    "noise": 0.4,
    "patch": 1,
    "penalty": 1.0,
    "phases": (0.1, 0.2),
    "positive_weight": 0.5,
    "proposal_noise": 0.5,
    "rounds": 3,
    "sample_rounds": 4,
    "score_weight": 2.0,
    "side": 5,
    "sleep": 2.0,
    "slices": 3,
    "spatio_temporal": 2.0,
    "stabilizer": 2.0,
    "start_noise": 0.7,
    "step_schedule": "growing",
    "step_size": 0.1,
    "steps": (5,),
    "teach": 2.0,
    "temperature": 0.5,
    "textures": 3,
    "through": 2.0,
    "tolerance": 0.5,
    "tracking": 2,
    "trim": 0.4,
    "truth": 0.6,
    "turns": "alternate",
    "warmup": 0.5,
}
LEVELS = {"DiffusionRecovery", "CooperativeRecovery", "MultilevelScoreMatching", "DiffusiveClassification"}
"""Whose ``noise`` is one number per level."""

SHAPES = {"classes", "shape", "channels", "sizes", "filters", "bins", "reference", "sides"}
"""Sizes of networks and buffers, which must fit the others."""

IDLE = {
    ("AmortizedLatentPrior", "sample_rounds"): "its flow draws the samples",
    ("CoarseToFine", "last_share"): "one stage has all updates: test_multiscale.py",
    ("NoiseContrastive", "margin"): "both learn in every update: test_noise_contrastive.py",
    ("TexturePyramid", "factor"): "one scale: test_frame.py",
    ("Patchwise", "factor"): "one scale: test_frame.py",
    ("InverseControl", "steps"): "the length of a path",
}
"""Numbers that do nothing in the small algorithm of the table, and why."""


def fields() -> Iterator[tuple[str, str]]:
    """(case, field) for each number of each constructor."""
    for name, case in CASES.items():
        for field, parameter in inspect.signature(type(case.build()).__init__).parameters.items():
            if str(parameter.annotation) in NUMBERS and field not in SHAPES and (name, field) not in IDLE:
                yield name, field


def built(case: Case, changed: dict[str, Any]) -> Algorithm:
    """The algorithm with other arguments."""
    kind = type(case.build())
    init = kind.__init__

    def patched(self: Algorithm, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **(kwargs | changed))

    with mock.patch.object(kind, "__init__", patched):
        return case.build()


def outcome(case: Case, changed: dict[str, Any]) -> list[Tensor]:
    """The losses of four updates and a sample, of the algorithm with other arguments."""
    model = built(case, changed)
    optimizers = {k: torch.optim.SGD(model.get_submodule(k).parameters(), 1e-5) for k in case.players}
    found = []
    for progress in (None, 0.3, 0.55, 0.9):
        if progress is not None:
            model.set_progress(progress)
        losses = update(model, optimizers, *case.batches(6), rng=stream(1))
        found.append(torch.tensor(list(losses.values())))
    if case.draws:
        found.append(model.sample(4, case.batch(4).c, rng=stream(2)))
    return found


@pytest.mark.parametrize(("name", "field"), fields())
def test_every_number_of_a_constructor_matters(name, field):
    case = CASES[name]
    value = OTHER[field]
    if field == "noise" and name in LEVELS:
        value = (0.05, *case.build().noise.tolist()[1 : 3 if "Recovery" in name or "Classification" in name else 2])
    before, after = outcome(case, {}), outcome(case, {field: value})
    same = len(before) == len(after) and all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(before, after))
    assert not same, f"{field} of {name} changes nothing"


AT_LEAST_1, NOT_NEGATIVE = ((1,), (0,)), ((0.0,), (-0.1,))
LIMITS: dict[str, dict[str, tuple[tuple, tuple]]] = {
    "MaximumLikelihood from noise": {"data_noise": NOT_NEGATIVE, "sample_rounds": AT_LEAST_1},
    "EnergyMatching": {
        "temperature": ((0.01,), (0.0,)),
        "flow_share": ((0.0, 1.0), (-0.1, 1.1)),
        "contrast_weight": NOT_NEGATIVE,
        "gate": ((0.0, 0.99), (-0.1, 1.0)),
    },
    "EnergyDiscrepancy": {
        "contrasts": AT_LEAST_1, "stabilizer": NOT_NEGATIVE, "trim": ((0.0, 0.99), (-0.1, 1.0))
    },
    "DiscrepancyPrior": {"contrasts": AT_LEAST_1},
    "DiffusionAmortized": {"average": ((0.1, 1.0), (0.0, 1.1)), "drop": ((0.1, 1.0), (0.0, 1.1))},
    "MixturePrior": {
        "phases": (((0.0, 0.0), (0.0, 1.0), (1.0, 1.0)), ((-0.1, 0.5), (0.5, 0.4), (0.5, 1.1)))
    },
    "DenoisingScoreMatching": {"noise": ((0.01,), (0.0, -0.1)), "sample_rounds": AT_LEAST_1},
    "SlicedScoreMatching": {"slices": AT_LEAST_1},
    "MultilevelScoreMatching": {"noise": (((0.01, 0.99),), ((0.0, 0.5), (-0.1, 0.5), (0.1,), (0.5, 0.5), (0.5, 0.1)))},
    "DiffusiveClassification": {
        "copies": AT_LEAST_1,
        "score_weight": NOT_NEGATIVE,
        "noise": (((0.0, 0.3, 0.7),), ((-0.1, 0.3, 0.7), (0.0, 0.3, 0.3))),
    },
    "DiffusionRecovery": {
        "noise": (((0.01, 0.5, 0.99),), ((), (0.0, 0.3, 0.7), (0.1, 0.5, 1.0), (0.1, 0.5, 0.5), (0.5, 0.1, 0.9)))
    },
    "Introspective": {"rounds": ((1, 9), (0, 10))},
    "FilterPursuit": {"choose": ((1, 3), (0, 4))},
    "Frame": {"tracking": ((0, 5), (-1, 6))},
    "ConditionalCooperative": {"truth": ((0.0, 0.99), (-0.1, 1.0)), "data_noise": NOT_NEGATIVE},
    "DualTeaching": {"generator_teaching": NOT_NEGATIVE, "inference_teaching": NOT_NEGATIVE},
}  # fmt: skip
"""Of numbers that constructors check: values at the edge of what is allowed, and values just outside."""


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in LIMITS.items() for field in fields])
def test_what_is_allowed_ends_where_a_constructor_says(name, field):
    allowed, refused = LIMITS[name][field]
    for value in allowed:
        built(CASES[name], {field: value})
    for value in refused:
        with pytest.raises(InputError):
            built(CASES[name], {field: value})
