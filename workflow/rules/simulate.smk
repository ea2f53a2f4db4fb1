# Without a dataset the workflow makes its own: the embedded demo. Who takes part follows from the settings alone.


def write_demo_plan():
    """Write the demo's tables, and the list of its images before they exist."""
    from neuromoe.simulate._plan import images, plan, write_tables

    cohort = SETTINGS["simulate"]["cohort"]
    shares = {name: cohort[name] for name in ("corrupted_rate", "missing_rate")}
    people = plan(cohort["sessions"], SETTINGS["seed"], cohort["size"], **shares)
    write_tables(Path(BIDS), people)
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


def patterns():
    """Group the demo's people by the modalities that they have: a rule names all its files."""
    from neuromoe.simulate._plan import plan

    cohort = SETTINGS["simulate"]["cohort"]
    shares = {name: cohort[name] for name in ("corrupted_rate", "missing_rate")}
    found = {}
    for person in plan(cohort["sessions"], SETTINGS["seed"], cohort["size"], **shares):
        files = person.files()
        people, _ = found.setdefault("_".join(files), ([], []))
        people.append(person.participant_id)
        found["_".join(files)][1][:] = [
            f"{BIDS}/{path}".replace(person.participant_id, "{participant}") for paths in files.values() for path in paths
        ]
    return found


for pattern, (people, files) in patterns().items() if DEMO else ():

    rule:
        name:
            f"simulate_cohort_{pattern}"
        output:
            _files=files,
        params:
            **step(
                "simulate",
                "cohort",
                bids_dir=BIDS,
                seed=SETTINGS["seed"],
                participant=lambda wildcards: wildcards.participant,
            ),
        log:
            log_of("simulate_cohort", "{participant}"),
        benchmark:
            benchmark_of("simulate_cohort", "{participant}")
        wildcard_constraints:
            participant="|".join(people),
        threads: 1
        retries: 2
        resources:
            mem_mb=lambda wildcards, attempt: attempt * (1500 if SETTINGS["simulate"]["cohort"]["size"] == "demo" else 6000),
            runtime=30,
        conda:
            CONDA
        shell:
            RUN
