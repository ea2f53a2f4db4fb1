import numpy as np
import pytest

from neuromoe.anat._jacobian import log_jacobian
from neuromoe.anat._register import _tapered
from neuromoe.anat.extract import extract
from neuromoe.anat.normalize import normalize
from neuromoe.core.geometry import Grid, map_points, resample
from neuromoe.core.images import Image, load_image
from neuromoe.core.template import Template
from neuromoe.core.transforms import Affine, Displacement, read_transform

INPUTS = ("preproc", "mask", "gm", "wm", "csf")
MAPS = ("t1w_template", "gm_template", "wm_template", "csf_template", "logjacobian")


@pytest.fixture(scope="module")
def normalized(phantom, small_template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("normalize")
    inputs = {name: folder / f"{name}.nii.gz" for name in INPUTS}
    extract(t1w=phantom.t1w, template=small_template, quality=folder / "extract.json", **inputs)
    outputs = {name: folder / f"{name}.nii.gz" for name in MAPS}
    outputs |= {name: folder / f"{name}.h5" for name in ("t1w_to_template", "template_to_t1w")}
    normalize(**inputs, **outputs, template=small_template, quality=folder / "normalize.json", registration_mm=4.0)
    return outputs


def test_a_point_of_the_template_comes_back_to_itself_through_the_truth(normalized, phantom, small_template):
    """At 4 mm a quarter of a voxel's diagonal is as good as it gets; half a voxel is the floor."""
    template = Template.load(small_template)
    points = template.grid.world()[template.brain_mask.ravel()]
    back = map_points(
        read_transform(phantom.transform), map_points(read_transform(normalized["t1w_to_template"]), points)
    )
    assert np.linalg.norm(back - points, axis=1).mean() < 2.0


def test_both_transforms_undo_each_other(normalized, small_template):
    template = Template.load(small_template)
    points = template.grid.world()[template.brain_mask.ravel()]
    there = map_points(read_transform(normalized["t1w_to_template"]), points)
    back = map_points(read_transform(normalized["template_to_t1w"]), there)
    assert np.linalg.norm(back - points, axis=1).mean() < 0.3


def test_maps_lie_on_the_template_grid_and_resemble_it(normalized, small_template):
    template = Template.load(small_template)
    for name in MAPS:
        assert load_image(normalized[name]).grid.same_as(template.grid)
    gm = load_image(normalized["gm_template"]).data
    both = np.minimum(gm, template.gm.data).sum()
    assert 2 * both / (gm.sum() + template.gm.data.sum()) > 0.7


def test_ants_reads_the_transform_as_we_do(normalized, small_template, tmp_path):
    ants = pytest.importorskip("ants")
    template = Template.load(small_template)
    moving = normalized["t1w_to_template"].with_name("preproc.nii.gz")
    theirs = ants.apply_transforms(
        ants.image_read(str(template.folder / "mask.nii.gz")),
        ants.image_read(str(moving)),
        [str(normalized["t1w_to_template"])],
    ).numpy()
    ours = resample(load_image(moving), template.grid, read_transform(normalized["t1w_to_template"]))
    inside = template.brain_mask
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=0.01 * ours[inside].max())


def test_the_log_jacobian_of_an_affine_is_the_logarithm_of_its_determinant():
    matrix = np.diag([1.1, 0.9, 1.2, 1.0])
    grid = Grid((6, 6, 6), np.diag([-2.0, 2.0, 2.0, 1.0]))
    found = log_jacobian(Affine(matrix)(grid.world()), grid)
    np.testing.assert_allclose(found, np.log(np.linalg.det(matrix)), atol=1e-5)


def test_a_tapered_field_is_zero_at_its_edge_and_whole_inside():
    field = Displacement(np.ones((20, 20, 20, 3), np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    tapered = _tapered(field)
    assert tapered.field[0].max() == 0
    assert tapered.field[10, 10, 10].tolist() == [1, 1, 1]


def test_a_displacement_leaves_points_outside_its_grid_where_they_are():
    field = Displacement(np.ones((4, 4, 4, 3), np.float32), np.eye(4))
    points = np.array([[1.5, 1.5, 1.5], [50.0, 0, 0]])
    np.testing.assert_allclose(field(points), [[2.5, 2.5, 2.5], [50, 0, 0]])
    assert Image(field.field[..., 0], field.affine).grid.shape == (4, 4, 4)
