import json

import numpy as np
import pytest
from scipy import ndimage

from neuromoe.core.errors import InputError
from neuromoe.core.images import load_image, save_image
from neuromoe.core.quality import read_quality
from neuromoe.core.template import Template
from neuromoe.core.transforms import Affine, read_transform, write_affines, write_transform
from neuromoe.func._confounds import MOTION
from neuromoe.func._slicetiming import correct_slice_timing
from neuromoe.func._tissues import noise_masks, pull_share, push_share
from neuromoe.func.normalize import normalize

REGRESSORS = ["motion", "outliers"]
OUTPUTS = {
    "confounds": "confounds.tsv", "boldref_template": "boldref_t.nii.gz", "mask_template": "mask_t.nii.gz",
    "alff": "alff.nii.gz", "falff": "falff.nii.gz", "reho": "reho.nii.gz", "seed_map": "seed.nii.gz",
    "quality": "quality.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(person, tmp_path_factory):
    """What a perfect `func correct` would write."""
    folder = tmp_path_factory.mktemp("corrected")
    bold = load_image(person.bold, ndim=4)
    timed = correct_slice_timing(bold.data, person.slice_times_s, axis=2, repetition_time_s=2.0)
    paths = {name: folder / f"{name}.nii.gz" for name in ("bold", "boldref", "mask")}
    paths |= {"motion": folder / "motion.txt", "transform": folder / "place.txt"}
    save_image(bold.like(timed), paths["bold"], repetition_time_s=2.0)
    save_image(bold.like(timed[..., :8].mean(axis=3)), paths["boldref"])
    save_image(bold.like(timed.mean(axis=3) > 250), paths["mask"], dtype=np.uint8)
    write_affines(paths["motion"], person.motion)
    write_transform(paths["transform"], (Affine(person.t1w_to_bold),))
    return paths


@pytest.fixture(scope="module")
def normalized(person, inputs, tmp_path_factory):
    # The made fluctuation is the same everywhere: what leaks into white matter would take it all out.
    return run_normalize(person, inputs, tmp_path_factory.mktemp("normalized"), regressors=REGRESSORS)


def run_normalize(person, inputs, folder, **settings):
    outputs = {name: folder / file for name, file in OUTPUTS.items()}
    anat = {"gm": person.gm, "wm": person.wm, "csf": person.csf, "t1w_to_template": person.t1w_to_template}
    normalize(**inputs, template=person.template, **{**anat, **outputs, **settings})
    return outputs


def tissue_means(person, path):
    """Mean of a map in grey matter of the right and the left side, and in white matter."""
    template, values = Template.load(person.template), load_image(path, ndim=3).data
    right = template.grid.world()[:, 0].reshape(template.grid.shape) > 0
    grey, white = template.gm.data > 0.7, template.wm.data > 0.9
    return [float(values[place & (values != 0)].mean()) for place in (grey & right, grey & ~right, white)]


def test_amplitude_is_three_times_as_large_on_the_side_that_fluctuates_thrice(person, normalized):
    right, left, white = tissue_means(person, normalized["alff"])
    assert 2.0 < (right - white) / (left - white) < 4.5


def test_the_share_of_slow_fluctuation_follows_the_grey_matter(person, normalized):
    right, left, white = tissue_means(person, normalized["falff"])
    assert right > left > white and right > 0.5


def test_neighbours_agree_where_they_fluctuate_together(person, normalized):
    right, left, white = tissue_means(person, normalized["reho"])
    assert right > left > white and right > 0.6


def test_the_seed_is_connected_to_what_fluctuates_like_it(person, normalized):
    right, _, white = tissue_means(person, normalized["seed_map"])
    assert right > 0.8 > 0.4 > white


def test_maps_lie_on_the_templates_grid_and_are_zero_outside_the_mask(person, normalized):
    grid, mask = Template.load(person.template).grid, load_image(normalized["mask_template"], ndim=3)
    for name in ("alff", "falff", "reho", "seed_map"):
        image = load_image(normalized[name], ndim=3)
        assert image.grid.same_as(grid) and not image.data[mask.data == 0].any()
        assert np.isfinite(image.data).all()


def test_the_reference_matches_the_template_better_than_a_voxel_aside(person, normalized):
    template, reference = Template.load(person.template), load_image(normalized["boldref_template"], ndim=3)
    made = 700 * template.wm.data + 900 * template.gm.data + 1300 * template.csf.data
    # The rim is sharper in the template than any BOLD voxel can be, and the top is outside the field of view.
    inside = ndimage.binary_erosion(load_image(normalized["mask_template"], ndim=3).data > 0, iterations=2)

    def likeness(step, axis):
        return np.corrcoef(made[inside], np.roll(reference.data, step, axis)[inside])[0, 1]

    placed = likeness(0, 0)
    assert placed > 0.9
    aside = {(step, axis): likeness(step, axis) for step in (-1, 1) for axis in range(3)}
    assert max(aside.values()) < placed - 0.1, aside


def test_quality_is_good_and_states_what_is_left(normalized):
    quality = read_quality(normalized["quality"])
    assert quality["verdict"] == "pass", quality["reasons"]
    assert quality["numbers"]["coverage"] > 0.9 and quality["numbers"]["freedom"] >= 11
    assert quality["numbers"]["fluid_contrast"] > 1.2


def test_the_sidecar_names_the_regressors(normalized):
    record = json.loads(normalized["alff"].with_name("alff.json").read_text())
    assert record["Parameters"]["regressors"][:6] == [*MOTION]
    assert record["Parameters"]["band_hz"] == [0.01, 0.1]


def test_a_second_run_gives_the_same_bytes(person, inputs, normalized, tmp_path):
    again = run_normalize(person, inputs, tmp_path, regressors=REGRESSORS)
    assert all(again[name].read_bytes() == path.read_bytes() for name, path in normalized.items())


def test_without_a_t1w_the_templates_tissues_serve(person, inputs, normalized, tmp_path):
    direct = tmp_path / "direct.h5"
    write_transform(direct, read_transform(person.t1w_to_template) + read_transform(inputs["transform"]))
    none = {"gm": None, "wm": None, "csf": None, "t1w_to_template": None}
    found = run_normalize(person, inputs | {"transform": direct}, tmp_path, regressors=REGRESSORS, **none)
    ours, theirs = (load_image(outputs["falff"], ndim=3).data for outputs in (found, normalized))
    assert np.corrcoef(ours[theirs > 0], theirs[theirs > 0])[0, 1] > 0.9


def test_a_short_run_is_made_and_marked(person, inputs, tmp_path):
    bold = load_image(inputs["bold"], ndim=4)
    save_image(bold.like(bold.data[..., :30]), tmp_path / "short.nii.gz", repetition_time_s=2.0)
    write_affines(tmp_path / "short.txt", person.motion[:30])
    short = {"bold": tmp_path / "short.nii.gz", "motion": tmp_path / "short.txt"}
    found = run_normalize(person, inputs | short, tmp_path)
    quality = read_quality(found["quality"])
    assert quality["verdict"] == "warn" and any("short" in reason for reason in quality["reasons"])


def test_motion_of_another_run_is_refused(person, inputs, tmp_path):
    write_affines(tmp_path / "motion.txt", person.motion[:5])
    with pytest.raises(InputError, match="64 affines"):
        run_normalize(person, inputs | {"motion": tmp_path / "motion.txt"}, tmp_path)


def test_a_seed_outside_the_brain_gives_an_empty_map_and_a_warning(person, inputs, tmp_path):
    found = run_normalize(person, inputs, tmp_path, seed_mm=[200.0, 0.0, 0.0])
    assert not load_image(found["seed_map"], ndim=3).data.any()
    assert any("seed" in reason for reason in read_quality(found["quality"])["reasons"])


def test_tissue_shares_agree_whether_pulled_or_pushed(person):
    wm, boldref = load_image(person.wm, ndim=3), load_image(person.bold, ndim=4).volume(0)
    place = Affine(person.t1w_to_bold)
    pulled, pushed = pull_share(wm, boldref, (place.inverse(),)), push_share(wm, boldref, (place,))
    inner = (slice(6, -6),) * 3
    assert np.abs(pulled - pushed)[inner].mean() < 0.04
    assert np.corrcoef(pulled[inner].ravel(), pushed[inner].ravel())[0, 1] > 0.97


def test_noise_masks_hold_their_tissue_only(person):
    boldref = load_image(person.bold, ndim=4).volume(0)
    to_t1w = (Affine(np.linalg.inv(person.t1w_to_bold)),)
    shares = {name: pull_share(load_image(getattr(person, name), 3), boldref, to_t1w) for name in ("gm", "wm", "csf")}
    masks = noise_masks(shares, boldref.data > 250)
    assert masks["wm"].sum() > 100 and shares["gm"][masks["wm"]].mean() < 0.1
    assert masks["csf"].sum() >= 30 and shares["csf"][masks["csf"]].mean() > 0.6
