"""The step with FSL's programs, for which stand-ins answer."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.fsl import PhaseEncoding
from neuromoe.fsl.space import world_to_flirt
from neuromoe.func._fieldmap import apply_field, undistort
from neuromoe.func._registration import place_in_t1w
from neuromoe.imaging.images import Image, load_image, resample, save_image
from neuromoe.imaging.transforms import Affine, read_affines, read_transform
from neuromoe.registration.distortion import inverted

from .conftest import Person
from .test_correct import brain_points, run_correct

sys.path.insert(0, str(Path(__file__).parent.parent))
from fsl_stand_in import as_stored, put_on_path, topup_answers  # noqa: E402

AP = {"PhaseEncodingDirection": "j-", "TotalReadoutTime": 0.05}
PA = {"PhaseEncodingDirection": "j", "TotalReadoutTime": 0.05}


@pytest.fixture
def programs(tmp_path, monkeypatch):
    return put_on_path(monkeypatch, tmp_path / "fsl")


def flirt_text(place: np.ndarray, image: Image) -> str:
    """Write a map from a reference's to a volume's world points as MCFLIRT does: the other way, in FSL's mm."""
    voxels = np.diag([*image.voxel_mm, 1.0])
    turned = np.diag([-1.0, 1, 1, 1])
    turned[0, 3] = image.data.shape[0] - 1
    to_fsl = voxels @ turned @ np.linalg.inv(image.affine)
    matrix = to_fsl @ np.linalg.inv(place) @ np.linalg.inv(to_fsl)
    return "\n".join(" ".join(f"{value:.9f}" for value in row) for row in matrix) + "\n"


def test_motion_and_slice_timing_by_fsl(programs, person: Person, tmp_path):
    bold = load_image(person.bold, ndim=4)
    # MCFLIRT's reference is the middle volume.
    middle = person.motion[len(person.motion) // 2]
    motion = [place @ np.linalg.inv(middle) for place in person.motion]
    texts = {f"moved.nii.gz.mat/MAT_{v:04d}": flirt_text(place, bold) for v, place in enumerate(motion)}
    texts["moved.nii.gz.par"] = "0 0 0 0 0 0\n" * len(motion)
    programs.add("mcflirt", {"moved.nii.gz": as_stored(bold.data, bold.affine)}, texts)
    programs.add("slicetimer", {"timed.nii.gz": as_stored(bold.data + 1, bold.affine)})
    out = run_correct(person, tmp_path, motion_backend="fsl", slice_timing_backend="fsl")
    assert programs.calls() == ["mcflirt", "slicetimer"]
    assert np.allclose(read_affines(out["motion"]), motion, atol=1e-4)
    # Written with twelve bits of the brightest.
    assert np.abs(load_image(out["slicetimed"]).data - bold.data - 1).max() < 1
    order = np.loadtxt(programs.file("slicetimer", "order.txt"))
    assert np.array_equal(order, np.argsort(person.slice_times_s, kind="stable") + 1)
    (place,) = read_transform(out["transform"])
    points = brain_points(person)
    truth = Affine(middle @ person.t1w_to_bold)(points)
    assert np.linalg.norm(place(points) - truth, axis=1).mean() < 1.0


def test_the_place_in_the_t1w_by_epi_reg(programs, person: Person):
    bold, t1w, mask = (load_image(path) for path in (person.bold, person.t1w, person.t1w_mask))
    first = bold.volume(0)
    matrix = world_to_flirt(Affine(person.t1w_to_bold), t1w.grid, first.grid)
    text = "".join(" ".join(f"{value:.8f}" for value in row) + "\n" for row in matrix)
    programs.add("epi_reg", {"epi2struct.nii.gz": as_stored(t1w.data, t1w.affine)}, {"epi2struct.mat": text})
    bright = first.data > first.data.mean()
    found = place_in_t1w(first, bright, t1w, mask, seed=0, white=load_image(person.wm)).found
    assert np.allclose(found.matrix, person.t1w_to_bold, atol=1e-5)
    assert found.start == "epi_reg"
    # The true place scores as high as the one that our own search finds.
    own = place_in_t1w(first, bright, t1w, mask, seed=0).found
    assert found.score > 0.9 * own.score


def bump_hz(image: Image, size: float) -> Image:
    """A smooth field in the brain's front."""
    apart = image.grid.world() - image.grid.center_mm - [0, 30, 0]
    return image.like((size * np.exp(-(apart**2).sum(1) / (2 * 25**2))).reshape(image.data.shape).astype(np.float32))


def distort(image: Image, field: Image, encoding: PhaseEncoding) -> Image:
    """Press an image together as the scanner does, by the way back that the correction does not use."""
    found = apply_field(image, field, encoding)
    return image.like(resample(image, image.grid, [found.back]))


def test_a_known_distortion_is_taken_out_and_the_way_back_leads_back(person: Person):
    still = load_image(person.bold, ndim=4).volume(0)
    field = bump_hz(still, 40.0)
    for sign in (1, -1):
        encoding = PhaseEncoding(1, sign, 0.05)
        found = apply_field(distort(still, field, encoding), field, encoding)
        assert found.shift_mm == pytest.approx(8, abs=0.3)  # 40 Hz x 50 ms is two voxels of 4 mm
        points = still.grid.world()[::501]
        inside = np.abs(points - still.grid.center_mm).max(axis=1) < 50
        there = inverted(found.way)(found.way(points))
        assert np.abs(there - points)[inside].max() < 0.2


def run_with_fieldmap(person: Person, folder: Path, told: dict, **files):
    sidecar = folder / "sub-1_task-rest_bold.json"
    sidecar.write_text(json.dumps(json.loads(person.sidecar.read_text()) | told))
    settings = {"sidecars": [sidecar], "fieldmap_backend": "fsl", "slice_timing": False, "motion_passes": 1}
    outputs = folder / "out"
    outputs.mkdir()
    place = outputs / "place.h5"
    return run_correct(person, outputs, transform=place, **settings, **files) | {"transform": place}


def write_fieldmap(folder: Path, name: str, image: Image, **told) -> tuple[Path, Path]:
    path, sidecar = folder / f"sub-1_{name}.nii.gz", folder / f"sub-1_{name}.json"
    stored, affine = as_stored(image.data, image.affine)
    save_image(Image(stored, affine), path)
    sidecar.write_text(json.dumps(told))
    return path, sidecar


def test_a_pair_of_opposed_images_corrects_the_way_to_the_t1w(programs, person: Person, tmp_path):
    still = load_image(person.bold, ndim=4).volume(0)
    field = bump_hz(still, 40.0)
    programs.add("topup", *topup_answers(2, *[as_stored(image.data, image.affine) for image in (still, field)]))
    nothing = "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
    programs.add("flirt", {"on_image.nii.gz": as_stored(still.data, still.affine)}, {"on_image.mat": nothing})
    pair = [write_fieldmap(tmp_path, f"dir-{name}_epi", still, **told) for name, told in (("AP", AP), ("PA", PA))]
    files = {"fieldmaps": [path for path, _ in pair], "fieldmap_sidecars": [sidecar for _, sidecar in pair]}
    out = run_with_fieldmap(person, tmp_path, AP, **files)
    assert programs.calls() == ["topup", "flirt"]
    # The image that is distorted as the run comes first. The run's axes: y to the front, so that j- is -1.
    assert programs.file("topup", "opposed.txt").read_text() == "0 -1 0 0.050000\n0 1 0 0.050000\n"
    *_, place, way = read_transform(out["transform"])
    at = still.grid.center_mm + [0, 30, 0]
    assert np.allclose(way(at[None]) - at, [[0, -8, 0]], atol=0.2)
    assert isinstance(place, Affine)
    record = json.loads((tmp_path / "out" / "place.json").read_text())
    assert record["Parameters"]["fieldmap_backend"] == "fsl"


def test_a_phase_difference_corrects_too(programs, person: Person, tmp_path):
    still = load_image(person.bold, ndim=4).volume(0)
    answer = {name: as_stored(image.data, image.affine) for name, image in
              (("brain", still), ("hz", bump_hz(still, 2 * np.pi * 40)))}  # fmt: skip
    programs.add("bet", {"brain.nii.gz": answer["brain"], "brain_mask.nii.gz": answer["brain"]})
    programs.add("fsl_prepare_fieldmap", {"raw_field.nii.gz": answer["hz"]})
    programs.add("fugue", {"smooth_field.nii.gz": answer["hz"]})
    nothing = "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
    programs.add("flirt", {"on_image.nii.gz": answer["brain"]}, {"on_image.mat": nothing})
    phase = write_fieldmap(tmp_path, "phasediff", still, EchoTime1=0.00492, EchoTime2=0.00738)
    magnitude = write_fieldmap(tmp_path, "magnitude1", still)
    files = {"fieldmaps": [phase[0], magnitude[0]], "fieldmap_sidecars": [phase[1], magnitude[1]]}
    out = run_with_fieldmap(person, tmp_path, PA, **files)
    assert programs.words("fsl_prepare_fieldmap")[-1] == "2.460000"
    way = read_transform(out["transform"])[-1]
    at = still.grid.center_mm + [0, 30, 0]
    assert np.allclose(way(at[None]) - at, [[0, 8, 0]], atol=0.2)


def test_a_run_that_does_not_say_how_it_was_read_out_is_refused(programs, person: Person, tmp_path):
    still = load_image(person.bold, ndim=4).volume(0)
    path, sidecar = write_fieldmap(tmp_path, "dir-PA_epi", still, **PA)
    with pytest.raises(InputError, match="TotalReadoutTime"):
        run_with_fieldmap(person, tmp_path, {}, fieldmaps=[path], fieldmap_sidecars=[sidecar])


@pytest.mark.parametrize(
    ("pair", "programs_run", "rows"),
    [
        ((AP, PA), ["topup", "flirt"], "0 -1 0 0.050000\n0 1 0 0.050000\n"),
        ((PA,), ["topup"], "0 -1 0 0.050000\n0 1 0 0.050000\n"),
        # A pair along another axis gives the same field. The file's x runs to the left.
        (
            (PA | {"PhaseEncodingDirection": "i"}, PA | {"PhaseEncodingDirection": "i-"}),
            ["topup", "flirt"],
            "1 0 0 0.050000\n-1 0 0 0.050000\n",
        ),
    ],
)
def test_topup_gets_the_best_pair_there_is(programs, person: Person, tmp_path, pair, programs_run, rows):
    still = load_image(person.bold, ndim=4).volume(0)
    answer = as_stored(still.data, still.affine)
    programs.add("topup", *topup_answers(2, answer, as_stored(bump_hz(still, 1.0).data, still.affine)))
    nothing = "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
    programs.add("flirt", {"on_image.nii.gz": answer}, {"on_image.mat": nothing})
    written = [write_fieldmap(tmp_path, f"run-{number}_epi", still, **told) for number, told in enumerate(pair)]
    sidecar = tmp_path / "sub-1_task-rest_bold.json"
    sidecar.write_text(json.dumps(AP))
    undistort(still, person.bold, [sidecar], [path for path, _ in written], [text for _, text in written])
    assert programs.calls() == programs_run
    assert programs.file("topup", "opposed.txt").read_text() == rows
