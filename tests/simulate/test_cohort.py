"""The dataset on disk, against its own truth."""

import json
from pathlib import Path

import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.imaging.geometry import apply_affine
from neuromoe.imaging.images import Image, load_image, resample
from neuromoe.imaging.transforms import Affine, read_affines, read_transform
from neuromoe.simulate._plan import images, site_of
from neuromoe.simulate._signal import STORED_WHITE_MATTER
from neuromoe.simulate._template import BRAIN, GM, LABEL, T1, WM, bundled_brain
from neuromoe.simulate.cohort import cohort


def truth(dataset: Path, person, folder: str, ending: str) -> Path:
    task = "_task-rest" if folder == "func" else ""
    name = person.participant_id
    return dataset / "derivatives" / "truth" / name / folder / f"{name}{task}{ending}"


def image_path(dataset: Path, person, modality: str) -> Path:
    return dataset / person.files()[modality][0]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_one_person_alone_has_the_same_bytes_as_within_the_cohort(dataset, people, arguments, tmp_path):
    person = people[-1]
    cohort(bids_dir=tmp_path, participant=person.participant_id, **arguments)
    alone = contents(tmp_path)
    assert any(name.endswith("_dwi.nii.gz") for name in alone)
    assert not (tmp_path / "participants.tsv").exists()
    whole = contents(dataset)
    assert [name for name, content in alone.items() if whole[name] != content] == []


def test_another_seed_gives_another_person(dataset, people, arguments, tmp_path):
    name = people[-1].participant_id
    cohort(bids_dir=tmp_path, participant=name, **{**arguments, "seed": 1})
    path = f"derivatives/truth/{name}/anat/{name}_from-{LABEL}_to-T1w_mode-image_xfm.h5"
    assert (tmp_path / path).read_bytes() != (dataset / path).read_bytes()


def test_an_unknown_participant_is_an_error(arguments, tmp_path):
    with pytest.raises(InputError, match="sub-01 to sub-03"):
        cohort(bids_dir=tmp_path, participant="sub-99", **arguments)


def test_every_name_is_a_bids_name(dataset):
    from bids_validator import BIDSValidator

    validator = BIDSValidator()
    names = [f"/{path.relative_to(dataset)}" for path in dataset.rglob("*") if path.is_file()]
    raw = [name for name in names if not name.startswith("/derivatives")]
    assert len(raw) > 20
    assert [name for name in raw if not validator.is_bids(name)] == []


def test_images_are_as_planned(dataset, people):
    import nibabel as nib

    for person in people:
        for image in images(person):
            header = nib.load(dataset / image.path).header
            volumes = (image.volumes,) if image.volumes > 1 else ()
            assert header.get_data_shape() == image.shape + volumes
            assert header.get_zooms()[:3] == pytest.approx([image.voxel_mm] * 3)
            assert "".join(nib.aff2axcodes(header.get_best_affine())) == image.axes
            metadata = json.loads((dataset / image.path.replace(".nii.gz", ".json")).read_text())
            assert metadata["RepetitionTime"] == image.repetition_time_s
            assert tuple(metadata.get("SliceTiming", ())) == image.slice_times_s


def test_missing_scans_are_absent_and_everything_else_is_there(dataset, people):
    for person in people:
        files = [name for names in person.files().values() for name in names]
        found = {str(p.relative_to(dataset)) for p in (dataset / person.participant_id).rglob("*.*")}
        assert found == set(files)


def test_gradient_tables_fit_the_images(dataset, people):
    for person in (person for person in people if person.dwi):
        image, _, bval, bvec = (dataset / name for name in person.files()["dwi"])
        values, vectors = np.loadtxt(bval), np.loadtxt(bvec)
        assert vectors.shape == (3, len(values)) == (3, load_image(image).data.shape[3])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=0), values > 0, atol=1e-5)


def test_the_stored_map_takes_the_template_onto_the_t1w(dataset, clean):
    brain = bundled_brain(3)
    t1w = load_image(image_path(dataset, clean, "anat"))
    chain = read_transform(truth(dataset, clean, "anat", f"_from-{LABEL}_to-T1w_mode-image_xfm.h5"))
    moved = resample(brain.like(np.ascontiguousarray(brain.data[..., :3])), t1w.grid, chain)
    mask = load_image(truth(dataset, clean, "anat", "_desc-brain_mask.nii.gz")).data > 0
    grown = resample(brain.volume(BRAIN), t1w.grid, chain) > 0.5
    assert 2 * (mask & grown).sum() / (mask.sum() + grown.sum()) > 0.995
    # Noise of 4.5 %, the bias field and the site's contrast are all that is left.
    assert np.corrcoef(moved[mask, T1], t1w.data[mask])[0, 1] > 0.85
    unmoved = resample(brain.volume(T1), t1w.grid)
    assert np.corrcoef(unmoved[mask], t1w.data[mask])[0, 1] < 0.6
    labels = load_image(truth(dataset, clean, "anat", "_dseg.nii.gz")).data
    assert moved[labels == 1, GM].mean() > 0.6 > 0.4 > moved[labels == 2, GM].mean()
    assert moved[labels == 2, WM].mean() > 0.6


def test_no_threshold_cuts_the_brain_out_of_the_head(dataset, clean):
    from scipy.ndimage import label

    t1w = load_image(image_path(dataset, clean, "anat")).data
    mask = load_image(truth(dataset, clean, "anat", "_desc-brain_mask.nii.gz")).data > 0
    best = 0.0
    for threshold in np.percentile(t1w[mask], range(2, 60, 4)):
        pieces, _ = label(t1w > threshold)
        largest = pieces == np.bincount(pieces[pieces > 0]).argmax()
        best = max(best, 2 * (largest & mask).sum() / (largest.sum() + mask.sum()))
    assert best < 0.85


def test_noise_is_rician_with_the_sites_deviation(dataset, people):
    for person in (person for person in people if person.anat):
        t1w = load_image(image_path(dataset, person, "anat")).data
        air = t1w[:4, -4:, -4:].ravel()
        sd = site_of(person).noise * STORED_WHITE_MATTER
        # In air the magnitude has Rayleigh's mean and deviation; 64 voxels give the mean within 20 % (3
        # errors).
        assert air.mean() == pytest.approx(sd * np.sqrt(np.pi / 2), rel=0.2)


def test_moving_the_volumes_back_takes_the_motion_out(dataset, spoilt):
    bold = load_image(image_path(dataset, spoilt, "func"))
    motion = read_affines(truth(dataset, spoilt, "func", "_from-orig_to-boldref_mode-image_xfm.txt"))
    mask = load_image(truth(dataset, spoilt, "func", "_desc-brain_mask.nii.gz")).data > 0
    far = max(range(len(motion)), key=lambda volume: np.abs(motion[volume] - np.eye(4)).sum())
    first = bold.data[..., 0]
    back = resample(bold.volume(far), bold.grid, [Affine(motion[far])])
    wrong = resample(bold.volume(far), bold.grid, [Affine(np.linalg.inv(motion[far]))])

    def residual(other):
        return np.sqrt(((other - first)[mask] ** 2).mean())

    assert residual(back) < 0.6 * residual(bold.data[..., far]) < residual(wrong)
    np.testing.assert_array_equal(motion[0], np.eye(4))


def test_motion_tables_and_matrices_agree(dataset, spoilt):
    from neuromoe.imaging.geometry import rigid_matrix

    motion = read_affines(truth(dataset, spoilt, "dwi", "_from-orig_to-dwiref_mode-image_xfm.txt"))
    table = truth(dataset, spoilt, "dwi", "_desc-motion_timeseries.tsv")
    center = json.loads(table.with_suffix(".json").read_text())["RotationCenterMM"]
    for row, matrix in zip(np.loadtxt(table, skiprows=1), motion, strict=True):
        np.testing.assert_allclose(rigid_matrix(row, center), matrix, atol=1e-4)


@pytest.mark.parametrize(("folder", "scan"), [("dwi", "dwi"), ("func", "boldref")])
def test_the_scans_positions_take_their_brains_onto_the_t1ws(dataset, clean, folder, scan):
    matrix = read_affines(truth(dataset, clean, folder, f"_from-{scan}_to-T1w_mode-image_xfm.txt"))[0]
    moving = load_image(truth(dataset, clean, folder, "_desc-brain_mask.nii.gz"))
    fixed = load_image(truth(dataset, clean, "anat", "_desc-brain_mask.nii.gz"))
    overlap = {}
    for name, chain in (("known", [Affine(matrix)]), ("none", [])):
        moved = resample(moving, fixed.grid, chain) > 0.5
        overlap[name] = 2 * (moved & (fixed.data > 0)).sum() / (moved.sum() + fixed.data.sum())
    # Masks of 6 mm voxels on a grid of 4 mm.
    assert overlap["known"] > 0.94
    assert overlap["known"] > overlap["none"]


def test_dipys_tensors_of_the_images_agree_with_the_truth(dataset, clean):
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    path, _, bval, bvec = (dataset / name for name in clean.files()["dwi"])
    dwi = load_image(path)
    # FSL's first axis is reversed where the stored image's determinant is positive; then voxel axes to world.
    import nibabel as nib

    stored = nib.load(path).affine[:3, :3]
    axes = stored / np.linalg.norm(stored, axis=0)
    vectors = np.loadtxt(bvec).T * [-1 if np.linalg.det(axes) > 0 else 1, 1, 1] @ axes.T
    fa = load_image(truth(dataset, clean, "dwi", "_param-fa_dwimap.nii.gz")).data
    first = load_image(truth(dataset, clean, "dwi", "_param-v1_dwimap.nii.gz")).data
    inside = fa > 0.4
    table = gradient_table(np.loadtxt(bval), bvecs=vectors)
    fit = TensorModel(table, fit_method="WLS").fit(dwi.data[inside])
    assert np.median(np.abs(fit.fa - fa[inside])) < 0.08
    cosine = np.abs((fit.evecs[..., 0] * first[inside]).sum(axis=1))
    assert np.degrees(np.arccos(np.median(np.minimum(cosine, 1)))) < 10


def test_the_networks_courses_are_in_the_images(dataset, clean):
    bold = load_image(image_path(dataset, clean, "func"))
    folder = dataset / "derivatives" / "truth"
    table = truth(dataset, clean, "func", "_desc-networks_timeseries.tsv")
    names, courses = table.read_text().split("\n")[0].split("\t"), np.loadtxt(table, skiprows=1)
    to_template = read_transform(truth(dataset, clean, "anat", f"_from-{LABEL}_to-T1w_mode-image_xfm.h5"))
    to_scan = read_affines(truth(dataset, clean, "func", "_from-boldref_to-T1w_mode-image_xfm.txt"))[0]
    chain = [Affine(np.linalg.inv(to_scan)), *to_template]
    mask = load_image(truth(dataset, clean, "func", "_desc-brain_mask.nii.gz")).data > 0
    for name in ("visual", "default"):
        weight = load_image(folder / f"space-{LABEL}_desc-{name}_probseg.nii.gz")
        core = mask & (resample(weight, bold.grid, chain) > 0.6)
        mean = bold.data[core].mean(axis=0) / bold.data[mask].mean(axis=0)
        assert np.corrcoef(mean, courses[:, names.index(name)])[0, 1] > 0.7


def test_the_t1ws_bias_is_stored_at_every_fourth_voxel(dataset, clean):
    t1w = load_image(image_path(dataset, clean, "anat"))
    bias = load_image(truth(dataset, clean, "anat", "_desc-bias_T1w.nii.gz"))
    mask = load_image(truth(dataset, clean, "anat", "_desc-brain_mask.nii.gz")).data > 0
    points = bias.grid.world()
    index = np.round(apply_affine(np.linalg.inv(t1w.affine), points)).astype(int)
    np.testing.assert_allclose(apply_affine(t1w.affine, index), points, atol=1e-3)
    there = mask[tuple(index.T)]
    white = load_image(truth(dataset, clean, "anat", "_dseg.nii.gz")).data[tuple(index.T)] == 2
    values = t1w.data[tuple(index.T)]
    corrected = values / bias.data.ravel()
    spread = [v[there & white].std() / v[there & white].mean() for v in (corrected, values)]
    assert spread[0] < spread[1]


def test_truth_says_who_is_spoilt(dataset, people):
    lines = (dataset / "derivatives" / "truth" / "truth.tsv").read_text().splitlines()
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"), strict=True)) for line in lines[1:]]
    for person, row in zip(people, rows, strict=True):
        assert row["participant_id"] == person.participant_id
        assert row["corrupted"] == (",".join(person.corrupted) or "none")
        assert (row["anat"] == "missing") == (not person.anat)
        assert float(row["fa_drop"]) == pytest.approx(0.35 * person.severity, abs=1e-3)


def test_places_lie_where_they_are_named():
    from neuromoe.simulate._effects import PLACES
    from neuromoe.simulate._places import weights

    brain = bundled_brain(3)
    maps = weights(PLACES)
    shares = {}
    for index, name in enumerate(PLACES):
        weight = resample(Image(maps.data[..., index], maps.affine), brain.grid)
        core = weight > 0.7
        world = brain.grid.world().reshape(*brain.grid.shape, 3)[core]
        assert abs(world[:, 0].mean()) < 1.6
        shares[name] = (brain.data[core, BRAIN].mean(), brain.data[core, GM].mean(), world.mean(axis=0))
    assert all(brain_share > 0.7 for brain_share, _, _ in shares.values())
    assert shares["putamen"][1] > 0.5
    assert shares["motor"][2][2] > 50
    assert shares["pons"][2][2] < shares["midbrain"][2][2] < shares["putamen"][2][2]
