"""The anomaly protocol for labelled images: one class held out.

All images of both splits are pooled. 80 % of those that are not of the held-out class train the model; the other 20 %
and *all* images of the held-out class are the test set. The permutation is fixed and drawn once for both parts, so no
test image was seen in training. (Some published code draws it anew for the test part, which puts about 80 % of the
normal test images into the training set.)
"""

from __future__ import annotations

from dataclasses import replace

import torch

from absynth.data.images import Images
from absynth.errors import InputError
from absynth.seeding import stream

SPLIT_SEED = 42


def held_out(train: Images, test: Images, label: int) -> dict[str, Images]:
    """The two parts of the protocol, ``{"train": ..., "test": ...}``, both with their labels.

    Args:
        train: The data set's training split, labelled.
        test: Its test split, labelled.
        label: The class to hold out: its name where the names are numbers, else its number.

    Returns:
        ``train`` has no image of the class; in ``test`` an image is an anomaly where its label equals ``label``.
    """
    if train.labels is None or test.labels is None:
        raise InputError("anomaly detection by a held-out class needs labels, got none: leave out --anomaly")
    label = train.class_names.index(str(label)) if str(label) in train.class_names else label
    x, labels = torch.cat([train.tensor(), test.tensor()]), torch.cat([train.labels, test.labels])
    normal = (labels != label).nonzero().squeeze(1)
    if len(normal) == len(labels):
        known = ", ".join(train.class_names[:10]) or f"{labels.min()} to {labels.max()}"
        raise InputError(f"--anomaly must be a label of the data ({known}), got {label}")
    order = normal[torch.randperm(len(normal), generator=stream(SPLIT_SEED))]
    cut = len(order) * 4 // 5
    parts = {"train": order[:cut], "test": torch.cat([order[cut:], (labels == label).nonzero().squeeze(1)])}
    names = (*train.names, *test.names)
    return {
        name: replace(
            train, x=x[rows], labels=labels[rows], names=tuple(names[i] for i in rows.tolist()) if names else ()
        )
        for name, rows in parts.items()
    }
