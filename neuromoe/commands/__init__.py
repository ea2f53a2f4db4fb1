"""Commands for people that are no step of the workflow."""
