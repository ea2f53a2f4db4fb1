"""What dwi and bold measure, laid down on one grid in T1w world.

The maps are sampled once per volume from here, at each volume's own points: motion is in the points, and no
image is interpolated twice.
"""

import numpy as np
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image
from neuromoe.simulate._effects import EFFECTS, PLACES, Place
from neuromoe.simulate._person import Anatomy, Tissue, property_grid, tissue_at
from neuromoe.simulate._places import NETWORKS, weights
from neuromoe.simulate._sampling import Voxels, sample, sample_voxels
from neuromoe.simulate._tracts import dyad_field, pack, unpack

# Relative signal without diffusion weighting; diffusivities in 1e-3 mm^2/s, radial and how much more along
# the fibres.
S0 = {"gm": 0.76, "wm": 0.62, "csf": 1.25}
RADIAL = {"gm": 0.72, "wm": 0.38, "csf": 3.0}
ALONG = {"gm": 0.24, "wm": 1.40, "csf": 0.0}
NETWORK_SHARE = 0.03  # BOLD fluctuation (standard deviation) in the middle of a network, as a share of the signal.
PULSE_SHARE = 0.02
POINT_SPREAD = 0.35  # Standard deviation of the scans' point spread, in voxels.
# The template calls the brain stem half grey; there its grey counts as white for diffusion.
STEM = Place(((9.0, -20.0, -12.0), (4.0, -28.0, -34.0), (2.0, -40.0, -56.0)), 9.0)
# Above the nose and the ears air disturbs the field.
DROPOUT = Place(((0.0, 30.0, -30.0), (52.0, -30.0, -40.0)), 12.0)
_FIELDS = NETWORKS | PLACES | {"stem": STEM, "dropout": DROPOUT}


class Properties:
    """A person's signal, tensors and networks on the property grid.

    Parameters
    ----------
    anatomy : Anatomy
        The person.
    """

    def __init__(self, anatomy: Anatomy) -> None:
        self.anatomy = anatomy
        self.grid: Grid = property_grid(anatomy)
        points = self.grid.world().astype(np.float32)
        template_points = anatomy.shape.to_template(points)
        self._tissue = tissue_at(anatomy, template_points)
        self._inside = np.flatnonzero(self._tissue.brain > 0)
        self._points, self._template_points = points[self._inside], template_points[self._inside]
        self._weights = dict(zip(_FIELDS, sample(weights(_FIELDS), self._template_points).T, strict=True))

    def brain_on(self, grid: Grid, to_t1w: NDArray) -> NDArray:
        """Return where more than half of a voxel is brain (X, Y, Z), bool, on a scan's grid."""
        share = Image(self._shaped(self._tissue.brain[:, None]), self.grid.affine)
        everywhere = Voxels.of(grid)
        return everywhere.spread(sample_voxels(share, everywhere, to_t1w)[:, 0]) > 0.5

    def diffusion(self) -> Image:
        """Return signal without weighting and six tensor elements as channels (X, Y, Z, 7).

        Both are blurred by the scan's point spread, the tensors weighted by the signal.
        """
        signal = _signal(self._tissue)
        tensors = np.zeros((len(signal), 6), np.float32)
        tensors[:, :3] = ((1 - self._tissue.brain) * self._tissue.body[:, 2])[:, None]
        tensors[self._inside] += self._brain_tensors()
        weighted = self._blurred(np.concatenate([signal[:, None], tensors * signal[:, None]], axis=1), "dwi")
        weighted[..., 1:] /= np.maximum(weighted[..., :1], 1e-3)
        return Image(weighted, self.grid.affine)

    def bold(self) -> Image:
        """Return mean signal and its fluctuation by each network and the pulse, channels (X, Y, Z, K + 2)."""
        signal = _signal(self._tissue)
        signal[self._inside] *= 1 - 0.6 * self._weights["dropout"]
        channels = np.zeros((len(signal), len(NETWORKS) + 2), np.float32)
        channels[:, 0] = signal
        channels[:, -1] = PULSE_SHARE * self._tissue.csf * signal
        grey = (self._tissue.gm * signal)[self._inside]
        kept = 1 - self._planted("amplitude_drop")
        for index, name in enumerate(NETWORKS, start=1):
            share = NETWORK_SHARE * self._weights[name] * grey
            channels[self._inside, index] = share * kept if name in ("motor", "striatal") else share
        return Image(self._blurred(channels, "func"), self.grid.affine)

    def _brain_tensors(self) -> NDArray:
        """Return the brain's part of the tensors (N, 6), with the planted effects."""
        grey, white, fluid = (getattr(self._tissue, name)[self._inside] for name in ("gm", "wm", "csf"))
        stem = 0.8 * grey * self._weights["stem"]
        shares = {"gm": grey - stem, "wm": white + stem, "csf": fluid}
        radial = sum(share * RADIAL[name] for name, share in shares.items())
        along = sum(share * ALONG[name] for name, share in shares.items())
        diffusivity = (radial + along / 3) * (1 + self._planted("md_rise"))
        along = along * (1 - self._planted("fa_drop"))
        tensors = along[:, None] * pack(self._dyads())
        tensors[:, :3] += (diffusivity - along / 3)[:, None]
        return tensors

    def _dyads(self) -> NDArray:
        """Return fibre dyads (N, 3, 3) in T1w world.

        T maps the person to the template, so a fibre v of the template lies along J^-1 v in the person.
        """
        dyads = unpack(sample(dyad_field(), self._template_points))
        back = np.linalg.inv(self.anatomy.shape.jacobian(self._points))
        turned = back @ dyads @ back.transpose(0, 2, 1)
        return turned / np.trace(turned, axis1=1, axis2=2)[:, None, None]

    def _planted(self, effect: str) -> NDArray:
        """Return an effect's strength at the brain's points (N,): this person's, times the places' weight."""
        place = np.maximum.reduce([self._weights[name] for name in EFFECTS[effect].places])
        return np.float32(self.anatomy.planted[effect]) * place

    def _shaped(self, channels: NDArray) -> NDArray:
        return channels.reshape(*self.grid.shape, channels.shape[1])

    def _blurred(self, channels: NDArray, modality: str) -> NDArray:
        from scipy.ndimage import gaussian_filter

        size = self.anatomy.size
        voxel_mm = size.dwi_voxel_mm if modality == "dwi" else size.bold_voxel_mm
        sd = POINT_SPREAD * voxel_mm / size.property_mm
        return gaussian_filter(self._shaped(channels), (sd, sd, sd, 0), truncate=3)


def _signal(tissue: Tissue) -> NDArray:
    brain = sum(share * getattr(tissue, name) for name, share in S0.items())
    return brain + (1 - tissue.brain) * tissue.body[:, 1]
