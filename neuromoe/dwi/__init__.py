"""Diffusion-weighted imaging: from the raw series to tensor maps on the template."""
