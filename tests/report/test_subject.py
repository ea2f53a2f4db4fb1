"""One session's page."""

import subprocess
import sys

import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.imaging.images import save_image
from neuromoe.report.subject import subject

from .conftest import AFFINE
from .reading import Page


@pytest.fixture(scope="module")
def whole(tmp_path_factory, template, session_files) -> Page:
    """The page of a session that has everything."""
    path = tmp_path_factory.mktemp("report") / "sessions" / "sub-01.html"
    subject(session="sub-01", page=path, template=template, **session_files)
    return Page(path)


def test_page_needs_nothing_but_itself(whole):
    whole.assert_stands_alone()
    whole.assert_accessible()
    assert len(whole.html) < 2_000_000


def test_every_picture_shows_something(whole):
    pictures = whole.pictures()
    assert len(pictures) == 22
    for picture in pictures:
        assert picture.std() > 5
        assert np.unique(picture).size > 20


def test_every_step_has_its_before_and_after(whole):
    titles = (
        *("As scanned", "Bias corrected", "Tissues", "This head on the template", "Local change of volume"),
        *(
            "As scanned (b0)",
            "Corrected (b0)",
            "Main fibre direction",
            "FA on the template",
            "MD on the template",
        ),
        *("Translation", "Rotation", "Framewise displacement", "Carpet plot", "Reference on the template"),
        *("ALFF", "fALFF", "ReHo", "Seed correlation", "T1w: first", "BOLD: first"),
    )
    assert [title for title in titles if title not in whole.text] == []


def test_quality_is_shown_with_verdict_and_reason_escaped(whole):
    assert "the brain is <b>small</b>" in whole.text
    assert "<b>small" not in whole.html
    assert ("span", {"class": "badge warn"}) in whole.elements
    assert "brain volume (ml) 1432" in whole.text


def test_sidecars_say_what_was_run(whole):
    assert "shrink_factor" in whole.text
    assert "Made from sub-01_T1w.nii.gz" in whole.text


def test_modality_that_failed_is_said_to_be_left_out(whole):
    assert "Diffusion is left out, for its quality failed" in whole.text


def test_share_of_moving_volumes_is_counted_without_the_first(whole):
    assert "Mean 0.13 mm; 3% of the volumes move more than 0.5 mm" in whole.text


def test_absent_modalities_are_said_in_words(tmp_path, template):
    page = tmp_path / "sub-02.html"
    subject(session="sub-02", page=page, template=template)
    text = Page(page).text
    assert "There is no T1-weighted image for this session" in text
    assert "There are no diffusion images for this session" in text
    assert "There is no functional series for this session" in text
    assert "No tensors were packed" in text
    assert "No step left quality numbers" in text
    assert not Page(page).pictures()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["t1w"], "The image was not cleaned"),
        (["dwi_raw"], "The series was not corrected"),
        (["bold_raw", "boldref"], "no table of confounds"),
    ],
)
def test_half_done_modality_says_what_is_missing(tmp_path, template, session_files, given, words):
    page = tmp_path / "page.html"
    subject(session="sub-01", page=page, template=template, **{name: session_files[name] for name in given})
    assert words in Page(page).text
    assert len(Page(page).pictures()) == len(given)


def test_hostile_name_is_escaped(tmp_path, template):
    page = tmp_path / "page.html"
    subject(session='"><script>alert(1)</script>', page=page, template=template, advice=["<img src=http://x>"])
    Page(page).assert_stands_alone()
    assert "<img src=http://x>" in Page(page).text


def test_same_input_gives_same_bytes_in_another_process(tmp_path, template, session_files, whole):
    code = (
        "import sys; from pathlib import Path; from neuromoe.report.subject import subject; "
        "subject(session='sub-01', page=Path(sys.argv[1]), template=Path(sys.argv[2]), **eval(sys.argv[3]))"
    )
    arguments = repr(session_files).replace("PosixPath", "Path")
    page = tmp_path / "again.html"
    subprocess.run([sys.executable, "-c", code, page, template, arguments], check=True)
    assert page.read_bytes() == whole.path.read_bytes()


def test_brain_only_template_is_advised_against_for_real_people_only(tmp_path, template):
    for demo in (False, True):
        page = tmp_path / f"{demo}.html"
        subject(session="sub-01", page=page, template=template, demo=demo)
        assert ("whole-head template is better" in Page(page).text) is not demo
        assert ("This person is simulated" in Page(page).text) is demo


@pytest.mark.parametrize(
    ("given", "swapped"),
    [
        (["dwi_raw"], "fa_template"),
        (["t1w"], "t1w_template"),
        (["boldref_template"], "reho"),
        (["t1w_preproc"], "t1w_mask"),
        (["dwi_preproc", "fa"], "v1"),
        (["bold_raw"], "bold_mask"),
    ],
)
def test_image_of_another_grid_is_refused_by_name(tmp_path, template, session_files, given, swapped):
    other = tmp_path / "other.nii.gz"
    save_image(np.ones((9, 9, 9, 3) if swapped == "v1" else (9, 9, 9)), other, AFFINE)
    files = {name: session_files[name] for name in given} | {swapped: other}
    with pytest.raises(InputError, match=r"other\.nii\.gz"):
        subject(session="sub-01", page=tmp_path / "page.html", template=template, **files)
    assert not (tmp_path / "page.html").exists()


def test_real_images_of_several_shapes_are_shown(tmp_path, template, real_bids):
    functional = real_bids / "sub-forrest02/func/sub-forrest02_task-oneback_run-1_bold.nii.gz"
    diffusion = real_bids / "sub-tosh/ses-sag30d/dwi/sub-tosh_ses-sag30d_dwi.nii.gz"
    anatomy = real_bids / "sub-ms01/ses-1/anat/sub-ms01_ses-1_T1w.nii.gz"
    page = tmp_path / "real.html"
    subject(session="real", page=page, template=template, t1w=anatomy, dwi_raw=[diffusion], bold_raw=functional)
    pictures = Page(page).pictures()
    assert len(pictures) == 3
    assert all(picture.std() > 15 for picture in pictures)


def test_importing_the_step_loads_no_heavy_library():
    code = (
        "import sys; from neuromoe.report import cohort, index, result, subject; "
        "heavy = ('ants', 'torch', 'nilearn', 'scipy', 'pandas', 'matplotlib', 'nibabel'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
