"""Pages for people: what was done to each session, the cohort, and how far to trust the result."""
