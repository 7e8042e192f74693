"""The loops that the papers' formulas describe, written down directly in PyTorch: what our speed is compared with.

Pang et al. 2020, eq. (9) with the Gaussian reference's gradient z (the printed listing has 1/z there, a misprint), and
the same step on pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def prior_chain(f: nn.Module, z: Tensor, steps: int, step_size: float) -> Tensor:
    """z ← z + (δ²/2)(∇f(z) − z) + δ ε."""
    z = z.clone().detach().requires_grad_(True)
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(f(z).sum(), z)
        z.data = z.data + 0.5 * step_size**2 * (gradient - z.data) + step_size * torch.randn_like(z)
    return z.detach()


def posterior_chain(
    f: nn.Module, g: nn.Module, x: Tensor, z: Tensor, steps: int, step_size: float, std: float
) -> Tensor:
    """z ← z + (δ²/2)(∇f(z) − ∇‖x − g(z)‖²/2σ² − z) + δ ε."""
    z = z.clone().detach().requires_grad_(True)
    for _ in range(steps):
        misfit = 1.0 / (2.0 * std**2) * ((g(z) - x) ** 2).sum()
        (of_g,) = torch.autograd.grad(misfit, z)
        (of_f,) = torch.autograd.grad(f(z).sum(), z)
        z.data = z.data + 0.5 * step_size**2 * (of_f - of_g - z.data) + step_size * torch.randn_like(z)
    return z.detach()


def data_chain(f: nn.Module, x: Tensor, steps: int, step_size: float, noise: float) -> Tensor:
    """x ← x + (δ²/2)∇f(x) + τ ε."""
    x = x.clone().detach().requires_grad_(True)
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(f(x).sum(), x)
        x.data = x.data + 0.5 * step_size**2 * gradient + noise * torch.randn_like(x)
    return x.detach()


def iteration(
    f: nn.Module,
    g: nn.Module,
    optimizers: tuple[Optimizer, Optimizer],
    x: Tensor,
    *,
    prior_steps: int,
    posterior_steps: int,
    std: float = 0.3,
) -> None:
    """One parameter update of the latent EBM prior: two chains, then f and g by their own losses."""
    latent = next(f.parameters()).shape[1]
    z_neg = prior_chain(f, torch.randn(len(x), latent), prior_steps, 0.4)
    z_pos = posterior_chain(f, g, x, torch.randn(len(x), latent), posterior_steps, 0.1, std)
    of_f, of_g = optimizers
    of_g.zero_grad()
    (((g(z_pos) - x) ** 2).sum() / (2 * std**2 * len(x))).backward()
    of_g.step()
    of_f.zero_grad()
    (f(z_neg).mean() - f(z_pos).mean()).backward()
    of_f.step()
