"""The recipe of the `digits` artefacts."""
