"""T1-weighted images: clean, segment, register to the template."""
