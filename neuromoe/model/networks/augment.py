"""Changes to registered maps that leave the class as it is.

Axis letters: B batch, C channel, D H W voxels along x y z, T token, F voxels of a patch over all channels.
"""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from neuromoe.model.networks.learner import Batch

# Voxels between the points at which a smooth deformation is drawn.
_COARSE = 8


def augment(batch: Batch, member: Any, settings: Any) -> Batch:
    """Change each scan of a batch at random, as the settings say.

    Parameters
    ----------
    batch : Batch
    member : module
        Its `places` (T, 3) say where the tokens lie.
    settings : NeuroMoESettings
        `noise`, `intensity` (in deviations of a voxel), `shift`, `elastic` (in voxels) and `flip`.
    """
    s = settings
    if not (s.noise or s.intensity or s.shift or s.elastic or s.flip):
        return batch
    tokens = dict(batch.tokens)
    for name, values_BTF in tokens.items():
        if s.shift or s.elastic or s.flip:
            values_BTF = _move(values_BTF, member.places, batch.patch, shift=s.shift, elastic=s.elastic, flip=s.flip)
        if s.intensity:
            change = s.intensity * torch.randn((2, len(values_BTF), 1, 1), device=values_BTF.device)
            values_BTF = values_BTF * change[0].exp() + change[1]
        if s.noise:
            values_BTF = values_BTF + s.noise * torch.randn_like(values_BTF)
        tokens[name] = values_BTF
    return replace(batch, tokens=tokens)


def _move(tokens_BTF: Tensor, places_T3: Tensor, patch: int, *, shift: float, elastic: float, flip: bool) -> Tensor:
    """Shift, deform and mirror volumes that are given as patches; the mirror stands amid the brain's box."""
    places_T3 = places_T3 - places_T3.min(dim=0).values
    grid = (places_T3.max(dim=0).values + 1).tolist()
    volumes = _join(tokens_BTF, places_T3, grid, patch)
    batch, _, *shape = volumes.shape
    sizes = torch.tensor(shape[::-1], device=volumes.device, dtype=volumes.dtype)
    moves = shift * torch.randn((batch, 3, 1, 1, 1), device=volumes.device)
    if elastic:
        coarse = [max(size // _COARSE, 1) + 1 for size in shape]
        drawn = elastic * torch.randn((batch, 3, *coarse), device=volumes.device)
        moves = moves + functional.interpolate(drawn, shape, mode="trilinear", align_corners=True)
    # grid_sample wants places from -1 to 1, the last axis first.
    unit = torch.eye(3, 4, device=volumes.device).expand(batch, 3, 4)
    where = functional.affine_grid(unit, [batch, 1, *shape], align_corners=False)
    where = where + (moves.flip(1).expand(batch, 3, *shape).permute(0, 2, 3, 4, 1) * 2 / sizes)
    if flip:
        signs = torch.where(torch.rand(batch, device=volumes.device) < 0.5, -1.0, 1.0)
        where[..., 2] = where[..., 2] * signs[:, None, None, None]
    moved = functional.grid_sample(volumes, where, padding_mode="border", align_corners=False)
    return _cut(moved, places_T3, grid, patch)


def _join(tokens_BTF: Tensor, places_T3: Tensor, grid: list[int], patch: int) -> Tensor:
    """Lay patches out as volumes (B, C, D, H, W), zeros between them."""
    batch, _, features = tokens_BTF.shape
    d, h, w = grid
    full = tokens_BTF.new_zeros((batch, d, h, w, features))
    full[:, places_T3[:, 0], places_T3[:, 1], places_T3[:, 2]] = tokens_BTF
    blocks = full.view(batch, d, h, w, features // patch**3, patch, patch, patch)
    return blocks.permute(0, 4, 1, 5, 2, 6, 3, 7).reshape(batch, -1, d * patch, h * patch, w * patch)


def _cut(volumes_BCDHW: Tensor, places_T3: Tensor, grid: list[int], patch: int) -> Tensor:
    """Cut the patches out again (B, T, F)."""
    batch, channels = volumes_BCDHW.shape[:2]
    d, h, w = grid
    blocks = volumes_BCDHW.view(batch, channels, d, patch, h, patch, w, patch).permute(0, 2, 4, 6, 1, 3, 5, 7)
    full = blocks.reshape(batch, d, h, w, channels * patch**3)
    return full[:, places_T3[:, 0], places_T3[:, 1], places_T3[:, 2]]
