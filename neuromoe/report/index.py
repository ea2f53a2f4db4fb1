"""The front page: where everything is."""

from pathlib import Path

MOST_LINKS = 1000


def index(
    *,
    page: Path,
    sessions: Path,
    cohort: Path,
    subjects: Path,
    result: Path | None = None,
    reason: str | None = None,
    advice: list[str] | None = None,
    demo: bool = False,
) -> None:
    """Write the page that leads to all others.

    Parameters
    ----------
    page : path
        The HTML file to write.
    sessions : path
        `sessions.tsv` of the index.
    cohort : path
        The cohort's page.
    subjects : path
        The folder of the sessions' pages.
    result : path, optional
        The result's page.
    reason : str, optional
        Why there is no result.
    advice : list of str, optional
        Notices to print at the top.
    demo : bool, default=False
        Whether the people are simulated: the page says so.
    """
    import neuromoe
    from neuromoe.core.tables import read_table
    from neuromoe.report._page import page_link, write_page
    from neuromoe.report._sessions import key_of
    from neuromoe.report._tensors import MODALITIES, MODALITY_NAMES

    rows = read_table(sessions)
    entries = []
    for row in rows:
        file = subjects / f"{key_of(row)}.html"
        has = [MODALITY_NAMES[name] for name in MODALITIES if row.get(name) == "true"]
        entries.append({"key": key_of(row), "has": has, "href": page_link(page, file) if file.is_file() else None})
    write_page(
        page,
        "index.html",
        title="Report",
        demo=demo,
        notices=list(advice or []),
        participants=len({row["participant_id"] for row in rows}),
        count=len(rows),
        counts={MODALITY_NAMES[name]: sum(row.get(name) == "true" for row in rows) for name in MODALITIES},
        entries=entries[:MOST_LINKS],
        cohort=page_link(page, cohort),
        result=page_link(page, result) if result else None,
        reason=reason or "Nothing was trained: the configuration ends before training.",
        version=neuromoe.__version__,
    )
    print(f"{len(rows)} sessions: {page}", flush=True)
