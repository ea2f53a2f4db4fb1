"""The front page, and the whole report's links."""

from pathlib import Path
from urllib.parse import unquote

import pytest

from neuromoe.report.cohort import cohort
from neuromoe.report.index import index
from neuromoe.report.result import result
from neuromoe.report.subject import subject

from .reading import Page
from .scores import record


@pytest.fixture
def report(tmp_path, made_cohort, template, written) -> Path:
    """A folder with every page of a made cohort."""
    folder = tmp_path / "report"
    for key in made_cohort.keys:
        subject(session=key, page=folder / "sessions" / f"{key}.html", template=template)
    cohort(**made_cohort.arguments(folder / "cohort.html"))
    result(**written(record()), page=folder / "result.html")
    index(
        page=folder / "index.html",
        sessions=made_cohort.tables()["sessions"],
        cohort=folder / "cohort.html",
        subjects=folder / "sessions",
        result=folder / "result.html",
    )
    return folder


def test_every_link_of_every_page_resolves(report):
    pages = {path: Page(path) for path in report.rglob("*.html")}
    assert len(pages) == 23
    for path, page in pages.items():
        for link in page.values("href"):
            file, _, fragment = link.partition("#")
            target = (path.parent / unquote(file)).resolve() if file else path
            assert target.is_file(), f"{path.name}: {link}"
            assert target in pages or not fragment, f"{path.name}: {link}"
            assert not fragment or fragment in pages[target].values("id"), f"{path.name}: {link}"


def test_every_page_is_reached_from_the_front_page(report):
    seen, waiting = set(), [report / "index.html"]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            links = [link.partition("#")[0] for link in Page(path).values("href")]
            waiting += [(path.parent / unquote(link)).resolve() for link in links if link.endswith(".html")]
    assert seen == set(report.rglob("*.html"))


def test_front_page_needs_nothing_but_itself(report):
    Page(report / "index.html").assert_stands_alone()
    Page(report / "index.html").assert_accessible()


def test_missing_result_is_explained(tmp_path, made_cohort):
    page = tmp_path / "index.html"
    reason = "There are no labels: set label.column in the configuration."
    index(page=page, sessions=made_cohort.tables()["sessions"], cohort=tmp_path / "cohort.html",
          subjects=tmp_path / "sessions", reason=reason)  # fmt: skip
    text = Page(page).text
    assert f"There is no result: {reason}" in text
    assert "sub-07 (no page)" in text


def test_demo_says_so(tmp_path, made_cohort):
    page = tmp_path / "index.html"
    index(page=page, sessions=made_cohort.tables()["sessions"], cohort=tmp_path / "cohort.html",
          subjects=tmp_path / "sessions", demo=True)  # fmt: skip
    assert "These people are simulated" in Page(page).text
