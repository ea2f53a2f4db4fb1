"""The template that everybody is registered to."""
