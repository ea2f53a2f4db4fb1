import json
import shutil

import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.imaging.images import load_image
from neuromoe.imaging.template import PARTS, Template, template_label
from neuromoe.template.prepare import prepare


@pytest.fixture(scope="module")
def bundled(tmp_path_factory) -> Template:
    path = tmp_path_factory.mktemp("bundled") / "template.json"
    prepare(template="nilearn", prepared=path, voxel_mm=4.0)
    return Template.load(path)


def test_the_bundled_template_has_its_own_space_label(bundled):
    assert bundled.label == "MNI152NLin2009aSym"
    assert not bundled.whole_head


def test_every_part_lies_on_one_grid_of_the_asked_voxels(bundled):
    for part in PARTS:
        image = load_image(bundled.folder / f"{part}.nii.gz")
        assert image.grid.same_as(bundled.grid)
        np.testing.assert_allclose(image.voxel_mm, 4.0)


def test_the_made_head_reaches_beyond_the_brain(bundled):
    outside = bundled.head.data[~bundled.brain_mask]
    assert (outside > 0.2 * bundled.head.data.max()).sum() > 1000


def test_tissues_fill_the_brain(bundled):
    total = bundled.gm.data + bundled.wm.data + bundled.csf.data
    assert total[bundled.brain_mask].mean() == pytest.approx(1, abs=0.1)


def test_preparing_twice_gives_the_same_bytes(bundled, tmp_path):
    prepare(template="nilearn", prepared=tmp_path / "template.json", voxel_mm=4.0)
    for name in ("template.json", *(f"{part}.nii.gz" for part in PARTS)):
        assert (tmp_path / name).read_bytes() == (bundled.folder / name).read_bytes()


def as_folder(bundled, folder, **parts):
    folder.mkdir()
    for part in PARTS:
        shutil.copy(bundled.folder / f"{part}.nii.gz", folder)
    description = {"label": "MNIPediatricAsym", "head": "head.nii.gz", "brain_mask": "mask.nii.gz"} | parts
    (folder / "template.json").write_text(json.dumps(description))
    return folder


def test_a_folder_without_tissues_is_segmented(bundled, tmp_path):
    folder = as_folder(bundled, tmp_path / "folder")
    prepare(template=str(folder), prepared=tmp_path / "out" / "template.json", voxel_mm=4.0)
    found = Template.load(tmp_path / "out")
    assert (found.label, found.whole_head) == ("MNIPediatricAsym", True)
    agreement = np.corrcoef(found.wm.data[found.brain_mask], bundled.wm.data[found.brain_mask])[0, 1]
    assert agreement > 0.7
    assert json.loads((tmp_path / "out" / "template.json").read_text())["sha256"]


TISSUES = {"GM": "gm.nii.gz", "WM": "wm.nii.gz", "CSF": "csf.nii.gz"}


def test_given_tissues_are_taken(bundled, tmp_path):
    folder = as_folder(
        bundled, tmp_path / "folder", tissues={"GM": "gm.nii.gz", "WM": "wm.nii.gz", "CSF": "csf.nii.gz"}
    )
    prepare(template=str(folder), prepared=tmp_path / "out" / "template.json", voxel_mm=4.0)
    np.testing.assert_allclose(Template.load(tmp_path / "out").gm.data, bundled.gm.data, atol=1e-5)


def test_a_template_that_changed_since_it_was_fetched_is_refused(bundled, tmp_path):
    folder, out = as_folder(bundled, tmp_path / "folder", tissues=TISSUES), tmp_path / "out" / "template.json"
    prepare(template=str(folder), prepared=out, voxel_mm=4.0)
    # Snakemake removes a job's outputs before it runs again.
    for path in (out, *(out.with_name(f"{part}.nii.gz") for part in PARTS)):
        path.unlink()
    prepare(template=str(folder), prepared=out, voxel_mm=4.0)
    shutil.copy(bundled.folder / "wm.nii.gz", folder / "head.nii.gz")
    with pytest.raises(InputError, match=r"fetched\.json.*head\.nii\.gz"):
        prepare(template=str(folder), prepared=out, voxel_mm=4.0)
    prepare(template="nilearn", prepared=out, voxel_mm=4.0)


def test_a_prepared_image_that_was_altered_is_refused(bundled, tmp_path):
    shutil.copytree(bundled.folder, tmp_path / "out")
    shutil.copy(bundled.folder / "wm.nii.gz", tmp_path / "out" / "gm.nii.gz")
    found = Template.load(tmp_path / "out")
    assert found.wm.data.any()
    with pytest.raises(InputError, match=r"gm\.nii\.gz.*template_prepare"):
        _ = found.gm


def test_a_templateflow_template_is_read_from_its_home(bundled, tmp_path, monkeypatch):
    """The files lie where TemplateFlow keeps what it has fetched."""
    templateflow = pytest.importorskip("templateflow")
    assert templateflow
    from templateflow import api

    names = {
        "head": "res-01_T1w",
        "mask": "res-01_desc-brain_mask",
        "gm": "res-01_label-GM_probseg",
        "wm": "res-01_label-WM_probseg",
        "csf": "res-01_label-CSF_probseg",
    }
    fetched = {}
    for part, name in names.items():
        fetched[name] = tmp_path / f"tpl-Here_{name}.nii.gz"
        shutil.copy(bundled.folder / f"{part}.nii.gz", fetched[name])

    def get(template, resolution, suffix, extension, desc=None, label=None):
        entities = [f"res-{resolution:02d}", desc and f"desc-{desc}", label and f"label-{label}", suffix]
        return fetched["_".join(filter(None, entities))]

    monkeypatch.setattr(api, "get", get)
    prepare(template="Here", prepared=tmp_path / "out" / "template.json", voxel_mm=4.0)
    assert Template.load(tmp_path / "out").label == "Here"


@pytest.mark.parametrize(("parts", "words"), [({"head": "absent.nii.gz"}, "no such file"), ({"label": None}, None)])
def test_a_wrong_description_is_one_clear_error(bundled, tmp_path, parts, words):
    folder = as_folder(bundled, tmp_path / "folder", **parts)
    if words is None:
        (folder / "template.json").write_text('{"head": "head.nii.gz"}')
    with pytest.raises(InputError, match=words or "label, head and brain_mask"):
        prepare(template=str(folder), prepared=tmp_path / "out" / "template.json")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        prepare(template=str(tmp_path / "nowhere"), prepared=tmp_path / "template.json")
    with pytest.raises(InputError, match=r"template\.json"):
        template_label(str(tmp_path))
