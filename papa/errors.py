"""Errors that a person can act on: each message says what happened and what to do next."""


class PapaError(Exception):
    """Base of the errors that the command line prints as one paragraph, without a traceback."""


class SettingsError(PapaError):
    """A configuration that cannot be run."""


class ModelError(PapaError):
    """A diffusion model that the samplers and losses here are not made for, or that cannot do what is asked."""


class AnswerError(PapaError):
    """Answers that do not fit the question."""


class LabelsError(PapaError):
    """Labels of pictures that exist already which cannot be read, or that a method cannot learn from."""


class SessionError(PapaError):
    """A log that a session cannot continue, or a call that does not fit: no question is open, a folder is taken."""


class ArtefactError(PapaError):
    """A weight file that is missing or is not what it should be."""


class RecordError(PapaError):
    """A run record that is missing, damaged or made with other settings."""


class DivergedError(PapaError):
    """A model returned NaN or infinity: the run ends with the status `diverged`."""
