"""The cohort's page."""

import pytest

from neuromoe.core.errors import InputError
from neuromoe.core.tables import read_table, write_table
from neuromoe.report.cohort import cohort

from .conftest import write_tensor
from .reading import Page


@pytest.fixture
def page(made_cohort, tmp_path) -> Page:
    path = tmp_path / "report" / "cohort.html"
    cohort(**made_cohort.arguments(path))
    return Page(path)


def test_page_needs_nothing_but_itself(page):
    page.assert_stands_alone()
    page.assert_accessible()


def test_patterns_add_up_to_everybody(page):
    # Even ones have dwi, all but every fifth have func: 8 and 8 with one or both, 2 without both.
    text = page.text.split("Who has what")[-1].split("Groups and sites")[0]
    assert "yes yes yes 8 40 %" in text
    assert "yes – – 2 10 %" in text


def test_groups_are_counted_per_site(page):
    text = page.text
    assert "AD 6 7 13" in text
    assert "CN 4 3 7" in text


def test_every_session_links_to_its_page(page, made_cohort):
    assert {f"sessions/{key}.html" for key in made_cohort.keys} <= set(page.values("href"))


def test_outlier_is_flagged_and_red(page):
    assert "brain volume (ml) 9000" in page.text
    red = [attrs for tag, attrs in page.elements if tag == "circle" and attrs["fill"] == "#c2410c"]
    assert len(red) == 1


def test_failed_modality_is_shown_as_left_out(page):
    assert "left out" in page.text
    row = page.text.split("sub-04")[-1][:60]
    assert "left out" in row


def test_a_session_with_nothing_usable_is_marked(made_cohort, tmp_path):
    nothing = {name: {"extract.snr": 1.0} for name in ("anat", "func")}
    write_tensor(made_cohort.folder / "tensors/sub-02.safetensors", {}, nothing, {"anat": "fail", "func": "fail"})
    cohort(**made_cohort.arguments(tmp_path / "cohort.html"))
    text = Page(tmp_path / "cohort.html").text
    assert "sub-02 no usable modality" in text
    assert text.count("no usable modality") == 1


def test_the_quality_table_holds_every_number_and_verdict(made_cohort, page):
    rows = read_table(page.path.with_name("quality.tsv"))
    assert [row["participant_id"] for row in rows] == made_cohort.keys
    assert rows[19]["anat.extract.brain_volume_ml"] == "9000"
    assert (rows[3]["anat_verdict"], rows[1]["dwi_verdict"]) == ("fail", "missing")
    assert (rows[1]["dwi.correct.fd_mean_mm"] == "n/a") and float(rows[0]["dwi.correct.fd_mean_mm"]) > 0


def test_issues_and_images_left_out_are_listed_and_escaped(page):
    assert "BVEC_COUNT" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert "sub-01/run-2_bold.nii.gz another was chosen" in page.text


def test_session_without_tensors_is_shown_as_not_packed(made_cohort, tmp_path):
    (made_cohort.folder / "tensors/sub-02.safetensors").unlink()
    path = tmp_path / "cohort.html"
    cohort(**made_cohort.arguments(path))
    assert "not packed" in Page(path).text.split("sub-02")[-1][:60]


def test_damaged_tensor_file_is_named(made_cohort, tmp_path):
    (made_cohort.folder / "tensors/sub-02.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match=r"sub-02\.safetensors"):
        cohort(**made_cohort.arguments(tmp_path / "c.html"))


def test_large_cohort_lists_only_sessions_to_look_at(made_cohort, tmp_path):
    tables = made_cohort.tables()
    rows = read_table(tables["sessions"])
    copies = [{**rows[i % 20], "participant_id": f"sub-{i + 1:02d}"} for i in range(1000)]
    write_table(tables["sessions"], copies, list(rows[0]))
    path = tmp_path / "cohort.html"
    cohort(**made_cohort.arguments(path))
    links = set(Page(path).values("href"))
    assert "1000 sessions are too many to list" in Page(path).text
    assert "sessions/sub-20.html" in links


def test_same_input_gives_same_bytes(made_cohort, tmp_path, page):
    path = tmp_path / "again.html"
    cohort(**made_cohort.arguments(path))
    assert path.read_bytes() == page.path.read_bytes()
