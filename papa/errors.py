"""Errors that a person can act on: each message says what happened and what to do next."""


class PapaError(Exception):
    """Base of the errors that the command line prints as one paragraph, without a traceback."""


class SettingsError(PapaError):
    """A configuration that cannot be run."""


class ArtefactError(PapaError):
    """A weight file that is missing or is not what it should be."""


class RecordError(PapaError):
    """A run record that is missing, truncated or of other settings."""
