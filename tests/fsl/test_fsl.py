import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromoe import fsl
from neuromoe.core.errors import InputError
from neuromoe.fsl.space import (
    PhaseEncoding,
    field_to_displacement,
    flirt_to_world,
    phase_encoding,
    warp_to_chain,
    world_to_flirt,
)
from neuromoe.imaging.geometry import Grid, map_points, rigid_matrix
from neuromoe.imaging.gradients import Gradients
from neuromoe.imaging.images import Image, resample
from neuromoe.imaging.transforms import Affine

sys.path.insert(0, str(Path(__file__).parent.parent))
from fsl_stand_in import eddy_answers, put_on_path, says, topup_answers  # noqa: E402

RAS = np.diag([2.0, 2, 2, 1])
SHAPE = (6, 8, 10)
TO_FSL = np.diag([-1.0, 1, 1])


@pytest.fixture
def programs(tmp_path, monkeypatch):
    return put_on_path(monkeypatch, tmp_path / "fsl")


@pytest.fixture
def head(rng) -> Image:
    return Image(rng.random(SHAPE, np.float32), RAS)


def stored(image: Image, data=None) -> np.ndarray:
    """Return values as a file with x from right to left has them."""
    return np.flip(image.data if data is None else data, axis=0)


# ---- coordinates


def test_a_shift_by_flirt_has_the_sign_that_hand_computation_gives():
    # Both images: ten voxels of 2 mm, x to the right, so that FSL's x is 18 - world x. The matrix moves the moving
    # image by 4 towards higher FSL x (left) and 6 up: world (x, y, z) of the moving image lies at (x - 4, y, z + 6).
    grid = Grid((10, 10, 10), RAS)
    matrix = np.eye(4)
    matrix[:3, 3] = [4, 0, 6]
    assert np.allclose(flirt_to_world(matrix, grid, grid)(np.array([[1.0, 2, 3]])), [[5, 2, -3]])


def test_an_identity_between_unlike_grids_lays_their_corners_on_each_other():
    # Moving: five voxels of 3 mm from x = -6, so that FSL's x is 12 - (x + 6).
    # Equal FSL x: 18 - x_fixed = 6 - x_moving.
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = [-6, 1, 0]
    place = flirt_to_world(np.eye(4), Grid((10, 10, 10), RAS), Grid((5, 5, 5), affine))
    assert np.allclose(place(np.array([[0.0, 0, 0]])), [[-12, 1, 0]])


def test_the_x_axis_is_turned_only_where_the_stored_axes_are_right_handed():
    # The same voxels stored the other way round are the same place in the world and in FSL's millimetres.
    left = np.diag([-2.0, 2, 2, 1])
    left[0, 3] = 18
    matrix = rigid_matrix([1, 2, 3, 0.1, 0.2, 0.3])
    one = flirt_to_world(matrix, Grid((10, 10, 10), RAS), Grid((10, 10, 10), RAS))
    other = flirt_to_world(matrix, Grid((10, 10, 10), left), Grid((10, 10, 10), left))
    assert np.allclose(one.matrix, other.matrix)


def oblique(angles, voxel_mm, handed, origin) -> np.ndarray:
    affine = rigid_matrix([*origin, *angles])
    affine[:3, :3] = affine[:3, :3] * np.array(voxel_mm) @ np.diag([handed, 1, 1])
    return affine


grids = st.builds(
    lambda angles, voxel, handed, origin, shape: Grid(shape, oblique(angles, voxel, handed, origin)),
    st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    st.tuples(*[st.floats(0.7, 4)] * 3),
    st.sampled_from([-1, 1]),
    st.tuples(*[st.floats(-90, 90)] * 3),
    st.tuples(*[st.integers(3, 90)] * 3),
)


def fsl_mm(grid: Grid, voxel) -> list[float]:
    """FSL's own words: voxel times voxel size, x counted from the other end in a right-handed image."""
    i, j, k = voxel
    right_handed = np.linalg.det(grid.affine[:3, :3]) > 0
    i = grid.shape[0] - 1 - i if right_handed else i
    return [i * grid.voxel_mm[0], j * grid.voxel_mm[1], k * grid.voxel_mm[2]]


@given(grids, grids, st.tuples(*[st.floats(-20, 20)] * 3), st.tuples(*[st.floats(-0.6, 0.6)] * 3))
def test_a_matrix_of_flirt_sends_voxels_where_fsl_sends_them_and_comes_back(fixed, moving, shift, angles):
    matrix = rigid_matrix([*shift, *angles]) @ np.diag([1.1, 0.9, 1.05, 1])
    place = flirt_to_world(matrix, fixed, moving)
    voxel = np.array([1, 2, 0])
    seen = matrix @ [*fsl_mm(moving, voxel), 1.0]
    # The world point of the fixed image at those FSL millimetres, by solving for its voxel.
    index = seen[:3] / fixed.voxel_mm
    if np.linalg.det(fixed.affine[:3, :3]) > 0:
        index[0] = fixed.shape[0] - 1 - index[0]
    at = fixed.affine @ [*index, 1.0]
    assert np.allclose(place(at[None, :3]), (moving.affine @ [*voxel, 1.0])[:3], atol=1e-6)
    assert np.allclose(world_to_flirt(place, fixed, moving), matrix, atol=1e-6)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("handed", [1, -1])
def test_a_field_of_fnirt_leads_each_voxel_to_where_fsl_reads_the_moving_image(rng, absolute, handed):
    fixed = Grid((4, 5, 6), oblique((0.1, 0.2, -0.1), (2, 2.5, 3), handed, (3, -4, 5)))
    moving = Grid((7, 6, 5), oblique((-0.2, 0.1, 0.3), (1.5, 2, 2), 1, (-8, 2, 0)))
    sources = rng.uniform(0, 10, (4, 5, 6, 3))
    voxels = np.array([[1, 1, 1], [2, 3, 4], [1, 2, 3]])
    field = sources.copy()
    if not absolute:
        for voxel in np.ndindex(4, 5, 6):
            field[voxel] -= fsl_mm(fixed, voxel)
    linear = Affine(rigid_matrix([2, 3, 4, 0.1, 0, 0.2]))
    chain = warp_to_chain(Image(field, fixed.affine), moving, linear, absolute=absolute)
    found = map_points(chain, np.array([(fixed.affine @ [*v, 1.0])[:3] for v in voxels]))
    for voxel, point in zip(voxels, found, strict=True):
        index = (np.linalg.inv(moving.affine) @ [*point, 1.0])[:3]
        # float32 fields of up to 100 mm keep 1e-5 mm.
        assert np.allclose(fsl_mm(moving, index), sources[tuple(voxel)], atol=1e-4)
    far = np.array([[500.0, 0, 0]])
    assert np.allclose(map_points(chain, far), linear(far))


@pytest.mark.parametrize(
    ("codes", "direction", "expected", "row"),
    [
        ("LAS", "j", (1, 1), "0 1 0 0.050000"),
        ("LAS", "j-", (1, -1), "0 -1 0 0.050000"),
        ("LPS", "j", (1, -1), "0 -1 0 0.050000"),
        ("RAS", "i", (0, 1), "-1 0 0 0.050000"),
        ("LAS", "i", (0, -1), "1 0 0 0.050000"),
        ("PIR", "i-", (1, 1), "0 1 0 0.050000"),
    ],
)
def test_phase_encoding_follows_the_stored_axes(codes, direction, expected, row):
    metadata = {"PhaseEncodingDirection": direction, "TotalReadoutTime": 0.05}
    encoding = phase_encoding(metadata, affine_of(codes), (9, 9, 9))
    assert (encoding.axis, encoding.sign) == expected
    assert encoding.row() == row


def affine_of(codes: str) -> np.ndarray:
    axes = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, code in enumerate(codes):
        axis, sign = axes[code]
        affine[axis, column] = 2 * sign
    return affine


def test_the_readout_time_follows_from_the_echo_spacing():
    metadata = {"PhaseEncodingDirection": "j", "EffectiveEchoSpacing": 0.0005, "ReconMatrixPE": 101}
    assert phase_encoding(metadata, RAS, (9, 9, 9)).readout_s == pytest.approx(0.05)
    del metadata["ReconMatrixPE"]
    assert phase_encoding(metadata, RAS, (9, 11, 9)).readout_s == pytest.approx(0.005)
    assert phase_encoding({"PhaseEncodingDirection": "j"}, RAS, (9, 9, 9)) is None
    assert phase_encoding({"TotalReadoutTime": 0.05}, RAS, (9, 9, 9)) is None


def test_a_frequency_moves_the_signal_along_phase_encoding():
    # 10 Hz for 50 ms is half a voxel, of 3 mm.
    field = Image(np.full((4, 4, 4), 10, np.float32), np.diag([2.0, 3, 2, 1]))
    point = np.array([[2.0, 3, 2]])
    assert np.allclose(field_to_displacement(field, PhaseEncoding(1, 1, 0.05))(point), [[2, 4.5, 2]])
    assert np.allclose(field_to_displacement(field, PhaseEncoding(1, -1, 0.05))(point), [[2, 1.5, 2]])


def test_two_phases_are_subtracted_around_the_turn():
    first, second = (
        Image(np.array(values, float).reshape(1, 1, -1), RAS) for values in ([0, 1024, 4096], [4096, 0, 0])
    )
    found = fsl.phase_difference(first, second).data.ravel()
    # A quarter turn back; nought and 4096 are the same phase.
    assert np.allclose(np.exp(1j * found), [1, np.exp(-0.5j * np.pi), 1], atol=1e-5)


# ---- command lines, against what FSL's usage texts say


def test_bet(programs, head):
    mask = np.zeros(SHAPE)
    mask[4, 2, 3] = 1
    programs.add("bet", {"brain.nii.gz": stored(head), "brain_mask.nii.gz": stored(head, mask)})
    assert np.argwhere(fsl.bet(head, fraction=0.4)).tolist() == [[4, 2, 3]]
    assert says(programs.words("bet"), "head.nii.gz brain.nii.gz", "-f 0.40", "-m", "-R")
    assert programs.environment("bet")["FSLOUTPUTTYPE"] == "NIFTI_GZ"
    assert programs.environment("bet")["OMP_NUM_THREADS"] == "1"
    given = nib.load(programs.file("bet", "head.nii.gz"))
    assert nib.aff2axcodes(given.affine) == ("L", "A", "S")
    assert np.allclose(nib.as_closest_canonical(given).get_fdata(), head.data)
    assert np.allclose(nib.as_closest_canonical(given).affine, RAS)


def test_fast(programs, head):
    mask = head.data > 0.3
    parts = np.stack([head.data < 0.5, (head.data >= 0.5) & (head.data < 0.8), head.data >= 0.8]) * 1.0
    images = {f"tissue_pve_{index}.nii.gz": stored(head, part) for index, part in enumerate(parts)}
    images |= {f"tissue_seg_{index}.nii.gz": stored(head, part) for index, part in enumerate(parts)}
    images |= {f"tissue_{name}.nii.gz": stored(head) for name in ("seg", "mixeltype", "pveseg")}
    programs.add("fast", images)
    assert np.array_equal(fsl.fast(head, mask), (parts * mask).astype(np.float32))
    assert says(programs.words("fast"), "-t 1", "-n 3", "-S 1", "-g", "-o tissue", "brain.nii.gz")
    assert programs.words("fast")[-1] == "brain.nii.gz"
    given = nib.as_closest_canonical(nib.load(programs.file("fast", "brain.nii.gz"))).get_fdata()
    assert not given[~mask].any()


MATRIX = "1 0 0 4\n0 1 0 0\n0 0 1 6\n0 0 0 1\n"


def test_flirt(programs, head):
    programs.add("flirt", {"flirted.nii.gz": stored(head)}, {"linear.mat": MATRIX})
    found = fsl.flirt(head, head, dof=9, cost="mutualinfo")
    assert np.allclose(found.matrix[:3, 3], [4, 0, -6])
    assert says(
        programs.words("flirt"),
        "-in moving.nii.gz",
        "-ref fixed.nii.gz",
        "-out flirted.nii.gz",
        "-omat linear.mat",
        "-dof 9",
        "-cost mutualinfo",
    )


def test_flirt_starts_where_it_is_told(programs, head):
    programs.add("flirt", {"flirted.nii.gz": stored(head)}, {"linear.mat": MATRIX})
    start = np.eye(4)
    start[:3, 3] = [4, 0, -6]
    fsl.flirt(head, head, initial=Affine(start))
    assert "-init start.mat" in " ".join(programs.words("flirt"))
    assert "-nosearch" in programs.words("flirt")
    assert np.allclose(np.loadtxt(programs.file("flirt", "start.mat")), np.fromstring(MATRIX, sep=" ").reshape(4, 4))


def test_fnirt(programs, head):
    nothing = np.zeros((*SHAPE, 3))
    programs.add("flirt", {"flirted.nii.gz": stored(head)}, {"linear.mat": "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"})
    shift = nothing + [2, 0, 0]  # to the left, in FSL's millimetres
    images = {name: stored(head, shift) for name in ("warp.nii.gz", "coefficients.nii.gz")}
    programs.add("fnirt", images | {"warped.nii.gz": stored(head)}, {"fnirt.log": ""})
    programs.add("invwarp", {"inverse.nii.gz": stored(head, -shift)})
    chain, inverse = fsl.fnirt(head, head)
    assert programs.calls() == ["flirt", "fnirt", "invwarp"]
    assert says(
        programs.words("fnirt"),
        "--in=moving.nii.gz",
        "--ref=fixed.nii.gz",
        "--aff=affine.mat",
        "--cout=coefficients.nii.gz",
        "--fout=warp.nii.gz",
        "--iout=warped.nii.gz",
        "--logout=fnirt.log",
    )
    assert says(programs.words("invwarp"), "--warp=warp.nii.gz", "--ref=moving.nii.gz", "--out=inverse.nii.gz", "--rel")
    point = np.array([[4.0, 6, 8]])
    assert np.allclose(map_points(chain, point), [[2, 6, 8]])
    assert np.allclose(map_points(inverse, map_points(chain, point)), point)


def test_mcflirt(programs, rng):
    series = Image(rng.random((*SHAPE, 4), np.float32), RAS)
    matrices = {f"moved.nii.gz.mat/MAT_{v:04d}": MATRIX.replace("4\n", f"{v}\n") for v in range(4)}
    parameters = "".join(f"0 0 0 {v} 0 6\n" for v in range(4))
    programs.add("mcflirt", {"moved.nii.gz": stored(series)}, {**matrices, "moved.nii.gz.par": parameters})
    motion = fsl.mcflirt(series)
    assert np.allclose(motion[:, :3, 3], [[v, 0, -6] for v in range(4)])
    assert says(programs.words("mcflirt"), "-in series.nii.gz", "-out moved.nii.gz", "-refvol 2", "-mats", "-plots")


def test_mcflirt_that_lost_volumes_is_refused(programs, rng):
    series = Image(rng.random((*SHAPE, 2), np.float32), RAS)
    matrices = {f"moved.nii.gz.mat/MAT_{v:04d}": MATRIX for v in range(2)}
    programs.add("mcflirt", {"moved.nii.gz": stored(series)}, {**matrices, "moved.nii.gz.par": "0 0 0 0 0 0\n"})
    with pytest.raises(fsl.FslError, match="2 volumes"):
        fsl.mcflirt(series)


def test_slicetimer_by_order(programs, rng):
    series = Image(rng.random((*SHAPE, 5), np.float32), RAS)
    programs.add("slicetimer", {"timed.nii.gz": stored(series)})
    # Odd slices first: 0, 2, 4, 6, 8, then 1, 3, 5, 7, 9, in 2 s.
    times = np.array([0, 5, 1, 6, 2, 7, 3, 8, 4, 9]) * 0.2
    done = fsl.slicetimer(series, times, axis=2, repetition_time_s=2.0)
    assert np.allclose(done, series.data)
    assert says(
        programs.words("slicetimer"),
        "--in=series.nii.gz",
        "--out=timed.nii.gz",
        "--repeat=2.000000",
        "--direction=3",
        "--ocustom=order.txt",
    )
    assert programs.file("slicetimer", "order.txt").read_text() == "1\n3\n5\n7\n9\n2\n4\n6\n8\n10\n"


def test_slicetimer_by_times_where_slices_share_a_moment(programs, rng):
    series = Image(rng.random((*SHAPE, 5), np.float32), RAS)
    programs.add("slicetimer", {"timed.nii.gz": stored(series)})
    # Two bands, 2 s, no pause: the middle of the times is .8 s; what came .8 s early is shifted by .4 of 2 s.
    times = np.array([0, 0.4, 0.8, 1.2, 1.6] * 2)
    fsl.slicetimer(series, times, axis=2, repetition_time_s=2.0)
    assert "--tcustom=timings.txt" in programs.words("slicetimer")
    expected = [0.4, 0.2, 0, -0.2, -0.4] * 2
    assert np.allclose(np.loadtxt(programs.file("slicetimer", "timings.txt")), expected)


def test_slices_along_the_first_axis_are_told_in_the_order_of_the_file(programs, rng):
    series = Image(rng.random((*SHAPE, 5), np.float32), RAS)
    programs.add("slicetimer", {"timed.nii.gz": stored(series)})
    fsl.slicetimer(series, np.arange(6) / 3, axis=0, repetition_time_s=2.0)
    assert "--direction=1" in programs.words("slicetimer")
    assert programs.file("slicetimer", "order.txt").read_text().split() == list("654321")


def test_epi_reg(programs, head):
    programs.add("epi_reg", {"epi2struct.nii.gz": stored(head)}, {"epi2struct.mat": MATRIX})
    found = fsl.epi_reg(head, head, head.data > 0.2, head.data > 0.8)
    assert np.allclose(found.matrix[:3, 3], [4, 0, -6])
    assert says(
        programs.words("epi_reg"),
        "--epi=epi.nii.gz",
        "--t1=head.nii.gz",
        "--t1brain=brain.nii.gz",
        "--wmseg=white.nii.gz",
        "--out=epi2struct",
    )
    white = nib.as_closest_canonical(nib.load(programs.file("epi_reg", "white.nii.gz"))).get_fdata()
    assert np.array_equal(white > 0, head.data > 0.8)


def test_topup(programs, head):
    programs.add("topup", *topup_answers(2, stored(head), stored(head, head.data * 40)))
    forward, back = PhaseEncoding(1, 1, 0.05), PhaseEncoding(1, -1, 0.05)
    field = fsl.field_from_pair(head, head, forward, back)
    assert np.allclose(field.data, head.data * 40)
    words = programs.words("topup")
    for word in ("--imain=opposed.nii.gz", "--datain=opposed.txt", "--config=b02b0.cnf", "--out=topup",
                 "--fout=topup_field.nii.gz", "--iout=topup_corrected.nii.gz"):  # fmt: skip
        assert word in words
    assert programs.file("topup", "opposed.txt").read_text() == "0 1 0 0.050000\n0 -1 0 0.050000\n"
    assert nib.load(programs.file("topup", "opposed.nii.gz")).shape == (*SHAPE, 2)


def test_a_pair_beside_the_image_is_laid_on_it(programs, head):
    place = "1 0 0 4\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
    programs.add("topup", *topup_answers(2, stored(head), stored(head, head.data * 40)))
    programs.add("flirt", {"on_image.nii.gz": stored(head)}, {"on_image.mat": place})
    target = Image(head.data[:4], RAS)
    pair = PhaseEncoding(1, 1, 0.05), PhaseEncoding(1, -1, 0.05)
    field = fsl.field_from_pair(head, head, *pair, target=target)
    assert programs.calls() == ["topup", "flirt"]
    # FSL's x of the target is 6 - x, of the pair 10 - x; the pair is moved by 4 to the left: x of the pair is x + 8.
    assert np.allclose(field.data[0], 40 * head.data[4], atol=1e-4)
    assert np.allclose(field.data[1], 40 * head.data[5], atol=1e-4)
    assert "-nosearch" in programs.words("flirt")
    # The header's own position: in FSL's x the pair lies 4 further.
    assert np.allclose(np.loadtxt(programs.file("flirt", "header.mat"))[0], [1, 0, 0, -4])


def test_topup_does_not_halve_an_odd_matrix(programs, rng):
    odd = Image(rng.random((6, 8, 9), np.float32), RAS)
    programs.add("topup", *topup_answers(2, stored(odd), stored(odd)))
    fsl.field_from_pair(odd, odd, PhaseEncoding(1, 1, 0.05), PhaseEncoding(1, -1, 0.05))
    assert "--config=b02b0_1.cnf" in programs.words("topup")


DIRECTIONS = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
TABLE = Gradients(np.array([0, 0, 1000, 1000, 1000.0]), DIRECTIONS)
REPORT = (
    "Slice 7 in scan 3 is an outlier with mean -5.2 standard deviations off, and mean squared 2.1 standard "
    "deviations off.\nSlice 0 in scan 4 is an outlier with mean -6 standard deviations off.\n"
)


def add_eddy(programs, series: Image, name: str = "eddy_cpu") -> None:
    # A third b-vector turned from left (-x in the world) to front.
    vectors = np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]])
    programs.add(name, *eddy_answers(stored(series), vectors, REPORT))


def test_topup_and_eddy(programs, rng):
    series = Image(rng.random((*SHAPE, 5), np.float32), RAS)
    programs.add("topup", *topup_answers(2, stored(series.volume(0)), stored(series.volume(0))))
    add_eddy(programs, series)
    forward, back = PhaseEncoding(0, 1, 0.04), PhaseEncoding(0, -1, 0.04)
    encodings = [forward, back, forward, forward, back]
    done = fsl.correct_diffusion(series, TABLE, np.ones(SHAPE, bool), encodings, with_topup=True)
    assert programs.calls() == ["topup", "eddy_cpu"]
    words = programs.words("eddy_cpu")
    for word in ("--imain=series.nii.gz", "--mask=mask.nii.gz", "--acqp=acqparams.txt", "--index=index.txt",
                 "--bvecs=bvecs", "--bvals=bvals", "--topup=topup", "--out=eddied", "--repol", "--data_is_shelled",
                 "--initrand"):  # fmt: skip
        assert word in words
    # The file's x runs to the left: encoding to the right is -1, and a direction to the right is (-1, 0, 0).
    assert programs.file("eddy_cpu", "acqparams.txt").read_text() == "-1 0 0 0.040000\n1 0 0 0.040000\n"
    assert programs.file("eddy_cpu", "index.txt").read_text().split() == list("12112")
    assert np.loadtxt(programs.file("eddy_cpu", "bvecs"))[:, 2].tolist() == [-1, 0, 0]
    assert np.loadtxt(programs.file("eddy_cpu", "bvals")).tolist() == [0, 0, 1000, 1000, 1000]
    assert np.allclose(done.image.data, series.data)
    assert np.allclose(done.gradients.directions[2:], [[0, 1, 0], [0, 1, 0], [0, 0, 1]])
    assert done.outliers == [(7, 3), (0, 4)]
    assert np.allclose(done.parameters, [[0.1, 0.2, 0.3, 0.01, 0.02, 0.03]] * 5)


def test_images_beside_the_series_help_topup(programs, rng):
    series = Image(rng.random((*SHAPE, 5), np.float32), RAS)
    programs.add("topup", *topup_answers(3, stored(series.volume(0)), stored(series.volume(0))))
    add_eddy(programs, series)
    forward, back = PhaseEncoding(1, 1, 0.04), PhaseEncoding(1, -1, 0.05)
    fsl.correct_diffusion(
        series, TABLE, np.ones(SHAPE, bool), [forward] * 5, with_topup=True, beside=[(series.volume(3), back)]
    )
    given = nib.as_closest_canonical(nib.load(programs.file("topup", "opposed.nii.gz"))).get_fdata()
    assert np.allclose(given, series.data[..., [0, 1, 3]])
    assert programs.file("topup", "opposed.txt").read_text().splitlines()[2] == "0 -1 0 0.050000"
    assert programs.file("eddy_cpu", "acqparams.txt").read_text() == "0 1 0 0.040000\n"


def test_eddy_alone_asks_for_no_field(programs, rng):
    series = Image(rng.random((*SHAPE, 5), np.float32), RAS)
    add_eddy(programs, series, "eddy_openmp")
    fsl.correct_diffusion(series, TABLE, np.ones(SHAPE, bool), [PhaseEncoding(1, 1, 0.05)] * 5)
    assert programs.calls() == ["eddy_openmp"]
    assert not [word for word in programs.words("eddy_openmp") if word.startswith("--topup")]


def test_dtifit(programs, rng):
    series = Image(rng.random((*SHAPE, 5), np.float32), RAS)
    mask = np.zeros(SHAPE, bool)
    mask[2:4, 2:5, 3:6] = True
    ones = np.ones(SHAPE)
    values = {"FA": 0.5, "MD": 8e-4, "MO": 0, "S0": 2, "L1": 1.5e-3, "L2": 6e-4, "L3": 4e-4}
    images = {f"tensor_{name}.nii.gz": ones * value for name, value in values.items()}
    images |= {f"tensor_V{n}.nii.gz": np.tile([0.6, 0.8, 0], (*SHAPE, 1)) for n in (1, 2, 3)}
    # xx, xy, xz, yy, yz, zz: along x .5e-3, along y 1e-3, along z 1.5e-3 mm^2/s.
    images["tensor_tensor.nii.gz"] = np.tile([0.5e-3, 0, 0, 1e-3, 0, 1.5e-3], (*SHAPE, 1))
    signal = 2 * np.exp([0, 0, -0.5, -1, -1.5]) + [0, 0, 0.2, 0, 0]
    series = Image(np.broadcast_to(signal, (*SHAPE, 5)).astype(np.float32), RAS)
    programs.add("dtifit", images)
    maps = fsl.dtifit(series, TABLE, mask)
    assert says(
        programs.words("dtifit"), "-k series.nii.gz", "-o tensor", "-m mask.nii.gz", "-r bvecs", "-b bvals",
        "--save_tensor", "--wls",
    )  # fmt: skip
    assert np.allclose(maps.ad[mask], 1.5e-3)
    assert np.allclose(maps.rd[mask], 5e-4)
    # FSL's x runs to the left here.
    assert np.allclose(maps.v1[mask], [-0.6, 0.8, 0])
    assert not maps.fa[~mask].any()
    # One of five volumes lies .2 off: .2 / sqrt(5) over a signal of 2.
    assert np.allclose(maps.residual[mask], 0.1 / np.sqrt(5), rtol=1e-4)


def test_fieldmap_from_phase(programs, head, rng):
    phase = Image(rng.integers(0, 4096, SHAPE).astype(np.float32), RAS)
    programs.add("bet", {"brain.nii.gz": stored(head), "brain_mask.nii.gz": stored(head, np.ones(SHAPE))})
    programs.add("fsl_prepare_fieldmap", {"raw_field.nii.gz": stored(head, np.full(SHAPE, 2 * np.pi * 30))})
    programs.add("fugue", {"smooth_field.nii.gz": stored(head, np.full(SHAPE, 2 * np.pi * 25))})
    programs.add("flirt", {"on_image.nii.gz": stored(head)}, {"on_image.mat": "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"})
    field = fsl.field_from_phase(phase, head, head, echo_difference_s=0.00246)
    assert np.allclose(field.data, 25, atol=1e-3)
    assert programs.calls() == ["bet", "fsl_prepare_fieldmap", "fugue", "flirt"]
    assert programs.words("fsl_prepare_fieldmap") == [
        "SIEMENS", "phase.nii.gz", "brain.nii.gz", "raw_field.nii.gz", "2.460000",
    ]  # fmt: skip
    assert says(
        programs.words("fugue"),
        "--loadfmap=field.nii.gz",
        "--mask=brain_mask.nii.gz",
        "--smooth3=2.00",
        "--savefmap=smooth_field.nii.gz",
    )
    given = nib.load(programs.file("fsl_prepare_fieldmap", "phase.nii.gz")).get_fdata()
    assert given.min() == 0
    assert given.max() == pytest.approx(4096)
    assert nib.load(programs.file("fugue", "field.nii.gz")).ndim == 3


# ---- what goes wrong


def test_a_missing_program_is_one_clear_error(head, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"fast.*fslinstaller"):
        fsl.fast(head, head.data > 0.5)


def test_a_program_that_fails_says_why_and_leaves_nothing(programs, head, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    programs.add("flirt", status=3)
    before = Path.cwd()
    with pytest.raises(fsl.FslError, match="flirt failed"):
        fsl.flirt(head, head)
    assert Path.cwd() == before
    assert list((tmp_path / "scratch").iterdir()) == []


def test_nothing_is_written_at_home(programs, tmp_path):
    """A fresh process, since nipype looks for its settings when it is first loaded."""
    programs.add("flirt", {"flirted.nii.gz": np.zeros(SHAPE)}, {"linear.mat": MATRIX})
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import numpy as np; from neuromoe.imaging.images import Image; from neuromoe.fsl import flirt; "
        f"image = Image(np.ones({SHAPE}, np.float32), np.diag([2.0, 2, 2, 1])); print(flirt(image, image).matrix[0, 3])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NIPYPE_CONFIG_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | {"HOME": str(home)}, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "4.0", done.stderr
    assert list(home.iterdir()) == []


def test_an_answer_on_another_grid_is_refused(programs, head):
    programs.add("bet", {name: np.zeros((3, 3, 3)) for name in ("brain.nii.gz", "brain_mask.nii.gz")})
    with pytest.raises(fsl.FslError, match="shape"):
        fsl.bet(head)


# ---- the real programs, where they are


def needs(*names: str):
    lacking = [name for name in names if shutil.which(name) is None]
    marks = [pytest.mark.requires_fsl]
    return [*marks, pytest.mark.skipif(bool(lacking), reason=f"FSL's {', '.join(lacking)} not installed")]


def marked(*names: str):
    def decorate(function):
        for mark in needs(*names):
            function = mark(function)
        return function

    return decorate


def blob(center=(20.0, 30, 25), shape=(40, 48, 44)) -> Image:
    """A lop-sided smooth body, so that every axis and turn shows."""
    points = Grid(shape, RAS).world().reshape(*shape, 3)
    total = np.zeros(shape)
    for offset, width in (((20, 18, 19), 12), ((8, -6, 14), 6), ((-9, 10, -8), 5)):
        total += np.exp(-((points - center - np.array(offset)) ** 2).sum(-1) / (2 * width**2))
    return Image((1000 * total).astype(np.float32), RAS)


def moved(image: Image, place: Affine) -> Image:
    return image.like(resample(image, image.grid, [place.inverse()], order=3))


@marked("flirt")
def test_the_real_flirt_finds_a_known_move():
    truth = Affine(rigid_matrix([3, -2, 4, 0.05, -0.08, 0.1], [40, 48, 44]))
    fixed = blob()
    found = fsl.flirt(fixed, moved(fixed, truth), dof=6)
    corners = np.array([[20.0, 20, 20], [60, 70, 60]])
    # A quarter of a voxel.
    assert np.abs(found(corners) - truth(corners)).max() < 0.5


@marked("mcflirt")
def test_the_real_mcflirt_finds_known_moves():
    truth = [Affine(rigid_matrix([v, -v, 0.5 * v, 0, 0.02 * v, 0], [40, 48, 44])) for v in range(5)]
    series = Image(np.stack([moved(blob(), place).data for place in truth], axis=3), RAS)
    found = fsl.mcflirt(series, reference_volume=0)
    corners = np.array([[20.0, 20, 20], [60, 70, 60]])
    for place, expected in zip(found, truth, strict=True):
        assert np.abs(Affine(place)(corners) - expected(corners)).max() < 0.5


@marked("slicetimer")
@pytest.mark.parametrize("bands", [1, 2])
def test_the_real_slicetimer_takes_away_the_delay(bands):
    moment = np.tile(np.arange(10 // bands) / (10 // bands), bands) * 2.0
    seconds = np.arange(60) * 2.0 + moment[:, None]
    course = 100 + 10 * np.sin(2 * np.pi * seconds / 40)
    series = Image(np.broadcast_to(course, (6, 6, 10, 60)).astype(np.float32), RAS)
    done = fsl.slicetimer(series, moment, axis=2, repetition_time_s=2.0)[3, 3, :, 8:-8]
    # Before, slices differ by up to 3; a tenth of that is the kernel's own error.
    assert np.ptp(done, axis=0).max() < 0.3


@marked("dtifit")
def test_the_real_dtifit_finds_the_direction():
    directions = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, -1, 0]], float)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    table = Gradients(np.array([0] + [1000.0] * 7), np.vstack([[0, 0, 0], directions]))
    main = np.array([0.6, 0.64, 0.48])
    tensor = 3e-4 * np.eye(3) + 1.4e-3 * np.outer(main, main)
    signal = 1000 * np.exp(-table.bvals_s_mm2 * np.einsum("vi,ij,vj->v", table.directions, tensor, table.directions))
    series = Image(np.broadcast_to(signal, (6, 6, 6, 8)).astype(np.float32), RAS)
    maps = fsl.dtifit(series, table, np.ones((6, 6, 6), bool))
    assert abs(maps.v1[3, 3, 3] @ main) > 0.999
    assert maps.md[3, 3, 3] == pytest.approx(np.trace(tensor) / 3, rel=0.01)


@marked("topup")
def test_the_real_topup_undoes_a_known_distortion():
    truth = blob()
    points = truth.grid.world().reshape(*truth.data.shape, 3)
    hz = 40 * np.exp(-((points - [40, 60, 44]) ** 2).sum(-1) / (2 * 15**2))
    field = truth.like(hz.astype(np.float32))
    pair = [PhaseEncoding(1, sign, 0.05) for sign in (1, -1)]
    # A small shift: the signal at y + d came from y, to first order.
    images = [truth.like(resample(truth, truth.grid, [field_to_displacement(field, PhaseEncoding(1, -e.sign, 0.05))]))
              for e in pair]  # fmt: skip
    found = fsl.field_from_pair(*images, *pair)
    inside = truth.data > 300
    assert np.corrcoef(found.data[inside], hz[inside])[0, 1] > 0.9


@marked("bet")
def test_the_real_bet_finds_a_ball():
    image = blob()
    assert 0.02 < fsl.bet(image).mean() < 0.6
