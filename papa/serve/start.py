"""From the command line to a running server; whatever does not fit is refused before anything is served."""

from __future__ import annotations

import argparse
import hashlib
import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from papa.benchmark.machine import pick_device
from papa.errors import ArtefactError, SettingsError
from papa.files import sha256
from papa.labels import load_labels
from papa.methods import declaration
from papa.models.interface import Model
from papa.models.pipeline import PipelineModel, silence_logging
from papa.serve.desk import Desk
from papa.serve.security import Access, is_loopback
from papa.serve.server import listening, run
from papa.session import Session
from papa.settings import validated

FRUITS = Path(__file__).parents[1] / "data" / "fruits" / "pipeline"
SHIPPED: dict[str, Any] = {"prompt": "a photo of fruit", "steps": 10, "guidance_scale": 2.0, "chunk": 64}
"""Sampling of the shipped pipeline, as in the task `fruits`."""
OTHERS: dict[str, Any] = {"chunk": 8}
"""Sampling of other pipelines, which are probably larger."""
SHORTEST = 16
"""Characters of a token."""


def start(args: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Serve one session until it is stopped; `say` prints a line."""
    check_access(args.host, args.token)
    settings = method_settings(args.settings)
    # Misspelled settings and bad labels are found before a large model is loaded.
    budget = {"labels": args.labels, "per_round": args.per_round}
    validated(declaration(args.method).settings, settings | budget, args.method)
    given = load_labels(args.given, args.given_user) if args.given else None
    with listening(args.host, args.port) as at:
        say("papa serve: loading the model")
        model = load(args)
        name, weights = identity(Path(args.model or FRUITS))
        about: dict[str, Any] = {"model": {"name": name, "network_sha256": weights}}
        about |= {"prompt": model.prompt, "steps": model.steps, "chunk": model.chunk}
        if isinstance(model, PipelineModel):
            about["guidance_scale"] = model.settings.guidance_scale
        about["shown"] = "pairs" if args.pairs else "single"
        make = partial(
            Session, model, args.method, **budget, seed=args.seed, log=args.log, settings=settings, about=about,
            given=given,
        )  # fmt: skip
        desk = Desk(make, Path(args.log), args.pairs)
        access = Access(args.host, at.getsockname()[1], args.token, tuple(args.allow_host))
        say(f"papa serve: {address(access)}\npapa serve: answers go to {args.log}. Stop with Ctrl-C; nothing is lost.")
        title = {"prompt": model.prompt or "", "model": name, "method": args.method, "given": len(given or ())}
        run(desk, access, title, at)


def check_access(host: str, token: str | None) -> None:
    """Refuse an address that others can reach without a token, and a token that can be guessed."""
    if token is not None and len(token) < SHORTEST:
        raise SettingsError(
            f"--token: {len(token)} characters can be guessed; give at least {SHORTEST}, for example the output of "
            '`python -c "import secrets; print(secrets.token_urlsafe())"`.'
        )
    if token is None and not is_loopback(host):
        raise SettingsError(
            f"--host {host}: others can reach that address, so it needs a secret: give --token TEXT. Without --host "
            "the page is served at 127.0.0.1, to this machine only."
        )


def method_settings(text: str) -> dict[str, Any]:
    """The method's settings from the command line."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"--settings is not JSON ({error}).") from None
    if not isinstance(given, dict):
        raise SettingsError("--settings is not a JSON object; write it like '{\"c_qpde\": 0.5}'.")
    return given


def load(args: argparse.Namespace) -> Model:
    """The requested pipeline, or the shipped one."""
    if args.model and not Path(args.model).is_dir():
        raise ArtefactError(f"--model: there is no folder {args.model}.")
    given = {"prompt": args.prompt, "steps": args.steps, "guidance_scale": args.guidance}
    settings = dict(OTHERS if args.model else SHIPPED)
    settings |= {name: value for name, value in given.items() if value is not None}
    silence_logging()
    with warnings.catch_warnings():  # the oldest supported diffusers has no other name for this argument
        warnings.filterwarnings("ignore", message="`torch_dtype` is deprecated")
        return Model.from_pretrained(args.model or FRUITS, device=pick_device(args.device), **settings)


def identity(folder: Path) -> tuple[str, str]:
    """The folder's name without its path, and a hash of its network's files, for the log."""
    found = hashlib.sha256()
    for part in ("unet", "transformer"):
        for file in sorted((folder / part).rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                found.update(f"{file.name} {sha256(file)}\n".encode())
    resolved = folder.resolve()
    return "fruits" if resolved == FRUITS.resolve() else resolved.name, found.hexdigest()[:32]


def address(access: Access) -> str:
    """The address to open in a browser."""
    host = "127.0.0.1" if access.host in ("0.0.0.0", "::") else access.host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{access.port}/" + (f"?token={access.token}" if access.token else "")
