"""The cohort's page: who has what, how good it is, and what was left out."""

from pathlib import Path

MOST_ROWS = 200


def cohort(
    *,
    sessions: Path,
    manifest: Path,
    issues: Path,
    clinical: Path,
    tensors: Path,
    page: Path,
    quality: Path,
    advice: list[str] | None = None,
    demo: bool = False,
) -> None:
    """Write the page about all sessions together.

    Parameters
    ----------
    sessions : path
        `sessions.tsv` of the index: who has which modalities.
    manifest : path
        `manifest.tsv` of the index: every image, and whether it is used.
    issues : path
        `issues.tsv` of the index.
    clinical : path
        `clinical.tsv` of the index: label, site, family and clinical columns.
    tensors : path
        The folder with a tensor file per session; a session without one is shown as not packed.
    page : path
        The HTML file to write; the sessions' pages lie in the folder `sessions` beside it.
    quality : path
        The table to write: each session's verdicts and quality numbers, `<modality>.<step>.<number>`.
    advice : list of str, optional
        Notices to print at the top.
    demo : bool, default=False
        Whether the people are simulated: the page says so.

    Raises
    ------
    InputError
        A table is ragged, or a tensor file cannot be read.
    """
    from neuromoe.core.tables import MISSING, read_table, write_table
    from neuromoe.report._page import write_page
    from neuromoe.report._people import clinical_columns, cross_table, patterns
    from neuromoe.report._sessions import Sessions
    from neuromoe.report._tensors import MODALITY_NAMES

    people = read_table(clinical)
    everyone = Sessions.read(read_table(sessions), people, tensors)
    table = everyone.table()
    write_table(quality, *everyone.quality_table())
    whole = len(table) <= MOST_ROWS
    write_page(
        page,
        "cohort.html",
        title="Cohort",
        demo=demo,
        notices=list(advice or []),
        names=MODALITY_NAMES,
        participants=len({row["participant_id"] for row in everyone.rows}),
        labelled=len({row["participant_id"] for row in people if row["label"] != MISSING}),
        site_count=len(set(everyone.sites.values()) - {MISSING}),
        packed=len(everyone.packed),
        quality=quality.name,
        patterns=patterns(everyone.rows),
        groups=cross_table(people),
        columns=clinical_columns(people),
        strips=everyone.strips(),
        count=len(table),
        table=table if whole else [row for row in table if row["odd"] or row["verdict"] != "pass"][: 5 * MOST_ROWS],
        whole=whole,
        issues=read_table(issues),
        excluded=[row for row in read_table(manifest) if row["used"] != "true"],
    )
    print(f"{len(table)} sessions, {len(everyone.odd)} with outliers: {page}", flush=True)
