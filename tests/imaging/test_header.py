import nibabel as nib
import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.imaging.header import check_header


def written(folder, affine, *, sform=1, qform=1, other=None, unit="mm"):
    image = nib.Nifti1Image(np.zeros((10, 11, 12), np.int16), affine)
    image.set_sform(affine, sform)
    image.set_qform(affine if other is None else other, qform)
    image.header.set_xyzt_units(unit)
    image.to_filename(folder / "image.nii.gz")
    return folder / "image.nii.gz"


MOVED = np.eye(4) + np.array([[0, 0, 0, 7.0]] + [[0.0] * 4] * 3)


@pytest.mark.parametrize("sform", [0, 1, 2, 4])
@pytest.mark.parametrize("qform", [0, 1, 2, 4])
def test_the_codes_decide_whether_a_disagreement_matters(tmp_path, sform, qform):
    doubts = " ".join(check_header(written(tmp_path, np.eye(4), sform=sform, qform=qform, other=MOVED)))
    assert ("apart" in doubts) == (sform > 0 and qform > 0)
    assert ("neither" in doubts) == (sform == 0 and qform == 0)


def test_an_agreeing_header_raises_no_doubt(tmp_path):
    assert check_header(written(tmp_path, np.diag([-2.0, 2, 2, 1]))) == []


def test_a_sheared_header_is_doubted(tmp_path):
    sheared = np.eye(4)
    sheared[0, 1] = 0.2
    assert any("right angles" in doubt for doubt in check_header(written(tmp_path, sheared, qform=0, other=np.eye(4))))


@pytest.mark.parametrize("unit", ["meter", "micron"])
def test_other_units_are_refused(tmp_path, unit):
    with pytest.raises(InputError, match=unit):
        check_header(written(tmp_path, np.eye(4), unit=unit))


@pytest.mark.parametrize("edge_mm", [0.001, 0.1, 12.0])
def test_impossible_voxels_are_refused(tmp_path, edge_mm):
    with pytest.raises(InputError, match="voxels"):
        check_header(written(tmp_path, np.diag([edge_mm, edge_mm, edge_mm, 1])))
