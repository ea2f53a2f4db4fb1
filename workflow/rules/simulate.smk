# Without a dataset the workflow makes its own: the embedded demo.
for pattern, (people, files) in demo_patterns().items() if DEMO else ():

    rule:
        name:
            f"simulate_cohort_{pattern}"
        output:
            _files=files,
        log:
            log_of("simulate_cohort", "{participant}"),
        benchmark:
            benchmark_of("simulate_cohort", "{participant}")
        wildcard_constraints:
            participant="|".join(people),
        retries: 2
        conda:
            CONDA
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: attempt
            * (1500 if SETTINGS["simulate"]["cohort"]["size"] == "demo" else 6000),
            runtime=30,
        params:
            **step(
                "simulate",
                "cohort",
                bids_dir=lambda wildcards: BIDS,
                seed=SETTINGS["seed"],
                participant=lambda wildcards: wildcards.participant,
            ),
        shell:
            RUN
