"""Files, words and settings, under everything: imports nothing else of the package."""
