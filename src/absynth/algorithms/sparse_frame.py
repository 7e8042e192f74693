"""Sparse FRAME: a few wavelets at the places where all examples have them.

Xie, Hu, Zhu, Wu: "Learning Sparse FRAME Models for Natural Image Patterns", IJCV 2015. Wavelets are chosen by shared
matching pursuit over aligned examples,

    (k, x) = argmax Σ_i min(|⟨R_i, B_kx⟩|, cap),   R_i ← R_i − ⟨R_i, B_kx⟩ B_kx                        (1)

and p_λ(x) ∝ exp(Σ_j λ_j |⟨x, B_j⟩|) p_0(x) is then learned as any FRAME model.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from absynth.algorithms.frame import Frame
from absynth.errors import InputError
from absynth.networks.statistics import LocalResponses


class SparseFrame(Frame):
    """Player: ``ebm``, whose statistics are responses of wavelets."""

    def sketch(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "*event"]:
        """The wavelets in use as bars, each as bright as its mean response to examples; values in [−1, 1]."""
        wavelets = self.get_buffer("ebm.f.statistics.wavelets")
        strength = (x.flatten(1) @ wavelets.flatten(1).T).abs().mean(0)
        drawn = (strength.view(-1, *[1] * (wavelets.ndim - 1)) * wavelets.clamp(min=0)).amax(0)
        return 2 * drawn / drawn.max().clamp(min=1e-12) - 1

    def reconstruct(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
        """The nearest point in the span of the wavelets, B (BᵀB)⁻¹ Bᵀ x."""
        basis = self.get_buffer("ebm.f.statistics.wavelets").flatten(1).T
        return (x.flatten(1) @ torch.linalg.pinv(basis).T @ basis.T).view(x.shape)


def shared_matching_pursuit(
    x: Float[Tensor, "n 1 h w"], kernels: Float[Tensor, "k s s"], count: int, *, cap: float = math.inf
) -> tuple[Float[Tensor, "count 1 h w"], Int64[Tensor, "count 3"]]:
    """The wavelets that a set of aligned images have in common, by (1).

    Args:
        x: Images.
        kernels: The dictionary: filters of norm 1, centred in kernels of one odd side, at every position inside.
        count: Number of wavelets to choose.
        cap: Bound on what one image adds to the score of a wavelet.

    Returns:
        The wavelets, each of norm 1, and (filter, row, column) of each.

    Raises:
        InputError: ``count`` is larger than the number of pixels, or a filter is larger than the images.
    """
    height, width = x.shape[2:]
    if not 0 < count <= height * width:
        raise InputError(f"expected at most {height * width} wavelets for images of {height}×{width}, got {count}")
    dictionary = LocalResponses(kernels, (height, width), kernels.new_ones(len(kernels)))
    half, residual = kernels.shape[-1] // 2, x.clone()
    chosen, places = [], []
    with torch.no_grad():
        for _ in range(count):
            score = dictionary.responses(residual).abs().clamp(max=cap).sum(0)
            k, row, column = (int(i) for i in torch.unravel_index(score.argmax(), score.shape))
            padded = x.new_zeros(height + 2 * half, width + 2 * half)
            padded[row : row + 2 * half + 1, column : column + 2 * half + 1] = kernels[k]
            wavelet = padded[half : half + height, half : half + width]
            weight = (residual * wavelet).sum((1, 2, 3), keepdim=True)
            residual = residual - weight * wavelet
            chosen.append(wavelet[None])
            places.append((k, row, column))
    return torch.stack(chosen), torch.tensor(places)
