"""Errors that a user can act on: each message says what happened and what to do next."""


class PapaError(Exception):
    """Base of the errors that the command line prints as one paragraph, without a traceback."""


class SettingsError(PapaError):
    """A configuration that cannot be run."""


class ModelError(PapaError):
    """A diffusion model that is not supported, or that lacks a required capability."""


class AnswerError(PapaError):
    """Answers that do not fit the question."""


class LabelsError(PapaError):
    """Labels of existing images that cannot be read, or that a method cannot learn from."""


class SessionError(PapaError):
    """A log that cannot be continued, or a call that the session cannot serve, such as an answer without a question."""


class ArtefactError(PapaError):
    """A weight file that is missing or differs from the expected one."""


class RecordError(PapaError):
    """A run record that is missing, damaged or made with other settings."""


class DivergedError(PapaError):
    """A model returned NaN or infinity: the run ends with the status `diverged`."""
