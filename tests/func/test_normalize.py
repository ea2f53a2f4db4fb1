import json

import numpy as np
import pytest
from scipy import ndimage

from neuromoe.core.errors import InputError
from neuromoe.core.quality import read_quality
from neuromoe.func._confounds import MOTION
from neuromoe.func._networks import find_networks
from neuromoe.func._slicetiming import correct_slice_timing
from neuromoe.func._tissues import noise_masks, pull_share, push_share
from neuromoe.func.normalize import normalize
from neuromoe.imaging.images import load_image, save_image
from neuromoe.imaging.template import Template
from neuromoe.imaging.transforms import Affine, read_transform, write_affines, write_transform

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


SPOILT = 20


@pytest.fixture(scope="module", params=[True, False], ids=["scrubbed", "kept"])
def spoilt(request, person, inputs, tmp_path_factory):
    """Maps of a run one of whose volumes is spoilt in one way or another, with and without scrubbing."""
    found = []
    for way, factor in enumerate((1.5, 0.6)):
        folder = tmp_path_factory.mktemp(f"spoilt-{request.param}-{way}")
        bold, noise = load_image(inputs["bold"], ndim=4), np.random.default_rng(way)
        data = bold.data.copy()
        data[..., SPOILT] = np.abs(factor * data[..., SPOILT] + noise.normal(0, 50, data.shape[:3]))
        save_image(bold.like(data), folder / "bold.nii.gz", repetition_time_s=2.0)
        changed = inputs | {"bold": folder / "bold.nii.gz"}
        # The components, too, are taken from regions that hold the spoilt volume.
        groups = ["motion", "outliers", "tissues", "compcor"]
        found.append(
            run_normalize(person, changed, folder, regressors=groups, compcor_components=2, scrub=request.param)
        )
    return request.param, found


@pytest.mark.parametrize("name", ["alff", "falff", "reho", "seed_map"])
def test_how_a_volume_is_spoilt_matters_to_the_maps_only_without_scrubbing(spoilt, name):
    scrubbed, outputs = spoilt
    one, other = (load_image(paths[name], ndim=3).data for paths in outputs)
    inside = load_image(outputs[0]["mask_template"], ndim=3).data > 0
    apart = np.abs(one - other)[inside].mean() / one[inside].std()
    # With scrubbing float32's rounding is left, a ten-thousandth; without, confounds take only part of it out.
    assert apart < 1e-3 if scrubbed else apart > 0.01, apart


def test_mean_amplitude_is_one_in_the_brain_and_the_same_map_otherwise(person, inputs, normalized, tmp_path):
    found = run_normalize(person, inputs, tmp_path, regressors=REGRESSORS, amplitude="mean")
    ours, percent = (load_image(outputs["alff"], ndim=3).data for outputs in (found, normalized))
    inside = load_image(normalized["mask_template"], ndim=3).data > 0
    # Both are single precision.
    assert ours[inside].mean(dtype=float) == pytest.approx(1, abs=1e-5)
    assert ours == pytest.approx(percent / percent[inside].mean(dtype=float), rel=1e-4)
    assert found["reho"].read_bytes() == normalized["reho"].read_bytes()


def network_maps(person, inputs, folder, networks):
    found = run_normalize(
        person, inputs, folder, regressors=REGRESSORS, networks=str(networks), network_map=folder / "networks.nii.gz"
    )
    named = json.loads((folder / "networks.json").read_text())["Networks"]
    return found, dict(
        zip([one["Name"] for one in named], load_image(folder / "networks.nii.gz", 4).data.T, strict=True)
    )


def test_a_network_of_the_seed_alone_gives_the_seeds_map(person, inputs, normalized, tmp_path):
    (tmp_path / "centres.tsv").write_text("name\tx\ty\tz\nseed\t0\t-53\t26\nfar\t0\t0\t200\n")
    found, maps = network_maps(person, inputs, tmp_path, tmp_path / "centres.tsv")
    seed = load_image(normalized["seed_map"], ndim=3).data.T
    # The seed is filtered voxel by voxel, a network's mean at once: the same but for rounding.
    assert np.abs(maps["seed"] - seed).max() < 1e-3
    assert not maps["far"].any()
    assert any("far" in reason for reason in read_quality(found["quality"])["reasons"])


def test_an_atlas_gives_a_map_per_label_with_the_names_beside_it(person, inputs, tmp_path):
    template = Template.load(person.template)
    right = template.grid.world()[:, 0].reshape(template.grid.shape) > 0
    labels = np.where(template.gm.data > 0.7, np.where(right, 2, 5), 0)
    save_image(labels, tmp_path / "atlas.nii.gz", template.grid.affine, dtype=np.uint8)
    (tmp_path / "atlas.tsv").write_text("index\tname\n2\tright\n")
    _, maps = network_maps(person, inputs, tmp_path, tmp_path / "atlas.nii.gz")
    assert list(maps) == ["right", "label-5"]
    grey, white = template.gm.data.T > 0.9, template.wm.data.T > 0.95
    for image in maps.values():
        values = image[grey & (image != 0)]
        assert np.isfinite(image).all() and np.median(values) > 0.8 > 0.4 > np.median(image[white & (image != 0)])


def test_bundled_networks_are_six_with_a_published_source(person, inputs, tmp_path):
    _, maps = network_maps(person, inputs, tmp_path, "bundled")
    assert sorted(maps) == [
        "cerebellum", "cingulo-opercular", "default", "fronto-parietal", "occipital", "sensorimotor"
    ]  # fmt: skip
    named = json.loads((tmp_path / "networks.json").read_text())["Networks"]
    assert all("doi:10.1126/science.1194144" in one["Source"] for one in named)
    # A 4 mm voxel is rarely missed by a sphere of 6 mm: a wrong space would lose most of them.
    assert all(one["Voxels"] > 100 for one in named if one["Name"] != "cerebellum")


@pytest.mark.parametrize(
    ("name", "text"), [("absent.tsv", None), ("centres.tsv", "name\tx\ty\nA\t1\t2\n"), ("empty.tsv", "")]
)
def test_networks_that_cannot_be_read_are_refused_with_the_settings_name(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="networks"):
        find_networks(str(tmp_path / name), np.zeros((1, 3)), 6.0)


def test_an_atlas_of_probabilities_is_refused(tmp_path):
    save_image(np.full((4, 4, 4), 0.5), tmp_path / "atlas.nii.gz", np.eye(4))
    with pytest.raises(InputError, match="whole-numbered"):
        find_networks(str(tmp_path / "atlas.nii.gz"), np.zeros((1, 3)), 6.0)


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
