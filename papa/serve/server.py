"""The routes of the page, and the server."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from typing import Annotated, Any, Literal, TypeVar

import jinja2
import uvicorn
from pydantic import Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from papa.errors import PapaError
from papa.serve.answers import Form, Steps
from papa.serve.desk import Desk
from papa.serve.security import HEADERS, Access, message

STATIC = {"app.js": "text/javascript", "app.css": "text/css", "icon.svg": "image/svg+xml"}
"""Files of the page: name -> media type."""
TYPED = "delete everything"
"""The confirmation that the user types to delete everything."""
INTERRUPTED = 130
"""Exit code after an interrupt, as in shells."""

F = TypeVar("F", bound=Form)


class Turn(Form):
    value: Annotated[float, Field(ge=-1e6, le=1e6)]


class Export(Form):
    what: Literal["model", "answers"]


class Delete(Form):
    typed: Annotated[str, Field(max_length=100)]


class Page:
    """The routes.

    Args:
        title: prompt, model, method and number of given images, for the heading.
        stop: ends the server.
    """

    def __init__(self, desk: Desk, access: Access, title: dict[str, Any], stop: Callable[[], None]) -> None:
        self.desk, self.access, self.title, self.stop = desk, access, title, stop
        here = files("papa.serve")
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        self.template = environment.from_string((here / "templates" / "page.html").read_text(encoding="utf-8"))
        self.static = {name: (here / "static" / name).read_bytes() for name in STATIC}

    def application(self) -> Starlette:
        """The page as an ASGI application."""
        return Starlette(
            routes=[
                Route("/", self.page),
                Route("/state", lambda request: JSONResponse(self.state())),
                Route("/image/{index:int}/{item:int}", lambda request: _png(self.desk.image(**request.path_params))),
                Route("/preview/{which}/{item:int}", lambda request: _png(self.desk.preview(**request.path_params))),
                Route("/static/{name:str}", self.file),
                self.post("/steps", Steps, lambda form: self.desk.act(form.steps)),
                self.post("/dial", Turn, lambda form: self.desk.turn(form.value)),
                self.post("/export", Export, lambda form: self.desk.export(form.what)),
                self.post("/again", Form, lambda form: self.desk.settle()),
                self.post("/stop", Form, self.end),
                self.post("/delete", Delete, self.delete),
            ],
            middleware=[Middleware(BaseHTTPMiddleware, dispatch=self.guard)],
        )

    async def guard(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = self.access.refusal(request) or await call_next(request)
        response.headers.update(HEADERS)
        return response

    def state(self) -> dict[str, Any]:
        return self.desk.state() | {"csrf": self.access.csrf}

    def page(self, request: Request) -> Response:
        return HTMLResponse(self.template.render(csrf=self.access.csrf, typed=TYPED, **self.title))

    def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return message(404, "No such file.")
        return Response(self.static[name], media_type=STATIC[name])

    def post(self, path: str, form: type[F], act: Callable[[F], dict[str, Any] | None]) -> Route:
        """A route that reads a form, acts and returns the new state; 409 if there is a message to the user."""

        async def handle(request: Request) -> Response:
            try:
                sent = form.model_validate_json(await request.body())
            except ValidationError:
                return message(422, "The server does not understand this request.")
            try:
                reply = await run_in_threadpool(act, sent) or {}
            except PapaError as error:
                reply = {"message": str(error)}
            return JSONResponse(reply | {"state": self.state()}, 409 if reply.get("message") else 200)

        return Route(path, handle, methods=["POST"])

    def end(self, form: Form) -> None:
        self.desk.stop()
        self.stop()

    def delete(self, form: Delete) -> None:
        if form.typed.strip().lower() != TYPED:
            raise PapaError(f"Nothing was deleted. Type “{TYPED}” to delete everything.")
        self.desk.delete()


def _png(data: bytes | None) -> Response:
    return message(404, "No such image.") if data is None else Response(data, media_type="image/png")


def listening(host: str, port: int) -> socket.socket:
    """A listening socket."""
    if not 0 <= port <= 65535:
        raise PapaError(f"--port {port}: ports are 0 to 65535. Choose another --port.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise PapaError(
            f"cannot listen at {host}, port {port} ({error.strerror or error}). Choose another --port, or stop what "
            "uses this one, perhaps another `papa serve`."
        ) from error


def run(desk: Desk, access: Access, title: dict[str, Any], at: socket.socket) -> None:
    """Serve until the user stops it or presses Ctrl-C; a second Ctrl-C does not wait for the model.

    A computing thread ends only with the process. That is like a kill: the next start resumes from disk.
    """
    config = uvicorn.Config(
        Page(desk, access, title, lambda: setattr(server, "should_exit", True)).application(),
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    server = uvicorn.Server(config)
    desk.settle()
    try:
        try:
            with suppress(KeyboardInterrupt):
                server.run(sockets=[at])
        finally:
            waiting = "waiting for the model; the answers are on disk. Press Ctrl-C again to stop at once."
            print(f"papa serve: {waiting}", file=sys.stderr, flush=True)
            desk.close()
    except KeyboardInterrupt:
        print("papa serve: stopped at once. Start it again to resume.", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)
