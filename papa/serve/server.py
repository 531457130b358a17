"""The routes of the page, and the server."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from typing import Any, TypeVar

import jinja2
import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from papa.errors import PapaError
from papa.serve.desk import Desk
from papa.serve.patient import PatientProtocol
from papa.serve.security import Access, Guard
from papa.serve.steps import Deletion, Form, Nothing, Sent, Turned, Wanted

STATIC = {"app.js": "text/javascript", "app.css": "text/css", "icon.svg": "image/svg+xml"}
"""Files of the page: name -> media type. No other file can be asked for."""
TYPED = "delete everything"
"""What a person types to have everything deleted."""
WAITING = (
    "papa serve: waiting for what the model is doing; the answers are on the disk. Ctrl-C once more ends it at once."
)
INTERRUPTED = 130
"""Exit code of what was interrupted, as shells have it: 128 and the number of the signal."""
CONNECTIONS = 64
"""Connections at a time; a page needs fewer than ten."""

F = TypeVar("F", bound=Form)
Handler = Callable[[Request], Awaitable[Response]]


class Page:
    """The routes.

    Args:    desk: the session. access: who is let in. title: prompt and method, for the heading. ended: called when the
             person stops the server.
    """

    def __init__(self, desk: Desk, access: Access, title: dict[str, str], ended: Callable[[], None]) -> None:
        self.desk, self.access, self.title, self.ended = desk, access, title, ended
        here = files("papa.serve")
        loader = jinja2.DictLoader({"page": (here / "templates" / "page.html").read_text(encoding="utf-8")})
        self.template = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
        self.static = {name: (here / "static" / name).read_bytes() for name in STATIC}

    def routes(self) -> list[Route]:
        """Pictures are known by round and number alone, files by names of a fixed list."""
        posts: dict[str, Handler] = {
            "/steps": self.steps,
            "/dial": self.dial,
            "/export": self.export,
            "/again": self.again,
            "/stop": self.stop,
            "/delete": self.delete,
        }
        return [
            Route("/", self.page),
            Route("/state", self.state),
            Route("/picture/{round:int}/{item:int}", self.picture),
            Route("/strip/{which:str}/{item:int}", self.strip),
            Route("/static/{name:str}", self.file),
            *(Route(path, handler, methods=["POST"]) for path, handler in posts.items()),
        ]

    # ------------------------------------------------------------ what is looked at

    async def page(self, request: Request) -> Response:
        text = self.template.get_template("page").render(csrf=self.access.csrf, typed=TYPED, **self.title)
        return HTMLResponse(text)

    async def state(self, request: Request) -> Response:
        return JSONResponse(self._state())

    def _state(self) -> dict[str, Any]:
        return self.desk.state() | {"csrf": self.access.csrf}

    async def picture(self, request: Request) -> Response:
        return _png(self.desk.picture(request.path_params["round"], request.path_params["item"]))

    async def strip(self, request: Request) -> Response:
        return _png(self.desk.strip(request.path_params["which"], request.path_params["item"]))

    async def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return _said(404, "There is no such file.")
        return Response(self.static[name], media_type=STATIC[name])

    # ------------------------------------------------------------ what is done

    async def steps(self, request: Request) -> Response:
        """Keystrokes. 200 says that each has its result; 507 that the disk took none after the results."""
        sent = await _read(request, Sent)
        if isinstance(sent, Response):
            return sent
        reply = await run_in_threadpool(self.desk.act, sent)
        found = {"results": reply.results, "message": reply.error, "state": self._state()}
        return JSONResponse(found, 200 if reply.error is None else 507)

    async def dial(self, request: Request) -> Response:
        turned = await _read(request, Turned)
        if isinstance(turned, Response):
            return turned
        return await self._done(lambda: self.desk.turn(turned.value))

    async def export(self, request: Request) -> Response:
        wanted = await _read(request, Wanted)
        if isinstance(wanted, Response):
            return wanted
        return await self._done(lambda: self.desk.export(wanted.what))

    async def again(self, request: Request) -> Response:
        nothing = await _read(request, Nothing)
        return nothing if isinstance(nothing, Response) else await self._done(self.desk.settle)

    async def stop(self, request: Request) -> Response:
        nothing = await _read(request, Nothing)
        if isinstance(nothing, Response):
            return nothing
        reply = await self._done(self.desk.stop)
        self.ended()
        return reply

    async def delete(self, request: Request) -> Response:
        typed = await _read(request, Deletion)
        if isinstance(typed, Response):
            return typed
        if typed.typed.strip().lower() != TYPED:
            return _said(400, f"Nothing was deleted. Type “{TYPED}” to delete everything.")
        return await self._done(self.desk.delete)

    async def _done(self, what: Callable[[], None]) -> Response:
        try:
            await run_in_threadpool(what)
        except PapaError as error:
            return JSONResponse({"message": str(error), "state": self._state()}, 507)
        return JSONResponse({"message": None, "state": self._state()})


def _png(data: bytes | None) -> Response:
    return _said(404, "There is no such picture.") if data is None else Response(data, media_type="image/png")


def _said(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)


async def _read(request: Request, form: type[F]) -> F | Response:
    """The body as a form, or the response that says that it is none."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return _said(415, "Bodies are JSON.")
    try:
        return form.model_validate(json.loads(await request.body()))
    except (ValidationError, ValueError, RecursionError):
        return _said(422, "The server does not understand this request.")


def application(desk: Desk, access: Access, title: dict[str, str], ended: Callable[[], None] = lambda: None) -> Guard:
    """The page as an ASGI application, guarded."""
    return Guard(Starlette(routes=Page(desk, access, title, ended).routes()), access)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:  PapaError where the address or the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise PapaError(
            f"cannot listen at {host}, port {port} ({error.strerror or error}). Give another port with --port, or end "
            "what listens there; perhaps it is another `papa serve`."
        ) from error


def run(desk: Desk, access: Access, title: dict[str, str], at: socket.socket) -> None:
    """Serve until the person stops it or interrupts it (Ctrl-C); a second Ctrl-C waits for nothing.

    Nothing can end a thread that computes but the end of the process. That is no more than a kill, after which the
    session goes on where it was.
    """
    config = uvicorn.Config(
        application(desk, access, title, lambda: setattr(server, "should_exit", True)),
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=16 * 1024,
    )
    server = uvicorn.Server(config)
    desk.settle()
    try:
        try:
            with suppress(KeyboardInterrupt):
                server.run(sockets=[at])
        finally:
            print(WAITING, file=sys.stderr, flush=True)
            desk.close()
    except KeyboardInterrupt:
        print("papa serve: ended at once. Start it again to go on where you are.", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)
