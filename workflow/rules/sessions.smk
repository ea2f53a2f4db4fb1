# The dataset as the rules see it: who has which images, and which files a job needs. No rules here.
#
# The index is made while the main process reads the Snakefile, so that the first dry-run already shows every job. Jobs
# on a cluster read the Snakefile again and take the tables.
from collections import defaultdict

DWI_MAPS = ("fa", "md", "ad", "rd")
# How the names of maps that are the mean of several BOLD runs end.
AVERAGED = "desc-average_boldmap.nii.gz"


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
        shell_tolerance=SETTINGS["dwi"]["normalize"]["shell_tolerance"],
        unused_fieldmaps=unused_fieldmaps(),
        single_band=SETTINGS["func"]["correct"]["single_band"],
    )


def unused_fieldmaps():
    """Say of each modality why its fieldmaps are not used, where they are not."""
    reasons = {}
    for modality in ("dwi", "func"):
        setting = f"{modality}.correct.fieldmap_backend"
        if BACKENDS.get(setting) != "fsl":
            lacking = lacking_programs(setting, find_program)
            reasons[modality] = f"FSL's {lacking[0]} is not installed" if lacking else f"{setting} does not ask for it"
    return reasons


def demo_people():
    """Draw the demo's people, who follow from the settings alone."""
    from neuromoe.simulate._plan import plan

    cohort = SETTINGS["simulate"]["cohort"]
    shares = {name: cohort[name] for name in ("corrupted_rate", "missing_rate")}
    return plan(cohort["sessions"], SETTINGS["seed"], cohort["size"], **shares)


def write_demo_plan():
    """Write the demo's tables, and the list of its images before they exist."""
    from neuromoe.simulate._plan import images, write_tables

    people = demo_people()
    write_tables(Path(BIDS), people, effects=SETTINGS["simulate"]["cohort"]["effects"], seed=SETTINGS["seed"])
    rows = [planned_image(image) for person in people for image in images(person)]
    write_table(f"{BIDS}/derivatives/truth/images.tsv", rows, list(rows[0]))


def planned_image(image):
    stem = image.path.removesuffix(".nii.gz")
    shape = [*image.shape] + ([image.volumes] if image.volumes > 1 else [])
    return dict(
        path=image.path,
        modality=image.modality,
        sidecars=f"{stem}.json",
        bval=f"{stem}.bval" if image.modality == "dwi" else None,
        bvec=f"{stem}.bvec" if image.modality == "dwi" else None,
        shape="x".join(map(str, shape)),
        voxel_mm="x".join([str(image.voxel_mm)] * 3),
        volumes=image.volumes,
        repetition_time_s=image.repetition_time_s if image.modality == "func" else None,
    )


def demo_columns():
    """Return the demo's clinical features, as the user would name those of a dataset."""
    from neuromoe.simulate._clinical import CLINICAL, SERUM

    serum = [feature.name for feature in SERUM]
    numeric = ["age", *(feature.name for feature in CLINICAL), *serum]
    columns = {"sex": "categorical", **dict.fromkeys(numeric, "numeric")}
    return dict(columns=columns, serum=serum, site_column="site")


def demo_patterns():
    """Group the demo's people by the modalities that they have: a rule names all its files."""
    found = {}
    for person in demo_people():
        files = person.files()
        paths = [f"{BIDS}/{path}" for of_modality in files.values() for path in of_modality]
        pattern = [path.replace(person.participant_id, "{participant}") for path in paths]
        people, _ = found.setdefault("_".join(files), ([], pattern))
        people.append(person.participant_id)
    return found


if workflow.is_main_process or not Path(INDEX["sessions"]).is_file():
    from neuromoe.bids.index import index

    try:
        if DEMO:
            write_demo_plan()
        settings = {k: v for k, v in index_settings().items() if k != "sessions"}
        index(
            bids_dir=Path(BIDS),
            planned=PLANNED and Path(PLANNED),
            derivatives=Path(DERIVATIVES),
            **{name: Path(path) for name, path in INDEX.items()},
            **settings,
        )
    except InputError as err:
        stop(err)


def own_name(row):
    """Return the beginning of the derivatives' names of one image."""
    return Path(row["path"]).name.rsplit("_", 1)[0]


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
        """Return a derivative's path; of several BOLD runs the mean map or quality, else the first run's file."""
        name = self.name(modality)
        if modality == "func" and len(self.images("func")) > 1:
            if ending.endswith("_boldmap.nii.gz"):
                ending = ending.replace("boldmap.nii.gz", AVERAGED)
            elif ending.endswith("_quality.json"):
                ending = f"stat-mean_{ending}"
            else:
                name = own_name(self.images("func")[0])
        return f"{DERIVATIVES}/{self.folder}/{modality}/{name}_{ending}" if name else []


def read_sessions():
    sessions = {}
    for row in read_table(INDEX["sessions"]):
        session = Session(row["participant_id"], row["session_id"])
        sessions[session.folder] = session
    for row in read_table(INDEX["manifest"]):
        if row["used"] == "true":
            session = Session(row["participant_id"], row["session_id"])
            # A reference is no run of its modality.
            kind = "sbref" if row["suffix"] == "sbref" else row["modality"]
            sessions[session.folder].rows[kind].append(row)
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
            expected="a session of the dataset",
            found=asked,
            where=INDEX["sessions"],
            fix="see the index for their names",
        )
    return found


def images_of(wildcards, modality):
    """Return a job's images: the one that has the job's name, else all of the session's that are merged."""
    rows = session_of(wildcards).images(modality)
    named = [row for row in rows if own_name(row) == getattr(wildcards, "name", None)]
    return named or rows


def of_each_run(ending):
    """Return a function that gives one derivative of each BOLD run of a job's session."""

    def files(wildcards):
        rows = session_of(wildcards).images("func")
        return [f"{DERIVATIVES}/{wildcards.folder}/func/{own_name(row)}_{ending}" for row in rows]

    return files


def raw(modality, column="path"):
    """Return a function that gives the raw files of a job's session."""

    def files(wildcards):
        rows = images_of(wildcards, modality)
        paths = [path for row in rows if row[column] != MISSING for path in row[column].split()]
        return [f"{BIDS}/{path}" for path in dict.fromkeys(paths)]

    return files


def first_raw(modality):
    """Return a function that gives the first raw file of a job's session."""
    return lambda wildcards: raw(modality)(wildcards)[:1]


def fieldmaps(modality, column="path"):
    """Return a function that gives the fieldmaps of a job's images, where the backend uses them."""

    def files(wildcards):
        if BACKENDS[f"{modality}.correct.fieldmap_backend"] != "fsl":
            return []
        session = session_of(wildcards)
        images = {row["path"] for row in images_of(wildcards, modality)}
        rows = [row for row in session.images("fmap") if images & set(row["intended_for"].split())]
        if any(row["suffix"].startswith("phase") for row in rows):
            rows += [row for row in session.images("fmap") if row["suffix"].startswith("magnitude")]
        paths = [path for row in rows if row[column] != MISSING for path in row[column].split()]
        return [f"{BIDS}/{path}" for path in dict.fromkeys(paths)]

    return files


def single_band(wildcards):
    """Return the single-band reference of a job's BOLD run, or nothing where there is none."""
    (run,) = images_of(wildcards, "func")
    rows = session_of(wildcards).images("sbref")
    return [f"{BIDS}/{row['path']}" for row in rows if row["intended_for"] == run["path"]]


def anatomy(wildcards):
    """Return the session whose T1w a job's session uses: its own, or another of the same person; or None."""
    session = session_of(wildcards)
    candidates = [session, *BY_PARTICIPANT[session.participant_id]]
    return next((candidate for candidate in candidates if candidate.images("anat")), None)


def sessions_averaged(participant):
    """Return the sessions whose T1w are averaged: all of a person who has several, where the settings ask for it."""
    if not SETTINGS["anat"]["longitudinal"]:
        return []
    sessions = [session for session in BY_PARTICIPANT[participant] if session.images("anat")]
    return sessions if len(sessions) > 1 else []


def averaged(ending):
    """Return a function that gives one T1w derivative of each session of a job's person."""

    def files(wildcards):
        return [session.derivative("anat", ending) for session in sessions_averaged(wildcards.participant)]

    return files


def average_mb(wildcards, attempt):
    """Ask for memory by the size of all images that are averaged."""
    rows = [row for session in sessions_averaged(wildcards.participant) for row in session.images("anat")]
    return attempt * (3000 + 8 * sum(int(row["mem_mb"]) for row in rows))


def from_average(ending):
    """Return a function that gives a file of the average of a job's person, or nothing where there is none."""

    def file(wildcards):
        person = session_of(wildcards).participant_id
        return f"{DERIVATIVES}/{person}/anat/{person}_{ending}" if sessions_averaged(person) else []

    return file


def from_anatomy(ending):
    """Return a function that gives a T1w derivative of a job's person, or nothing where there is no T1w."""

    def file(wildcards):
        session = anatomy(wildcards)
        return session.derivative("anat", ending) if session else []

    return file


def white_for(modality, step):
    """Return a function that gives the T1w's white matter where epi_reg is the backend, or nothing."""
    by_fsl = BACKENDS[f"{modality}.{step}.coregistration_backend"] == "fsl"
    return from_anatomy("label-WM_probseg.nii.gz") if by_fsl else []


def transform_from(reference, modality):
    """Return a function that names the transform to T1w, or to the template where the person has no T1w.

    A single affine is a text file; one that undoes distortion or goes to the template has more parts.
    """
    step_name = {"dwi": "normalize", "func": "correct"}[modality]
    registers = SETTINGS[modality][step_name]["distortion"] == "registration"

    def path(wildcards):
        mapped = modality == "func" and fieldmaps("func")(wildcards)
        ending = "h5" if registers or mapped or not anatomy(wildcards) else "txt"
        to = f"{'T1w' if anatomy(wildcards) else SPACE}_mode-image_xfm.{ending}"
        return f"{DERIVATIVES}/{wildcards.folder}/{modality}/{wildcards.name}_from-{reference}_to-{to}"

    return path


def repetition_time_s(wildcards):
    """Return the BOLD run's repetition time as the index found it."""
    (image,) = images_of(wildcards, "func")
    return float(image["repetition_time_s"])


# The file of each channel, as its step names it.
CHANNEL_FILES = {
    "T1w": f"space-{SPACE}_desc-preproc_T1w.nii.gz",
    "GM": f"space-{SPACE}_label-GM_probseg.nii.gz",
    "WM": f"space-{SPACE}_label-WM_probseg.nii.gz",
    "CSF": f"space-{SPACE}_label-CSF_probseg.nii.gz",
    "logjacobian": f"space-{SPACE}_stat-logjacobian_T1map.nii.gz",
    "modulatedGM": f"space-{SPACE}_stat-modulatedGM_T1map.nii.gz",
    **{name: f"space-{SPACE}_param-{name}_dwimap.nii.gz" for name in DWI_MAPS},
    **{name: f"space-{SPACE}_stat-{name}_boldmap.nii.gz" for name in ("alff", "falff", "reho", "seed")},
}
STEPS = {"anat": ("extract", "normalize"), "dwi": ("correct", "normalize"), "func": ("correct", "normalize")}


def channels(modality):
    def files(wildcards):
        names = SETTINGS["tensors"]["pack"][f"{modality}_channels"]
        return derivatives(wildcards, modality, [CHANNEL_FILES[name] for name in names])

    return files


def qualities(modality):
    def files(wildcards):
        return derivatives(wildcards, modality, [f"desc-{name}_quality.json" for name in STEPS[modality]])

    return files


def derivatives(wildcards, modality, endings):
    """Return derivatives of a job's session, or nothing where it lacks the modality."""
    session = session_of(wildcards)
    return [session.derivative(modality, ending) for ending in endings] if session.images(modality) else []


def page_image(modality, ending):
    """Return a function that gives one derivative of a job's session, or nothing."""

    def file(wildcards):
        return session_of(wildcards).derivative(modality, ending)

    return file
