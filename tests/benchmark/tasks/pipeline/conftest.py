"""The text-to-image tasks, and no network."""

from support.text_to_image import nothing_is_downloaded, small, task  # noqa: F401
