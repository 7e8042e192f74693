"""Views of voxels: a small orthographic renderer with shading, for people to look at shapes.

A ray per pixel walks through the volume, which is interpolated between voxels, to the first place where it is more full
than empty. The surface is lit by one lamp and by how open the place is towards the sky.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_LAMP = (0.35, 0.7, 0.62)  # to the right, upwards and towards the viewer


def render(
    x: Float[Tensor, "n 1 d h w"],
    *,
    azimuth: float = 35.0,
    elevation: float = 25.0,
    pixels: int = 96,
    up: int = 2,
) -> Float[Tensor, "n 3 pixels pixels"]:
    """Shaded views of shapes on white.

    Args:
        x: Occupancy, −1 empty to 1 full; the surface is at 0.
        azimuth: Turn of the viewer about the vertical axis, in degrees.
        elevation: Height of the viewer above the ground, in degrees.
        pixels: Side of a view.
        up: Axis of the volume that is vertical, 0, 1 or 2.

    Returns:
        Images in [−1, 1].
    """
    volume = x.detach().float().cpu().movedim(2 + up, 2).flip(2)  # rows downwards, as grid_sample counts
    side = max(volume.shape[2:])
    right, above, towards = _axes(azimuth, elevation)
    span = torch.linspace(-1, 1, pixels) * 1.5
    v, u = torch.meshgrid(-span, span, indexing="ij")
    depth = torch.linspace(1.75, -1.75, max(48, 3 * side))
    # Rays run from the viewer into the scene; coordinates are (right, up, towards) of the world turned by the view.
    points = (
        u[..., None, None] * right + v[..., None, None] * above + depth[:, None] * towards
    )  # [pixels, pixels, k, 3]
    blurred = functional.avg_pool3d(functional.pad(volume, [1] * 6, value=-1.0), 3, 1)
    lamp = sum(share * axis for share, axis in zip(_LAMP, (right, above, towards)))
    views = [_view(one[None], soft[None], points, lamp) for one, soft in zip(volume, blurred)]
    return torch.stack(views) if views else torch.zeros(0, 3, pixels, pixels)


def _axes(azimuth: float, elevation: float) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vectors of the view in the world: to the right, upwards, and towards the viewer; the world's y is up."""
    a, e = math.radians(azimuth), math.radians(elevation)
    right = torch.tensor([math.cos(a), 0.0, -math.sin(a)])
    towards = torch.tensor([math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)])
    return right, torch.linalg.cross(towards, right), towards


def _view(volume: Tensor, soft: Tensor, points: Tensor, lamp: Tensor) -> Float[Tensor, "3 pixels pixels"]:
    values = _sample(volume, points)
    inside = values > 0
    hit = inside.any(-1)
    first = inside.float().argmax(-1)
    before = (first - 1).clamp(min=0)
    there, ahead = (values.gather(-1, i[..., None])[..., 0] for i in (first, before))
    share = (there / (there - ahead).clamp(min=1e-6)).clamp(0, 1)  # the surface lies between two samples
    place = torch.lerp(_at(points, first), _at(points, before), share[..., None])
    normal = _gradient(soft, place)
    light = (normal * lamp).sum(-1).clamp(min=0)
    sky = 0.5 + 0.5 * normal[..., 1]
    shade = 0.28 + 0.5 * light + 0.22 * sky
    colour = torch.tensor([0.62, 0.76, 0.90])
    image = (shade[..., None] * colour).clamp(0, 1) * 2 - 1
    return torch.where(hit[..., None], image, 1.0).permute(2, 0, 1)


def _at(points: Tensor, index: Tensor) -> Tensor:
    return points.gather(-2, index[..., None, None].expand(*index.shape, 1, 3))[..., 0, :]


def _sample(volume: Tensor, points: Tensor) -> Tensor:
    """Values at points (x, y up, z); −1 outside."""
    grid = torch.stack([points[..., 0], -points[..., 1], points[..., 2]], -1)  # last axis first: width, height, depth
    order = volume.permute(0, 1, 4, 2, 3)  # z is the volume's second horizontal axis
    flat = grid.reshape(1, 1, 1, -1, 3)
    found = functional.grid_sample(order + 1, flat, mode="bilinear", padding_mode="zeros", align_corners=False)
    return (found - 1).view(points.shape[:-1])


def _gradient(soft: Tensor, place: Tensor, step: float = 0.06) -> Tensor:
    """Unit normals: where the blurred volume falls fastest."""
    offsets = step * torch.eye(3)
    ahead, behind = (_sample(soft, place[..., None, :] + s * offsets) for s in (1, -1))
    return functional.normalize(behind - ahead, dim=-1)
