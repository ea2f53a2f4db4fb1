"""Models are fitted on frozen splits."""
