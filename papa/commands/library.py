"""The commands that need no experiment: labels that exist already, the page, the schema of the configuration."""

from __future__ import annotations

import argparse
import json

from papa.commands.common import log
from papa.errors import LabelsError, PapaError


def labels(args: argparse.Namespace) -> None:
    from papa.labels import load_labels, report
    from papa.methods import learning_from

    given = load_labels(args.source, args.user)
    lines, problems = report(given)
    for line in lines:
        print(line)
    if problems:
        raise LabelsError(f"{problems} of the {len(given)} images cannot be used; the lines above say what to do.")
    print(f"methods that learn from {given.kind} of images: {', '.join(learning_from(given.kind))}")


def serve(args: argparse.Namespace) -> None:
    try:
        import jinja2  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise PapaError(f"the page needs {error.name}; install it with `pip install papa[app]`.") from None
    from papa.serve.start import start

    start(args, log)


def schema(args: argparse.Namespace) -> None:
    from papa.benchmark.schema import config_schema

    print(json.dumps(config_schema(), indent=2))
