"""The library under the stages: images, transforms, registration, provenance. Imports no stage."""
