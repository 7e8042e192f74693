"""Energy-based models and classifiers are one thing: from densities to logits, and back.

With p_c(x) = exp(f_c(x)) p_0(x) / Z_c for each class and class shares ρ_c,

    p(y = c | x) = softmax(f_c(x) + b_c)_c,   b_c = log ρ_c − log Z_c                                 (1)

and a classifier whose class 0 is a known reference q gives every other class's density, normalized:

    p_c(x) = q(x) exp(l_c(x) − l_0(x)) ρ_0 / ρ_c                                                     (2)

(Xie et al. 2016, proposition 1; Tu, CVPR 2007.) Logits alone fix densities up to a factor that all classes share.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.density import EBM
from absynth.errors import InputError
from absynth.types import Reference


class DensityClassifier(nn.Module):
    """Logits log p_0(x) + f_c(x) + b_c of densities, one per class.

    Args:
        ebms: p_c up to Z_c.
        bias: b_c ``[C]``.
    """

    bias: Tensor

    def __init__(self, ebms: Sequence[EBM], bias: Float[Tensor, "C"]) -> None:
        super().__init__()
        self.ebms = nn.ModuleList(ebms)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Float[Tensor, "b C"]:
        return torch.stack([ebm().log_density(x) for ebm in self.ebms], 1) + self.bias


def to_classifier(
    ebms: Sequence[EBM],
    log_z: Float[Tensor, "C"] | Sequence[float],
    log_prior: Float[Tensor, "C"] | Sequence[float] | None = None,
) -> DensityClassifier:
    """The classifier that densities imply, by (1).

    Args:
        ebms: One density per class.
        log_z: log Z_c of each, for instance by :func:`absynth.metrics.likelihood.log_z`.
        log_prior: log ρ_c. Defaults to equal shares.

    Raises:
        InputError: There are fewer than two densities, not as many constants, or shares that do not sum to 1.
    """
    if len(ebms) < 2:
        raise InputError(f"expected two densities or more, one per class, got {len(ebms)}")
    if len(log_z) != len(ebms) or (log_prior is not None and len(log_prior) != len(ebms)):
        raise InputError(f"expected one log Z and one share for each of {len(ebms)} densities, got {len(log_z)} log Z")
    bias = -torch.as_tensor(log_z)
    return DensityClassifier(ebms, bias if log_prior is None else _shares(log_prior) + bias)


def _shares(log_prior: Float[Tensor, "C"] | Sequence[float]) -> Float[Tensor, "C"]:
    """log ρ as a tensor, checked."""
    log_prior = torch.as_tensor(log_prior)
    total = float(log_prior.exp().sum())
    if not abs(total - 1) < 1e-3:  # probabilities in place of their logarithms would make wrong densities in silence
        raise InputError(f"expected logarithms of shares that sum to 1, got a sum of {total:.4g}: give shares.log()")
    return log_prior


class LogitRatio(nn.Module):
    """f_c(x) = l_c(x) − l_0(x) + log ρ_0 − log ρ_c, of (2).

    Args:
        net: The classifier, ``x -> [b, C]``.
        label: c.
        shift: log ρ_0 − log ρ_c.
        classes: C.
    """

    shift: Tensor

    def __init__(self, net: nn.Module, label: int, shift: Tensor, classes: int) -> None:
        super().__init__()
        self.net, self.label, self.classes = net, label, classes
        self.register_buffer("shift", shift)

    def extra_repr(self) -> str:
        return f"label={self.label}, classes={self.classes}"

    def forward(self, x: Tensor) -> Float[Tensor, "b"]:
        logits = self.net(x)
        if logits.shape[1] != self.classes:
            raise InputError(f"expected a classifier of {self.classes} classes, one per share, got {logits.shape[1]}")
        return logits[:, self.label] - logits[:, 0] + self.shift


def from_classifier(net: nn.Module, log_prior: Float[Tensor, "C"] | Sequence[float], reference: Reference) -> list[EBM]:
    """The densities that a classifier implies, by (2), for classes 1 and up; class 0 is draws of the reference.

    Args:
        net: A classifier trained on data of classes 1 ... C − 1 and on draws of ``reference`` as class 0.
        log_prior: log of the share of each class in that training.
        reference: q.

    Returns:
        C − 1 models with the network in common; log Z is 0 as far as the classifier is right.

    Raises:
        InputError: There are fewer than two classes, or their shares do not sum to 1.
    """
    if len(log_prior) < 2:
        raise InputError(f"expected a reference class and one class or more, got {len(log_prior)} classes in all")
    log_prior = _shares(log_prior)
    shifts = log_prior[0] - log_prior
    return [EBM(LogitRatio(net, c, shifts[c], len(log_prior)), reference) for c in range(1, len(log_prior))]
