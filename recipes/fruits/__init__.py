"""The recipe of the `fruits` artefacts."""
