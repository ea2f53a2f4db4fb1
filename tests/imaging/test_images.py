import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.imaging.images import Image, load_image, save_image


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: path.write_bytes(b"no image"), "readable NIfTI"),
        (lambda path: save_image(Image(np.full((3, 3, 3), np.nan), np.eye(4)), path), "27 voxels NaN"),
        (lambda path: save_image(Image(np.zeros((3, 3, 3, 2)), np.eye(4)), path), "3 dimensions"),
    ],
)
def test_a_bad_image_is_one_clear_error_with_its_name(tmp_path, write, words):
    path = tmp_path / "bad.nii.gz"
    write(path)
    with pytest.raises(InputError, match=words) as caught:
        load_image(path, ndim=3)
    assert "bad.nii.gz" in str(caught.value)
