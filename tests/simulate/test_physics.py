"""Known truth of the parts: maps, planted effects, tensors, motion and noise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromoe.imaging.geometry import Grid
from neuromoe.imaging.images import Image, resample
from neuromoe.simulate._dwi import fsl_directions, scan_dwi, spread_directions
from neuromoe.simulate._effects import EFFECTS, PLACES
from neuromoe.simulate._func import BAND_HZ, draw_waves, scan_bold
from neuromoe.simulate._motion import draw_motion, mix_poses
from neuromoe.simulate._person import draw_anatomy, tissue_at
from neuromoe.simulate._places import NETWORKS
from neuromoe.simulate._plan import images
from neuromoe.simulate._properties import Properties
from neuromoe.simulate._sampling import Voxels, sample, sample_voxels, scan_grid, smooth_noise, trilinear
from neuromoe.simulate._shape import draw_shape, jacobian_matrices, shrink_places
from neuromoe.simulate._signal import rician, shading
from neuromoe.simulate._template import GM, T1, bundled_brain, thin
from neuromoe.simulate._tracts import TRACTS, dyad_field, unpack

NONE = dict.fromkeys(EFFECTS, 0.0)


@pytest.fixture(scope="module")
def ill_and_well(clean):
    """The same person at severity 1, with the effects and with none of them."""
    ill = replace(clean, severity=1.0)
    return [Properties(draw_anatomy(ill, 0, effects)) for effects in ({"volume_drop": 0.0, "thinning": 0.0}, NONE)]


def value_at(channels: Image, properties: Properties, point_mm) -> np.ndarray:
    """Look channels up at a template point, by inverting the person's map."""
    target, point = np.array([point_mm], float), np.array([point_mm], float)
    for _ in range(50):
        point = point + target - properties.anatomy.shape.to_template(point)
    assert np.abs(properties.anatomy.shape.to_template(point) - target).max() < 0.01
    return sample(channels, point)[0]


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.5))
@settings(max_examples=6, deadline=None)
def test_the_map_never_folds_and_moves_the_brain_a_few_millimetres(seed, volume_drop):
    shape = draw_shape(np.random.default_rng(seed), volume_drop)
    assert np.linalg.det(jacobian_matrices(shape.displacement)).min() > 0.3
    points = np.random.default_rng(0).uniform([-65, -100, -60], [65, 70, 75], (2000, 3))
    design = np.column_stack([points, np.ones(len(points))])
    moved = shape.to_template(points)
    residual = moved - design @ np.linalg.lstsq(design, moved, rcond=None)[0]
    assert 2.0 < np.sqrt((residual**2).sum(axis=1).mean()) < 5.0


def test_the_map_can_be_inverted_everywhere(rng):
    shape = draw_shape(rng, 0.25)
    target = rng.uniform([-65, -100, -60], [65, 70, 75], (500, 3))
    point = target.copy()
    for _ in range(60):
        point = point + target - shape.to_template(point)
    np.testing.assert_allclose(shape.to_template(point), target, atol=1e-3)


@given(st.floats(0, 0.6))
@settings(deadline=None)
def test_the_volume_at_a_places_centre_shrinks_by_the_share_asked_for(drop):
    center = np.array(PLACES["putamen"].centers_mm[0])
    step = 0.01
    around = center + step * np.concatenate([np.eye(3), -np.eye(3)])
    moved = shrink_places(around, drop)
    jacobian = np.linalg.det((moved[:3] - moved[3:]) / (2 * step))
    # The other places' tails reach here with less than a hundredth.
    assert 1 / jacobian == pytest.approx(1 - drop, abs=0.01)


def test_thinning_turns_grey_matter_of_its_place_to_fluid():
    brain = bundled_brain(3)
    thinned = thin(brain, 0.3)
    center = [PLACES["temporal"].centers_mm[0]]
    kept, lost = sample(brain, np.array(center))[0], sample(thinned, np.array(center))[0]
    assert lost[GM] == pytest.approx(0.7 * kept[GM], rel=0.05)
    assert lost[T1] < kept[T1]
    far = np.array([[0.0, -80.0, 10.0]])
    np.testing.assert_allclose(sample(brain, far), sample(thinned, far), atol=1e-4)


def anisotropy(elements: np.ndarray) -> tuple[float, float]:
    values = np.linalg.eigvalsh(unpack(elements.astype(float)))
    mean = values.mean()
    return float(np.sqrt(1.5 * ((values - mean) ** 2).sum() / (values**2).sum())), float(mean)


def test_midbrain_and_pons_lose_anisotropy_and_gain_diffusivity(ill_and_well):
    tensors = [properties.diffusion() for properties in ill_and_well]
    for name in ("midbrain", "pons"):
        point = PLACES[name].centers_mm[0]
        ill, well = (
            anisotropy(value_at(channels, properties, point)[1:])
            for channels, properties in zip(tensors, ill_and_well, strict=True)
        )
        assert well[0] > 0.15
        # About (1 - .35) / (1 + .2); the point spread mixes in the surroundings.
        assert 0.5 < ill[0] / well[0] < 0.75
        assert 1.1 < ill[1] / well[1] < 1.21
    ill, well = (
        anisotropy(value_at(channels, properties, (0.0, -6.0, 27.0))[1:])
        for channels, properties in zip(tensors, ill_and_well, strict=True)
    )
    assert ill == pytest.approx(well, rel=0.02)


def test_motor_network_loses_amplitude_and_the_others_keep_theirs(ill_and_well):
    bold = [properties.bold() for properties in ill_and_well]
    names = list(NETWORKS)

    def ratio(network, point):
        ill, well = (
            value_at(channels, properties, point)[1 + names.index(network)]
            for channels, properties in zip(bold, ill_and_well, strict=True)
        )
        return ill / well

    assert ratio("striatal", (26.0, 2.0, 1.0)) == pytest.approx(0.5, abs=0.07)
    assert ratio("motor", (38.0, -24.0, 56.0)) == pytest.approx(0.5, abs=0.07)
    assert ratio("visual", (10.0, -86.0, 2.0)) == pytest.approx(1.0, abs=0.01)


def test_white_matter_is_anisotropic_grey_matter_little_and_fluid_not(ill_and_well):
    properties = ill_and_well[1]
    points = properties.grid.world()
    tissue = tissue_at(properties.anatomy, properties.anatomy.shape.to_template(points))
    tensors = unpack(properties.diffusion().data.reshape(-1, 7)[:, 1:])

    def medians(share, least):
        values = np.linalg.eigvalsh(tensors[share > least])
        mean = values.mean(axis=1, keepdims=True)
        fa = np.sqrt(1.5 * ((values - mean) ** 2).sum(axis=1) / (values**2).sum(axis=1))
        return np.median(fa), np.median(mean)

    assert medians(tissue.wm, 0.95)[0] > 0.45
    assert 0.08 < medians(tissue.gm, 0.95)[0] < 0.22
    fluid = medians(tissue.csf, 0.8)
    assert fluid[0] < 0.15
    assert fluid[1] > 2.2


@pytest.mark.parametrize("name", ["corticospinal", "callosal body", "superior longitudinal", "cingulum"])
def test_fibres_follow_their_named_tracts_and_mirror(name):
    curve = np.array(TRACTS[name][0], float)
    piece = len(curve) // 2 - 1
    middle, along = (curve[piece] + curve[piece + 1]) / 2, curve[piece + 1] - curve[piece]
    along = along / np.linalg.norm(along)
    field = dyad_field()
    right, left = (unpack(sample(field, np.array([middle * [side, 1, 1]]))[0]) for side in (1, -1))
    assert np.degrees(np.arccos(abs(np.linalg.eigh(right)[1][:, -1] @ along))) < 25
    mirror = np.diag([-1, 1, 1])
    np.testing.assert_allclose(left, mirror @ right @ mirror, atol=0.02)


def test_fibres_turn_with_the_anatomy(clean):
    """A rotated person's tensor is the rotated tensor."""
    properties = Properties(draw_anatomy(clean, 0, NONE))
    shape = properties.anatomy.shape
    point = np.array([[24.0, -18.0, 24.0]])
    dyad = unpack(sample(dyad_field(), shape.to_template(point))[0])
    fibre = np.linalg.eigh(dyad)[1][:, -1]
    expected = np.linalg.solve(shape.jacobian(point)[0], fibre)
    found = np.linalg.eigh(unpack(sample(properties.diffusion(), point)[0, 1:]))[1][:, -1]
    cosine = abs(found @ expected) / np.linalg.norm(expected)
    assert np.degrees(np.arccos(min(cosine, 1))) < 5


def test_a_still_noise_free_volume_is_the_tensors_signal(anatomy, clean, monkeypatch):
    import neuromoe.simulate._dwi as module

    monkeypatch.setattr(module, "rician", lambda signal, sd, rng: signal)
    monkeypatch.setattr(module, "draw_motion", lambda rng, volumes, strong: np.zeros((volumes, 6)))
    image = next(image for image in images(clean) if image.modality == "dwi")
    scan = scan_dwi(anatomy, Properties(anatomy), image)
    ratio = scan.stored[scan.mask][:, 1:].astype(float) / np.maximum(scan.stored[scan.mask][:, :1], 1)
    quadratic = np.einsum("vi,nij,vj->nv", scan.directions, scan.tensors, scan.directions)[:, 1:]
    expected = np.exp(-quadratic * (np.array(scan.b_values[1:]) > 0))
    bright = scan.stored[scan.mask][:, 0] > 400
    # int16 rounding of signals of some hundreds.
    assert np.abs(ratio - expected)[bright].max() < 0.005


def test_fsl_directions_are_reversed_for_a_positive_determinant(rng):
    directions = spread_directions(6)
    plus = fsl_directions(directions, np.eye(4))
    minus = fsl_directions(directions, np.diag([-2.0, 2, 2, 1]))
    np.testing.assert_allclose(plus, directions * [-1, 1, 1])
    np.testing.assert_allclose(minus, directions * [-1, 1, 1])


@pytest.mark.parametrize("count", [12, 30])
def test_directions_are_spread_over_the_half_sphere(count):
    directions = spread_directions(count)
    cosines = np.abs(directions @ directions.T)[~np.eye(count, dtype=bool)]
    # Evenly packed axes would be about sqrt(2 pi / count) apart.
    assert np.arccos(cosines.max()) > 0.75 * np.sqrt(2 * np.pi / count)


def test_slices_are_taken_at_their_own_times(anatomy, clean, monkeypatch):
    import neuromoe.simulate._func as module

    monkeypatch.setattr(module, "rician", lambda signal, sd, rng: signal)
    monkeypatch.setattr(module, "draw_motion", lambda rng, volumes, strong: np.zeros((volumes, 6)))
    image = next(image for image in images(clean) if image.modality == "func")
    assert image.slice_times_s
    image = replace(image, volumes=12)
    properties = Properties(anatomy)
    timed = scan_bold(anatomy, properties, image)
    at_once = scan_bold(anatomy, properties, replace(image, slice_times_s=()))
    late = image.slice_times_s.index(max(image.slice_times_s))
    shifted = scan_bold(anatomy, properties, replace(image, slice_times_s=(max(image.slice_times_s),) * image.shape[2]))
    first = image.slice_times_s.index(0.0)
    np.testing.assert_array_equal(timed.stored[:, :, first], at_once.stored[:, :, first])
    np.testing.assert_array_equal(timed.stored[:, :, late], shifted.stored[:, :, late])
    middle = len(image.slice_times_s) // 2
    assert (timed.stored[:, :, middle] != at_once.stored[:, :, middle]).mean() > 0.1


def test_network_courses_have_unit_deviation_and_stay_in_their_band(rng):
    waves = draw_waves(rng)
    time = np.arange(0, 4000, 1.0)
    courses = waves.at(time)
    assert courses.std(axis=0) == pytest.approx(1.0, abs=0.15)
    power = np.abs(np.fft.rfft(courses[:, : len(NETWORKS)], axis=0)) ** 2
    frequency = np.fft.rfftfreq(len(time), 1.0)
    inside = (frequency > BAND_HZ[0] - 0.002) & (frequency < BAND_HZ[1] + 0.002)
    assert power[inside].sum() / power.sum() > 0.98
    names = list(NETWORKS)
    together = np.corrcoef(courses[:, names.index("motor")], courses[:, names.index("striatal")])[0, 1]
    assert together == pytest.approx(0.7, abs=0.15)


def test_strong_motion_is_much_more_than_quiet_motion(rng):
    quiet, strong = (
        np.mean(
            [np.abs(np.diff(draw_motion(rng, 60, strong=kind)[:, :3], axis=0)).sum(axis=1).mean() for _ in range(20)]
        )
        for kind in (False, True)
    )
    assert quiet < 0.5 < strong
    assert strong > 3 * quiet


def test_mixed_poses_ghost_only_when_the_poses_differ(rng):
    first = np.zeros((8, 32, 8), np.float32)
    first[2:6, 10:20, 2:6] = 1
    np.testing.assert_allclose(mix_poses(first, first, rng), first, atol=1e-5)
    ghosted = mix_poses(first, np.roll(first, 5, axis=1), rng)
    assert ghosted[2:6, 25:, 2:6].max() > 0.02


def test_rician_noise_has_its_second_moment(rng):
    signal = np.full(200_000, 3.0, np.float32)
    noisy = rician(signal, 1.5, rng)
    # E[M^2] = A^2 + 2 sd^2, in error by about 1 % here.
    assert (noisy**2).mean() == pytest.approx(9 + 2 * 1.5**2, rel=0.02)


def test_shading_is_smooth_and_as_strong_as_asked(rng):
    field = np.log(shading(rng, Grid((24, 30, 20), np.eye(4)), 0.1))
    assert field.std() == pytest.approx(0.1, rel=1e-3)
    assert abs(field.mean()) < 1e-3
    assert max(np.abs(np.diff(field, axis=axis)).max() for axis in range(3)) < 0.2


@given(st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_trilinear_sampling_agrees_with_scipy(seed):
    from scipy.ndimage import map_coordinates

    rng = np.random.default_rng(seed)
    channels = rng.standard_normal((5, 6, 7, 3)).astype(np.float32)
    voxels = rng.uniform(-1, 7, (50, 3))
    expected = [map_coordinates(channels[..., c], voxels.T, order=1, mode="nearest") for c in range(3)]
    np.testing.assert_allclose(trilinear(channels, voxels), np.stack(expected, axis=-1), atol=1e-5)


def test_sampling_a_tilted_grid_agrees_with_resampling(clean, rng):
    image = next(image for image in images(clean) if image.modality == "func")
    grid = scan_grid(image)
    assert image.tilt_deg != 0
    source = Image(smooth_noise(rng, (40, 40, 40), 2.0)[..., None], np.diag([6.0, 6, 6, 1]) + 0.0)
    source.affine[:3, 3] = -120
    everywhere = Voxels.of(grid)
    found = everywhere.spread(sample_voxels(source, everywhere, np.eye(4))[:, 0])
    expected = resample(source.volume(0), grid)
    inside = expected != 0
    np.testing.assert_allclose(found[inside], expected[inside], atol=2e-3)


def test_smooth_noise_has_unit_deviation(rng):
    assert np.mean([smooth_noise(rng, (30, 30, 30), 2.0).std() for _ in range(5)]) == pytest.approx(1, abs=0.15)
