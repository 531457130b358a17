"""A person's page on a tiny pipeline: the desk, a client of its routes, and a server in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from papa.methods import declaration
from papa.models.pipeline import PipelineModel
from papa.models.settings import PipelineSettings
from papa.serve.desk import Desk
from papa.serve.security import Access
from papa.serve.server import application
from papa.serve.steps import Reply, Sent
from papa.session import Session
from support import tiny, tiny_sd15

ROOT = Path(__file__).parents[2]
PROMPT = "a fruit"
LABELS, K = 10, 4  # three rounds, the last one of two pictures
ANN, BEN = "a" * 24, "b" * 24
"""Two tabs."""


@cache
def model() -> PipelineModel:
    settings = PipelineSettings(prompt=PROMPT, steps=2, guidance_scale=1)
    return PipelineModel.from_folder(tiny_sd15.pipeline(), settings)


def small(method: str) -> dict[str, Any]:
    """Settings that make a method quick, without the budget."""
    known = declaration(method).settings.model_fields
    return {name: value for name, value in tiny.SMALL.items() if name in known and name not in ("labels", "per_round")}


@contextmanager
def desk(log: Path, method: str = "papa", paired: bool = False, **given: Any) -> Iterator[Desk]:
    """A desk that is settled, and is closed in the end."""
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
    """A page in one tab: it numbers its steps, and knows the version that it saw last."""

    def __init__(self, at: Desk, client: str = ANN) -> None:
        self.at, self.client, self.seq, self.seen = at, client, 0, at.state()["version"]

    def step(self, op: str, **more: Any) -> dict[str, Any]:
        self.seq += 1
        return {"op": op, "client": self.client, "seq": self.seq, "seen": self.seen, **more}

    def send(self, *steps: dict[str, Any]) -> Reply:
        reply = self.at.act(Sent.model_validate({"steps": list(steps)}))
        self.look()
        return reply

    def look(self) -> None:
        self.seen = self.at.state()["version"]

    def rate(self, item: int, answer: str | None, round: int | None = None) -> str:
        index = self.at.open if round is None else round
        return self.only(self.step("rate", round=index, item=item, answer=answer))

    def confirm(self, round: int | None = None) -> str:
        return self.only(self.step("confirm", round=self.at.open if round is None else round))

    def undo(self) -> str:
        return self.only(self.step("undo"))

    def only(self, step: dict[str, Any]) -> str:
        reply = self.send(step)
        assert reply.error is None, reply.error
        return reply.results[0]

    def answer(self, *answers: str) -> None:
        """Rate all, confirm, and wait."""
        for item, answer in enumerate(answers):
            assert self.rate(item, answer) == "taken"
        assert self.confirm() == "taken"
        wait(self.at)
        self.look()


def client_of(at: Desk, access: Access | None = None, ended: Callable[[], None] = lambda: None) -> TestClient:
    """A browser that stands on the page of this desk."""
    access = access or Access("127.0.0.1", 8000)
    title = {"prompt": PROMPT, "model": "tiny", "method": "papa"}
    base = "http://127.0.0.1:8000"
    headers = {"origin": base, "x-csrf-token": access.csrf}
    return TestClient(application(at, access, title, ended), base_url=base, headers=headers)


def preference(log: Path) -> list[list[float | None]]:
    """The answers of the rounds in a log."""
    return [json.loads(line)["preference"] for line in log.read_text().splitlines()[1:]]


# ---------------------------------------------------------------- a server in a process of its own


def take_interrupts() -> None:
    """A shell that runs the tests in the background has its children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Server:
    """`papa serve` on a tiny pipeline. wait: until the page is there; without, it has no address yet."""

    def __init__(self, folder: Path, *more: str, port: int = 0, labels: int = LABELS, wait: bool = True) -> None:
        self.log, self.out = folder / "me.jsonl", folder / "out.txt"
        command = [sys.executable, "-m", "papa", "serve", "--model", str(tiny_sd15.pipeline()), "--prompt", PROMPT]
        command += ["--steps", "2", "--guidance", "1", "--settings", json.dumps(small("papa"))]
        command += ["--labels", str(labels), "--per-round", str(K), "--log", str(self.log), "--port", str(port), *more]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with open(self.out, "w") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=out, env=environment, cwd=folder, preexec_fn=take_interrupts
            )
        self._csrf: str | None = None
        if not wait:
            return
        try:
            self.url = self._url()
        except BaseException:  # no `with` ends it then
            self.kill()
            raise
        self.port = int(self.url.split(":")[2].split("/")[0])

    def _url(self) -> str:
        start = time.monotonic()
        while time.monotonic() - start < 90:
            said = self.out.read_text()
            if found := re.findall(r"http://\S+\n", said):
                return found[-1].strip()
            assert self.process.poll() is None, said
            time.sleep(0.1)
        raise AssertionError(self.out.read_text())

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}state", timeout=10) as reply:
            return json.load(reply)

    def until(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        """Wait until the state is such."""
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            if holds(state := self.state()):
                return state
            time.sleep(0.05)
        raise AssertionError(self.state())

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._csrf = self._csrf or self.state()["csrf"]
        headers = {"Content-Type": "application/json", "Origin": self.url[:-1], "X-CSRF-Token": self._csrf}
        request = urllib.request.Request(self.url[:-1] + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
