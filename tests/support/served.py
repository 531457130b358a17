"""`papa serve` on a tiny pipeline: the desk, a client of its routes, a server in a thread, a server process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import uvicorn
from starlette.testclient import TestClient

from papa.methods import declaration
from papa.models.pipeline import PipelineModel
from papa.models.settings import PipelineSettings
from papa.serve.answers import Steps
from papa.serve.desk import Desk
from papa.serve.security import Access
from papa.serve.server import Page, listening
from papa.session import Session
from support import tiny, tiny_sd15

ROOT = Path(__file__).parents[2]
PROMPT = "a fruit"
LABELS, K = 10, 4  # three rounds, the last one of two images
ANN, BEN = "a" * 24, "b" * 24
"""Two tabs."""
PATIENCE = 300
"""Seconds to wait for what takes one to ten on an idle machine."""


@cache
def model() -> PipelineModel:
    settings = PipelineSettings(prompt=PROMPT, steps=2, guidance_scale=1)
    return PipelineModel.from_folder(tiny_sd15.pipeline(), settings)


def small(method: str) -> dict[str, Any]:
    """Settings that make a method fast, without the budget."""
    known = declaration(method).settings.model_fields
    return {name: value for name, value in tiny.SMALL.items() if name in known and name not in ("labels", "per_round")}


@contextmanager
def desk(log: Path, method: str = "papa", paired: bool = False, **given: Any) -> Iterator[Desk]:
    """A settled desk."""
    given = {"labels": LABELS, "per_round": K, "settings": small(method)} | given
    at = Desk(lambda: Session(model(), method, log=log, **given), log, paired)
    try:
        at.settle()
        wait(at)
        yield at
    finally:
        at.close()


def wait(at: Desk) -> dict[str, Any]:
    """Wait for the worker; returns the state then."""
    at._worker.wait_for(lambda: None)
    return at.state()


class Tab:
    """A page in a tab: it numbers its steps and knows the version that it saw last."""

    def __init__(self, at: Desk, client: str = ANN) -> None:
        self.at, self.client, self.seq, self.seen = at, client, 0, at.state()["version"]

    def step(self, op: str, **more: Any) -> dict[str, Any]:
        self.seq += 1
        return {"op": op, "client": self.client, "seq": self.seq, "seen": self.seen, **more}

    def send(self, *steps: dict[str, Any]) -> dict[str, Any]:
        reply = self.at.act(Steps.model_validate({"steps": list(steps)}).steps)
        self.look()
        return reply

    def look(self) -> None:
        self.seen = self.at.state()["version"]

    def rate(self, item: int, answer: str | None, round: int | None = None) -> str:
        return self.only(self.step("rate", round=self.at.open if round is None else round, item=item, answer=answer))

    def confirm(self, round: int | None = None) -> str:
        return self.only(self.step("confirm", round=self.at.open if round is None else round))

    def undo(self) -> str:
        return self.only(self.step("undo"))

    def only(self, step: dict[str, Any]) -> str:
        reply = self.send(step)
        assert reply["message"] is None
        return reply["results"][0]

    def answer(self, *answers: str) -> None:
        """Rate all, confirm, and wait."""
        for item, answer in enumerate(answers):
            assert self.rate(item, answer) == "taken"
        assert self.confirm() == "taken"
        wait(self.at)
        self.look()


def page_of(at: Desk, access: Access, given: int = 0, stop: Callable[[], None] = lambda: None) -> Any:
    """The ASGI application of a desk."""
    return Page(at, access, {"prompt": PROMPT, "model": "tiny", "method": "papa", "given": given}, stop).application()


def client_of(at: Desk, access: Access | None = None, stop: Callable[[], None] = lambda: None) -> TestClient:
    """A browser on the page of this desk."""
    access = access or Access("127.0.0.1", 8000)
    headers = {"x-csrf-token": access.csrf}
    return TestClient(page_of(at, access, stop=stop), base_url="http://127.0.0.1:8000", headers=headers)


def preference(log: Path) -> list[list[float | None]]:
    """The answers of the rounds in a log."""
    return [json.loads(line)["preference"] for line in log.read_text().splitlines()[1:]]


def draft(log: Path) -> list[dict[str, Any]]:
    """The user's steps in the draft of a log."""
    lines = log.with_name(f"{log.name}.draft").read_text().splitlines()[1:]
    return [line for line in map(json.loads, lines) if line["client"]]


@dataclass
class Hosted:
    log: Path
    port: int
    url: str


@contextmanager
def hosted(
    log: Path, *, port: int = 0, token: str | None = None, proxy: Callable[[Any], Any] = lambda app: app,
    shown: int = 0, **given: Any,
) -> Iterator[Hosted]:  # fmt: skip
    """A desk that is served. proxy: wraps the ASGI application. shown: number of given images in the heading."""
    with desk(log, **given) as at, listening("127.0.0.1", port) as listens:
        access = Access("127.0.0.1", listens.getsockname()[1], token)
        app = proxy(page_of(at, access, shown))
        config = uvicorn.Config(app, ws="none", lifespan="off", log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listens]})
        thread.start()
        try:
            yield Hosted(log, access.port, f"http://127.0.0.1:{access.port}/{f'?token={token}' if token else ''}")
        finally:
            server.should_exit = True
            thread.join()


def take_interrupts() -> None:
    """A shell that runs the tests in the background has its children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Server:
    """`papa serve` on a tiny pipeline. ready: wait for the address."""

    def __init__(self, folder: Path, *more: str, ready: bool = True) -> None:
        self.log, self.out = folder / "me.jsonl", folder / "out.txt"
        command = [sys.executable, "-m", "papa", "serve", "--model", str(tiny_sd15.pipeline()), "--prompt", PROMPT]
        command += ["--steps", "2", "--guidance", "1", "--settings", json.dumps(small("papa"))]
        command += ["--labels", str(LABELS), "--per-round", str(K), "--log", str(self.log), "--port", "0", *more]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with open(self.out, "w") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=out, env=environment, cwd=folder, preexec_fn=take_interrupts
            )
        self._csrf: str | None = None
        if ready:
            try:
                self.url = self.said(r"http://\S+(?=\n)")
            except BaseException:  # no `with` ends it then
                self.kill()
                raise

    def said(self, pattern: str) -> str:
        """Wait for a line on the terminal."""
        start = time.monotonic()
        while not (found := re.findall(pattern, self.out.read_text())):
            assert self.process.poll() is None and time.monotonic() - start < PATIENCE, self.out.read_text()
            time.sleep(0.05)
        return found[-1]

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}state", timeout=PATIENCE) as reply:
            return json.load(reply)

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a state."""
        start = time.monotonic()
        while not holds(state := self.state()):
            assert time.monotonic() - start < PATIENCE, state
            time.sleep(0.05)
        return state

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._csrf = self._csrf or self.state()["csrf"]
        headers = {"Content-Type": "application/json", "X-CSRF-Token": self._csrf}
        request = urllib.request.Request(self.url[:-1] + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            return json.load(reply)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
