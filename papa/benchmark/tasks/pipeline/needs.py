"""What a pipeline of one's own needs. Each check returns a line, or says what is missing and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from papa.benchmark.config import Measures
from papa.benchmark.tasks.pipeline import OwnPipelineSettings
from papa.benchmark.tasks.prompts import PromptBank
from papa.benchmark.tasks.sd15.hub import clip_files, refuse_other_files
from papa.errors import ArtefactError, SettingsError
from papa.methods.declaration import MethodSettings

IMAGE = 512 * 512 * 3
"""Bytes of a stored image where the size is not said."""


def checks(settings: OwnPipelineSettings, methods: list[MethodSettings], device: str) -> list[Callable[[], str]]:
    """The folder, the judges and the prompts."""
    return [
        lambda: f"task pipeline: {checked_folder(settings)}",
        lambda: f"task pipeline: proxy in {clip_files(settings.proxy, download=False).file}",
        lambda: f"task pipeline: held_out in {clip_files(settings.held_out, download=False).file}",
        lambda: f"task pipeline: {_concepts(settings)} concepts in the prompt bank; device {device}",
    ]


def bytes_per_run(settings: MethodSettings, measures: Measures) -> int:
    """Disk space of one run in bytes: what was shown, the samples of every round, the final ones."""
    return IMAGE * (settings.labels + settings.rounds * measures.per_round + measures.final)


def checked_folder(settings: OwnPipelineSettings) -> Path:
    """The folder of the pipeline.

    Raises:  SettingsError where none is named, or no prompt. ArtefactError where it is not there, or a file is another
             one than the settings say.
    """
    if not settings.folder or not settings.prompt:
        raise SettingsError(
            "task pipeline: name your model and what it draws: {of: pipeline, folder: my-pipeline, prompt: a photo of "
            "a house}."
        )
    folder = Path(settings.folder).expanduser()
    if not (folder / "model_index.json").is_file():
        raise ArtefactError(f"task pipeline: {folder} has no model_index.json; name a folder that diffusers saved.")
    refuse_other_files(folder, settings.sha256, "the task's sha256", "Put the right file there, or correct sha256.")
    return folder


def _concepts(settings: OwnPipelineSettings) -> int:
    return len(PromptBank([{"kind": name} for name in settings.bank], list(settings.bank.values())).concepts)
