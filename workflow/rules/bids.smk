# The index is made while the main process reads the Snakefile, so that the first dry-run already shows every job. Jobs
# on a cluster read the Snakefile again and take the tables.
from collections import defaultdict

INDEX = {name: f"{OUT}/index/{name}.tsv" for name in ("manifest", "sessions", "issues", "clinical")}
PLANNED = f"{BIDS}/derivatives/truth/images.tsv" if DEMO else None


def index_settings():
    own = dict(SETTINGS["bids"]["index"])
    clinical, select = SETTINGS["clinical"], SETTINGS["func"]["select"]
    demo = demo_columns() if DEMO and not clinical["columns"] else {}
    return own | dict(
        only_sessions=own.pop("sessions"),
        task=select["task"],
        run=select["run"],
        label=SETTINGS["label"],
        tables=clinical["tables"],
        columns=clinical["columns"] or demo.get("columns"),
        serum=clinical["serum"] or demo.get("serum"),
        site_column=SETTINGS["site_column"] or demo.get("site_column"),
        group_column=SETTINGS["group_column"],
    )


if workflow.is_main_process or not Path(INDEX["sessions"]).is_file():
    from neuromoe.bids.index import index

    try:
        if DEMO:
            write_demo_plan()
        settings = {k: v for k, v in index_settings().items() if k != "sessions"}
        index(
            bids_dir=Path(BIDS),
            planned=PLANNED and Path(PLANNED),
            **{name: Path(path) for name, path in INDEX.items()},
            **settings,
        )
    except InputError as err:
        stop(err)


class Session:
    """One session: its images by modality, as rows of the manifest."""

    def __init__(self, participant_id, session_id):
        self.participant_id = participant_id
        parts = [participant_id] + ([session_id] if session_id != MISSING else [])
        self.key, self.folder = "_".join(parts), "/".join(parts)
        self.rows = defaultdict(list)

    def images(self, modality):
        return self.rows[modality]

    def name(self, modality):
        """Return the beginning of the derivatives' names: what the merged images have in common."""
        names = [Path(row["path"]).name.split("_") for row in self.images(modality)]
        dropped = ("run-", "dir-", "acq-") if len(names) > 1 else ()
        return "_".join(part for part in names[0][:-1] if not part.startswith(dropped)) if names else None

    def derivative(self, modality, ending):
        name = self.name(modality)
        return f"{DERIVATIVES}/{self.folder}/{modality}/{name}_{ending}" if name else []


def read_sessions():
    sessions = {}
    for row in read_table(INDEX["sessions"]):
        session = Session(row["participant_id"], row["session_id"])
        sessions[session.folder] = session
    for row in read_table(INDEX["manifest"]):
        if row["used"] == "true":
            session = Session(row["participant_id"], row["session_id"])
            sessions[session.folder].rows[row["modality"]].append(row)
    return sessions


SESSIONS = read_sessions()
BY_KEY = {session.key: session for session in SESSIONS.values()}
BY_PARTICIPANT = defaultdict(list)
for session in SESSIONS.values():
    BY_PARTICIPANT[session.participant_id].append(session)


def session_of(wildcards):
    """Return the session that a job's wildcards name, by folder or by key."""
    found = SESSIONS.get(wildcards.folder) if hasattr(wildcards, "folder") else BY_KEY.get(wildcards.session)
    if found is None:
        asked = getattr(wildcards, "folder", None) or wildcards.session
        raise InputError(
            expected="a session of the dataset", found=asked, where=INDEX["sessions"], fix="see the index for their names"
        )
    return found


def raw(modality, column="path"):
    """Return a function that gives the raw files of a job's session."""

    def files(wildcards):
        rows = session_of(wildcards).images(modality)
        paths = [path for row in rows if row[column] != MISSING for path in row[column].split()]
        return [f"{BIDS}/{path}" for path in dict.fromkeys(paths)]

    return files


def anatomy(wildcards):
    """Return the session whose T1w a job's session uses: its own, or another of the same person; or None."""
    session = session_of(wildcards)
    candidates = [session, *BY_PARTICIPANT[session.participant_id]]
    return next((candidate for candidate in candidates if candidate.images("anat")), None)


def from_anatomy(ending):
    """Return a function that gives a T1w derivative of a job's person, or nothing where there is no T1w."""

    def file(wildcards):
        session = anatomy(wildcards)
        return session.derivative("anat", ending) if session else []

    return file


localrules:
    bids_index,


rule bids_index:
    output:
        **INDEX,
    params:
        **step("bids", "index", bids_dir=BIDS, planned=PLANNED, **index_settings()),
    log:
        log_of("bids_index", "index"),
    benchmark:
        benchmark_of("bids_index", "index")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    conda:
        CONDA
    shell:
        RUN
