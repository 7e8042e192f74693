"""Which device to compute on."""

from __future__ import annotations

import torch

from absynth.errors import InputError


def available() -> list[str]:
    """Devices that are there: cpu always, then accelerators."""
    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """The device of that name; ``auto`` takes the first GPU where there is one."""
    there = available()
    if name == "auto":
        return torch.device("cuda:0" if "cuda:0" in there else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise InputError(f"expected a device such as {', '.join(there)}, got {name!r}") from None
    full = f"cuda:{device.index or 0}" if device.type == "cuda" else device.type
    if full not in there:
        raise InputError(f"there is no device {name} here, only {', '.join(there)}: leave --device out or choose one")
    return device
