"""T1-weighted heads with a reference mask, and changes for the worse that carry the reference along."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _cases import make_phantom
from numpy.typing import NDArray

from neuromoe.imaging.geometry import Grid, rigid_matrix
from neuromoe.imaging.images import Image, load_image, resample, sample
from neuromoe.imaging.transforms import Affine

SEED = 7
MARGIN_MM = 25.0


@dataclass(frozen=True, eq=False)
class Head:
    """A head, its brain, and whether the file says where the voxels lie.

    Parameters
    ----------
    image : Image (X, Y, Z)
        The T1w.
    brain : array (X, Y, Z) of bool
        The reference.
    placed : bool
        Without it the file has neither qform nor sform.
    """

    image: Image
    brain: NDArray
    placed: bool = True

    def with_values(self, data: NDArray) -> "Head":
        """Put other intensities on the same grid."""
        return replace(self, image=self.image.like(data.astype(np.float32)))

    @property
    def level(self) -> float:
        """The brain's median intensity."""
        return float(np.median(self.image.data[self.brain]))

    def places(self) -> NDArray:
        """World points seen from the brain's centre, mm (X, Y, Z, 3)."""
        world = self.image.grid.world().reshape(*self.brain.shape, 3)
        return world - world[self.brain].mean(axis=0)


def find_heads(
    *, real: Path | None, folder: Path | None, seeds: list[int], work: Path
) -> dict[str, Callable[[], Head]]:
    """List the heads: people with a reference, pairs `<name>_T1w.nii.gz` and `<name>_mask.nii.gz`, phantoms."""
    pairs = {}
    if real:
        for mask in sorted((real / "derivatives/reference").rglob("*_desc-brain_mask.nii.gz")):
            inside = mask.relative_to(real / "derivatives/reference").parent
            pairs[mask.name.split("_desc-")[0]] = real / inside / mask.name.replace("desc-brain_mask", "T1w"), mask
    if folder:
        for mask in sorted(folder.glob("*_mask.nii.gz")):
            pairs[mask.name.removesuffix("_mask.nii.gz")] = mask.with_name(mask.name.replace("_mask.", "_T1w.")), mask
    for seed in seeds:
        truth = make_phantom(work, seed)
        pairs[f"phantom-{seed}"] = (
            next(truth.glob("sub-01/anat/*_T1w.nii.gz")),
            next(truth.glob("derivatives/truth/sub-01/anat/*_desc-brain_mask.nii.gz")),
        )
    return {name: lambda pair=pair: _read(*pair) for name, pair in pairs.items()}


def _read(t1w: Path, mask: Path) -> Head:
    image = load_image(t1w, ndim=3)
    return Head(image, resample(load_image(mask, ndim=3), image.grid, order=0) > 0.5)


def noisy(head: Head, snr: float) -> Head:
    """Add Rician noise; `snr` is the brain's median over the standard deviation of each channel."""
    first, second = np.random.default_rng(SEED).normal(0, head.level / snr, (2, *head.brain.shape))
    return head.with_values(np.hypot(head.image.data + first, second))


def shaded(head: Head, ratio: float) -> Head:
    """Multiply a field that grows by `ratio` over 200 mm along each axis and falls off from the middle."""
    places = head.places() / 200
    field = np.exp(np.log(ratio) * (places.sum(axis=-1) - 2 * (places**2).sum(axis=-1)))
    return head.with_values(head.image.data * field)


def turned(head: Head, axis: int, degrees: float) -> Head:
    """Turn the head in a grid that has room for it."""
    matrix = rigid_matrix(
        np.eye(6)[3 + axis] * np.deg2rad(degrees), head.image.grid.world()[head.brain.ravel()].mean(axis=0)
    )
    margin = np.ceil(MARGIN_MM / head.image.voxel_mm).astype(int)
    affine = head.image.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ margin
    x, y, z = head.brain.shape + 2 * margin
    return _onto(head, Grid((x, y, z), affine), Affine(matrix))


def _onto(head: Head, grid: Grid, affine: Affine | None = None) -> Head:
    chain = () if affine is None else (affine,)
    share = resample(head.image.like(head.brain.astype(np.float32)), grid, chain)
    return replace(head, image=Image(resample(head.image, grid, chain), grid.affine), brain=share > 0.5)


def mistaken(head: Head, order: tuple[int, int, int], signs: tuple[int, int, int]) -> Head:
    """Store the axes in another order or direction and say nothing of it in the header."""
    steps = tuple(slice(None, None, sign) for sign in signs)
    affine = np.diag([*head.image.voxel_mm[list(order)], 1.0])
    image, brain = (np.ascontiguousarray(array.transpose(order)[steps]) for array in (head.image.data, head.brain))
    return replace(head, image=Image(image, affine), brain=brain)


def unplaced(head: Head) -> Head:
    return replace(head, placed=False)


def moved(head: Head, shift_mm: float | None) -> Head:
    """Move the head along each axis; None takes the offset away."""
    affine = head.image.affine.copy()
    affine[:3, 3] = 0 if shift_mm is None else affine[:3, 3] + shift_mm
    return replace(head, image=Image(head.image.data, affine))


def of_other_voxels(head: Head) -> Head:
    """Take all voxels for cubes of 1 mm."""
    affine = head.image.affine.copy()
    affine[:3, :3] /= head.image.voxel_mm
    return replace(head, image=Image(head.image.data, affine))


def cut(head: Head, axis: int, *, below_mm: float | None = None, above_mm: float | None = None) -> Head:
    """Leave out what lies further than this outside the brain's lower or upper end; negative values cut the brain."""
    covered = np.flatnonzero(head.brain.any(axis=tuple({0, 1, 2} - {axis})))
    step = head.image.voxel_mm[axis]
    first = 0 if below_mm is None else max(0, covered.min() - round(below_mm / step))
    last = head.brain.shape[axis] if above_mm is None else covered.max() + 1 + round(above_mm / step)
    window = tuple(slice(first, last) if a == axis else slice(None) for a in range(3))
    affine = head.image.affine.copy()
    affine[:3, 3] += affine[:3, axis] * first
    return replace(head, image=Image(head.image.data[window], affine), brain=head.brain[window])


def half(head: Head) -> Head:
    """Keep the right half of the head."""
    middle = np.flatnonzero(head.brain.any(axis=(1, 2))).mean()
    affine = head.image.affine.copy()
    affine[:3, 3] += affine[:3, 0] * round(middle)
    return replace(head, image=Image(head.image.data[round(middle) :], affine), brain=head.brain[round(middle) :])


def with_long_neck(head: Head, length_mm: float = 120.0) -> Head:
    """Go on below with the lowest 10 mm, to and fro."""
    count = round(length_mm / head.image.voxel_mm[2])
    low = head.image.data[:, :, : max(2, round(10 / head.image.voxel_mm[2]))]
    neck = np.concatenate([low, low[:, :, ::-1]] * count, axis=2)[:, :, :count]
    affine = head.image.affine.copy()
    affine[:3, 3] -= affine[:3, 2] * count
    data = np.concatenate([neck[:, :, ::-1], head.image.data], axis=2)
    return replace(head, image=Image(data, affine), brain=np.pad(head.brain, ((0, 0), (0, 0), (count, 0))))


def with_large_ventricles(head: Head, factor: float) -> Head:
    """Blow up the brain's middle by `factor`; the rim takes the loss and the outline stays."""
    places = head.places()
    distance = np.linalg.norm(places - [0, 0, 5], axis=-1, keepdims=True)
    shrunk = 1 - (1 - 1 / factor) * np.exp(-((distance / 35) ** 2))
    points = head.image.grid.world() + ((places - [0, 0, 5]) * (shrunk - 1)).reshape(-1, 3)
    return head.with_values(sample(head.image, points).reshape(head.brain.shape))


def sized(head: Head, factor: float) -> Head:
    """Make the head larger or smaller, per axis."""
    return replace(head, image=Image(head.image.data, np.diag([factor, factor, factor, 1.0]) @ head.image.affine))


def resolved(head: Head, voxel_mm: tuple[float, float, float]) -> Head:
    """Average to coarser voxels, in the head's own axes."""
    from scipy.ndimage import gaussian_filter

    voxel = np.array(voxel_mm)
    ratio = voxel / head.image.voxel_mm
    sigma = np.where(ratio > 1.2, 0.4 * ratio, 0.0)
    x, y, z = np.ceil(np.array(head.brain.shape) / ratio).astype(int)
    affine = head.image.affine.copy()
    affine[:3, :3] *= ratio
    grid = Grid((x, y, z), affine)
    share = gaussian_filter(head.brain.astype(np.float32), sigma)
    image = head.image.like(gaussian_filter(head.image.data, sigma))
    brain = resample(image.like(share), grid) > 0.5
    return replace(head, image=Image(resample(image, grid), affine), brain=brain)


def t2_like(head: Head) -> Head:
    """Turn the contrast of the brain and its fluid over: white matter dark, fluid bright, bone and fat as they were."""
    near = _within(head, 4.0)
    top = np.percentile(head.image.data[head.brain], 99)
    return head.with_values(np.where(near, np.clip(1.1 * top - head.image.data, 0, None), head.image.data))


def _within(head: Head, radius_mm: float) -> NDArray:
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~head.brain, sampling=head.image.voxel_mm) <= radius_mm


def with_bright_fat(head: Head, factor: float = 2.0) -> Head:
    return head.with_values(np.where(_within(head, 6.0), head.image.data, factor * head.image.data))


def clipped(head: Head) -> Head:
    """Saturate above the brain's 70th percentile: white matter, fat and vessels are one."""
    return head.with_values(np.minimum(head.image.data, np.percentile(head.image.data[head.brain], 70)))


def in_fog(head: Head, share: float = 0.25) -> Head:
    """Add a constant with its noise everywhere."""
    noise = np.random.default_rng(SEED).normal(1, 0.2, head.brain.shape)
    return head.with_values(head.image.data + share * head.level * noise)


def in_salt(head: Head) -> Head:
    """Fill the air with noise as bright as the brain, as ratio images (MP2RAGE) have it."""
    from neuromoe.anat._head import foreground

    noise = np.random.default_rng(SEED).uniform(0, 1.3 * head.level, head.brain.shape)
    return head.with_values(np.where(foreground(head.image), head.image.data, noise))


def stripped(head: Head) -> Head:
    """Set to zero what is no brain."""
    return head.with_values(np.where(head.brain, head.image.data, 0))


def defaced(head: Head) -> Head:
    """Set to zero what lies before a slanted plane 4 mm off the brain."""
    depth = head.places() @ [0, 0.75, -0.66]
    return head.with_values(np.where(depth > depth[head.brain].max() + 4, 0, head.image.data))


def wrapped(head: Head) -> Head:
    """Let the field of view be 25 mm too short: the nose comes in at the back."""
    count = round(25 / head.image.voxel_mm[1])
    data = head.image.data.copy()
    data[:, :count] += data[:, -count:]
    return replace(head, image=Image(data[:, :-count], head.image.affine), brain=head.brain[:, :-count])


Change = Callable[[Head], Head]
CHANGES: dict[str, Change] = {
    "plain": lambda head: head,
    "snr 20": lambda head: noisy(head, 20),
    "snr 10": lambda head: noisy(head, 10),
    "snr 5": lambda head: noisy(head, 5),
    "field": lambda head: shaded(head, 2),
    "nod 15": lambda head: turned(head, 0, 15),
    "nod 30": lambda head: turned(head, 0, 30),
    "nod -30": lambda head: turned(head, 0, -30),
    "lean 15": lambda head: turned(head, 1, 15),
    "lean 30": lambda head: turned(head, 1, 30),
    "turn 15": lambda head: turned(head, 2, 15),
    "turn 30": lambda head: turned(head, 2, 30),
    "nod 50": lambda head: turned(head, 0, 50),
    "axes +2+3+1": lambda head: mistaken(head, (1, 2, 0), (1, 1, 1)),
    "axes +1-3+2": lambda head: mistaken(head, (0, 2, 1), (1, -1, 1)),
    "upside down": lambda head: mistaken(head, (0, 1, 2), (1, 1, -1)),
    "back to front": lambda head: mistaken(head, (0, 1, 2), (1, -1, 1)),
    "mirrored": lambda head: mistaken(head, (0, 1, 2), (-1, 1, 1)),
    "no forms": unplaced,
    "no offset": lambda head: moved(head, None),
    "60 mm away": lambda head: moved(head, 60),
    "voxels of 1 mm": of_other_voxels,
    "no neck": lambda head: cut(head, 2, below_mm=2),
    "long neck": with_long_neck,
    "top cut 10 mm": lambda head: cut(head, 2, above_mm=-10),
    "bottom cut 20 mm": lambda head: cut(head, 2, below_mm=-20),
    "half": half,
    "slab": lambda head: cut(cut(head, 2, below_mm=-40), 2, above_mm=-50),
    "ventricles": lambda head: with_large_ventricles(head, 1.35),
    "vast ventricles": lambda head: with_large_ventricles(head, 1.8),
    "child .85": lambda head: sized(head, 0.85),
    "size 1.1": lambda head: sized(head, 1.1),
    "3 mm": lambda head: resolved(head, (3, 3, 3)),
    "1 x 1 x 4 mm": lambda head: resolved(head, (1, 1, 4)),
    "0.7 x 0.7 x 2.5 mm": lambda head: resolved(head, (0.7, 0.7, 2.5)),
    "T2-like": t2_like,
    "fat": with_bright_fat,
    "clipped": clipped,
    "fog": in_fog,
    "salt": in_salt,
    "stripped": stripped,
    "defaced": defaced,
    "wrapped": wrapped,
    "ugly": lambda head: resolved(shaded(turned(defaced(head), 0, 15), 1.5), (1, 1, 3)),
}
