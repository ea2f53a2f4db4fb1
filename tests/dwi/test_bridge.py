"""The offset between two contrasts of one head."""

import numpy as np
import pytest

from neuromoe.dwi._bridge import bridge
from neuromoe.imaging.geometry import apply_affine, rigid_matrix
from neuromoe.imaging.images import Image

from .phantom import acquire, axial_grid, table


def test_which_image_is_called_the_anchor_does_not_matter(head, rng):
    grid, gradients = axial_grid(head, 5.0, (39, 45, 34)), table(3)
    pose = rigid_matrix((1.0, -1.5, 0.7, 0.02, 0, -0.01), head.center_mm)
    data = acquire(head, grid, gradients, np.stack([np.eye(4), pose, pose, pose]), rng, 0.02)
    one, other = Image(data[..., 0], grid.affine), Image(data[..., 1:].mean(axis=3), grid.affine)
    still = {"motion": np.eye(4)[None], "found": np.eye(4)[None], "shell": np.array([1]), "unweighted": np.array([0])}
    settings = still | {"runs": np.zeros(1, int), "sd_mm": 0.2, "seed": 0}
    there, back = bridge(other, one, **settings), bridge(one, other, **settings)
    points = apply_affine(grid.affine, np.argwhere(data[..., 0] > 500)[::50])
    # The centres are the same, the two searches only run in the other order.
    assert apply_affine(back @ there, points) == pytest.approx(points, abs=0.02)
    miss = np.linalg.norm(apply_affine(there, points) - apply_affine(pose, points), axis=1).mean()
    # A tenth of a voxel of 5 mm is what contrast pretends to be motion.
    assert miss < 0.5
