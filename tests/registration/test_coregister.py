import numpy as np
import pytest

from neuromoe.imaging.geometry import Grid, apply_affine, rigid_matrix
from neuromoe.imaging.images import Image, load_image, resample
from neuromoe.imaging.transforms import Affine
from neuromoe.registration._mutual_information import Sample, bin_intensities, mutual_information
from neuromoe.registration.coregister import _matrix, coregister


@pytest.fixture(scope="module")
def t1w() -> tuple[Image, Image]:
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    head, mask = load_mni152_template(resolution=2), load_mni152_brain_mask(resolution=2)
    return (
        Image(np.asarray(head.dataobj, np.float32), head.affine),
        Image(np.asarray(mask.dataobj, np.float32), mask.affine),
    )


def echo_planar(t1w: Image, mask: Image, motion: np.ndarray, rng, slices: int = 36) -> tuple[Image, Image]:
    """Turn the contrast round (fluid bright), shade it, and scan the head after `motion`."""
    inside = mask.data > 0.5
    contrast = np.where(inside, 1.6 - t1w.data / np.percentile(t1w.data[inside], 99), 0).astype(np.float32)
    shade = np.exp(0.4 * np.linspace(-1, 1, t1w.data.shape[1]))[None, :, None].astype(np.float32)
    affine = np.diag([3.5, 3.5, 3.5, 1.0])
    affine[:3, 3] = [-98, -124, -58]
    grid = Grid((56, 64, slices), affine)
    chain = [Affine(np.linalg.inv(motion))]
    data = resample(t1w.like(contrast * shade), grid, chain)
    brain = resample(mask, grid, chain) > 0.5
    return Image(data + rng.normal(0, 0.03, data.shape).astype(np.float32), affine), Image(brain, affine)


def error_mm(found: np.ndarray, truth: np.ndarray, mask: Image) -> float:
    points = apply_affine(mask.affine, np.argwhere(mask.data > 0.5)[::501])
    return float(np.linalg.norm(apply_affine(found, points) - apply_affine(truth, points), axis=1).mean())


@pytest.mark.parametrize(
    "parameters",
    [(0, 0, 0, 0, 0, 0), (8, -12, 6, 0.1, -0.05, 0.15), (45, -60, 30, 0.2, 0.1, -0.2)],
    ids=["none", "a turned head", "a header far off"],
)
def test_a_known_displacement_is_found_to_a_third_of_a_voxel(t1w, rng, parameters):
    fixed, mask = t1w
    motion = rigid_matrix(parameters)
    scanned, brain = echo_planar(fixed, mask, rigid_matrix((0, 0, 0, *parameters[3:])), rng)
    shift = np.eye(4)
    shift[:3, 3] = parameters[:3]
    moving, moving_mask = (Image(image.data, shift @ image.affine) for image in (scanned, brain))
    found = coregister(moving, fixed, moving_mask=moving_mask, fixed_mask=mask)
    assert error_mm(found.matrix, motion, mask) < 1.0
    assert found.start in found.scores and 0 < found.score < 1


def test_a_cut_field_of_view_does_not_pull_the_result(t1w, rng):
    fixed, mask = t1w
    motion = rigid_matrix((3, 4, -5, 0.05, 0, 0))
    moving, _ = echo_planar(fixed, mask, motion, rng, slices=22)
    found = coregister(moving, fixed, fixed_mask=mask)
    assert found.overlap < 0.75
    assert error_mm(found.matrix, motion, mask) < 1.0


def test_the_same_call_gives_the_same_matrix(t1w, rng):
    fixed, mask = t1w
    moving, _ = echo_planar(fixed, mask, rigid_matrix((3, 1, 2, 0, 0, 0.1)), rng)
    first, second = (coregister(moving, fixed, fixed_mask=mask, seed=3).matrix for _ in range(2))
    assert np.array_equal(first, second)


def test_twelve_degrees_of_freedom_find_scales(t1w, rng):
    fixed, mask = t1w
    stretch = np.diag([1.06, 0.95, 1.04, 1.0])
    moving, brain = echo_planar(fixed, mask, stretch, rng)
    found = coregister(moving, fixed, moving_mask=brain, fixed_mask=mask, dof=12)
    assert error_mm(found.matrix, stretch, mask) < 1.0
    assert np.allclose(np.diag(found.matrix), np.diag(stretch), atol=0.02)


def test_the_shift_stays_within_its_limit(t1w, rng):
    fixed, mask = t1w
    moving, _ = echo_planar(fixed, mask, np.eye(4), rng)
    apart = np.eye(4)
    apart[0, 3] = 15.0
    far = Image(moving.data, apart @ moving.affine)
    found = coregister(far, fixed, fixed_mask=mask, search=False, max_shift_mm=4)
    middle = apply_affine(mask.affine, np.argwhere(mask.data > 0.5).mean(axis=0))
    shift = apply_affine(found.matrix, middle) - middle
    assert 3 < shift[0] < 4.1
    free = coregister(far, fixed, fixed_mask=mask, search=False)
    assert error_mm(free.matrix, apart, mask) < 1


def test_other_degrees_of_freedom_are_refused(t1w):
    with pytest.raises(ValueError, match="6, 9 or 12"):
        coregister(t1w[0], t1w[0], dof=7)


def test_the_gradient_is_that_of_the_measure(rng):
    from scipy.ndimage import gaussian_filter

    volume = gaussian_filter(rng.normal(size=(20, 22, 18)), 2)
    binned = bin_intensities(volume, volume.min(), volume.max(), 24)
    affine = np.diag([2.0, 2, 2.5, 1])
    points = rng.uniform([4, 4, 4], [34, 38, 38], (4000, 3))
    bins = rng.integers(3, 20, 4000)
    sample = Sample(points, bins, 24)
    center = points.mean(axis=0)
    start = np.array([0.5, -0.3, 0.2, 2, 1, -1, 1, 0, 1, 0, 1, 0.5])
    _, gradient, overlap = mutual_information(_matrix(start, center), sample, binned, affine)
    assert overlap == 1
    for index in range(12):
        ahead, behind = (_matrix(start + sign * 1e-4 * np.eye(12)[index], center) for sign in (1, -1))
        measured = sum(
            sign * mutual_information(matrix, sample, binned, affine)[0] for sign, matrix in ((1, ahead), (-1, behind))
        )
        expected = (gradient * (ahead - behind)[:3]).sum()
        assert measured == pytest.approx(expected, rel=2e-2, abs=2e-8)


def test_a_real_bold_meets_its_t1w_from_any_start(real_bids, rng):
    import nibabel as nib

    folder = real_bids / "sub-forrest02"
    whole = load_image(next(folder.glob("anat/*_T1w.nii.gz")), ndim=3)
    t1w = Image(whole.data[::2, ::2, ::2], whole.affine @ np.diag([2, 2, 2, 1]))
    bold = nib.as_closest_canonical(nib.load(next(folder.glob("func/*_bold.nii.gz"))))
    mean = np.asarray(bold.dataobj[..., :10], np.float32).mean(axis=3)
    found = []
    for parameters in ((0,) * 6, (18, -20, 12, 0.15, -0.1, 0.1)):
        moved = rigid_matrix(parameters)
        result = coregister(Image(mean, moved @ bold.affine), t1w)
        found.append(np.linalg.inv(moved) @ result.matrix)
    brain = Image(mean > 0.4 * np.percentile(mean, 98), np.linalg.inv(found[0]) @ bold.affine)
    assert error_mm(found[1], found[0], brain) < 1.0
