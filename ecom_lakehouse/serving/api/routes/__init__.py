"""The paths, one module a subject."""
