"""From the command line to a server: the model, the session, and what is refused before anything is served."""

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
"""How the shipped pipeline is sampled, as in the task `fruits`."""
OTHERS: dict[str, Any] = {"chunk": 8}
"""How another one is: a few pictures in a forward pass, for it is probably larger."""
NETWORKS = ("unet", "transformer")
"""The folder of a pipeline's network."""
SHORTEST = 16
"""Characters of a token."""


def start(args: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Serve one session until it is stopped.

    Args:    args: those of `papa serve`. say: prints a line.
    Raises:  PapaError for whatever does not fit: an address without a token, a log of another session, a taken port.
    """
    check_access(args.host, args.token)
    settings = method_settings(args.settings)
    # What is misspelled, and a line of a table that is wrong, before a large model is loaded.
    budget = {"labels": args.labels, "per_round": args.per_round}
    validated(declaration(args.method).settings, settings | budget, args.method)
    given = load_labels(args.given, args.given_user) if args.given else None
    at = listening(args.host, args.port)
    try:
        say("papa serve: loading the model")
        model = load(args)
        about = {
            "model": identity(Path(args.model or FRUITS)),
            **sampling(model),
            "shown": "pairs" if args.pairs else "single",
        }
        make = partial(
            Session, model, args.method, **budget, seed=args.seed, log=args.log, settings=settings, about=about,
            given=given,
        )  # fmt: skip
        desk = Desk(make, Path(args.log), args.pairs)
        access = Access(args.host, at.getsockname()[1], args.token)
        say(f"papa serve: {address(access)}\npapa serve: answers go to {args.log}. Ctrl-C stops; nothing is lost.")
        title = {"prompt": model.prompt or "", "model": about["model"]["name"], "method": args.method}
        run(desk, access, title, at)
    finally:
        at.close()


def check_access(host: str, token: str | None) -> None:
    """Refuse an address that others can reach without a token, and a token that can be guessed.

    Raises:  SettingsError.
    """
    if token is not None and len(token) < SHORTEST:
        raise SettingsError(
            f"--token: {len(token)} characters can be guessed; give {SHORTEST} or more, for example the output of "
            '`python -c "import secrets; print(secrets.token_urlsafe())"`.'
        )
    if token is None and not is_loopback(host):
        raise SettingsError(
            f"--host {host}: others can reach that address, so it needs a secret: give --token TEXT. Without one, the "
            "page is served at 127.0.0.1, to this machine alone."
        )


def method_settings(text: str) -> dict[str, Any]:
    """The method's settings from the command line.

    Raises:  SettingsError for text that is no JSON object.
    """
    try:
        given = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"--settings is no JSON ({error}).") from None
    if not isinstance(given, dict):
        raise SettingsError("--settings is no JSON object; write it like '{\"c_qpde\": 0.5}'.")
    return given


def load(args: argparse.Namespace) -> Model:
    """The pipeline that was asked for, or the shipped one.

    Raises:  SettingsError, ArtefactError, ModelError as `Model.from_pretrained`.
    """
    if args.model and not Path(args.model).is_dir():
        raise ArtefactError(f"--model: there is no folder {args.model}.")
    given = {"prompt": args.prompt, "steps": args.steps, "guidance_scale": args.guidance}
    settings = dict(OTHERS if args.model else SHIPPED)
    settings |= {name: value for name, value in given.items() if value is not None}
    silence_logging()
    with warnings.catch_warnings():  # of an argument that the oldest diffusers here knows by no other name
        warnings.filterwarnings("ignore", message="`torch_dtype` is deprecated")
        return Model.from_pretrained(args.model or FRUITS, device=pick_device(args.device), **settings)


def sampling(model: Model) -> dict[str, Any]:
    """What the log says of how the pictures are drawn."""
    said: dict[str, Any] = {"prompt": model.prompt, "steps": model.steps, "chunk": model.chunk}
    return said | ({"guidance_scale": model.settings.guidance_scale} if isinstance(model, PipelineModel) else {})


def identity(folder: Path) -> dict[str, str]:
    """What the log says of the model: the folder's name without its place, and the hash of its network's files."""
    found = hashlib.sha256()
    for part in NETWORKS:
        for file in sorted((folder / part).rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                found.update(f"{file.name} {sha256(file)}\n".encode())
    resolved = folder.resolve()
    name = "fruits" if resolved == FRUITS.resolve() else resolved.name
    return {"name": name, "network_sha256": found.hexdigest()[:32]}


def address(access: Access) -> str:
    """What to open in a browser."""
    host = "127.0.0.1" if access.host in ("0.0.0.0", "::") else access.host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{access.port}/" + (f"?token={access.token}" if access.token else "")
