"""Who may ask for what: a layer around the routes that refuses before they see anything.

hosts      only names by which this machine was meant; a page elsewhere whose name was pointed at this machine
           (DNS rebinding) has another one
token      where one is set, it or the cookie that it is exchanged for, compared in constant time
posts      from this page alone: the same origin, and the secret of this start of the server
bodies     at most 64 kB, and not slower than `PATIENCE`
headers    nothing is loaded from elsewhere, framed, sniffed, stored or told to others
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import secrets
import socket
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST = 64 * 1024
"""Bytes of a body."""
PATIENCE = 10.0
"""Seconds that a client has for its body."""
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
ENTERED = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>papa</title>'
"""Answer to the first visit. A page that goes on, not a redirect: a strict cookie is not sent along a redirect that
began elsewhere, say in a mail."""


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Access:
    """What is let in. host, port: where the server listens. token: None lets everybody in who reaches it.

    csrf: the secret that posts carry, new at every start.
    """

    host: str
    port: int
    token: str | None = None
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def cookie(self) -> str:
        """Name of the cookie; cookies are not told apart by port."""
        return f"papa_{self.port}"

    @property
    def pass_(self) -> str:
        """What the token is exchanged for."""
        return hashlib.sha256(f"papa serve {self.port} {self.token}".encode()).hexdigest()

    def knows(self, host: str | None) -> bool:
        """Whether a Host header names this machine."""
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if not host or not name or "@" in host:
            return False
        if self.host in ("0.0.0.0", "::"):  # every address of this machine; a number cannot be pointed elsewhere
            return name in (*LOOPBACK, socket.gethostname().lower()) or _is_number(name)
        return name in ((*LOOPBACK, self.host) if is_loopback(self.host) else (self.host.lower(),))

    def admits(self, headers: Headers) -> bool:
        """Whether the cookie is the right one, where one is needed."""
        if self.token is None:
            return True
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return found is not None and same(found.value, self.pass_)


def same(given: str, right: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode("utf-8", "replace"))


def _is_number(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


class Refused(Exception):
    """A request that is refused. status: of HTTP. said: to whom it may concern."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status, self.said = status, said


class Guard:
    """The layer around the routes."""

    def __init__(self, app: ASGIApp, access: Access, patience: float = PATIENCE) -> None:
        self.app, self.access, self.patience = app, access, patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            if self._enters(scope, headers):
                await _answer(with_headers, 200, ENTERED, "text/html", self._cookie())
                return
            body = await self._body(headers, receive) if self._check(scope, headers) else b""
        except Refused as refused:
            said = json.dumps({"message": refused.said})
            await _answer(with_headers, refused.status, said, "application/json")
            return
        await self.app(scope, _given(body, receive), with_headers)

    def _enters(self, scope: Scope, headers: Headers) -> bool:
        """Whether this is a visit with the right token.

        Raises:  Refused for a host that is not known, and for a visit that is not let in.
        """
        if len(headers.getlist("host")) != 1 or not self.access.knows(headers["host"]):
            raise Refused(421, "This server does not go by that name.")
        if self.access.admits(headers):
            return False
        assert self.access.token is not None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["method"] == "GET" and scope["path"] == "/" and same(given, self.access.token):
            return True
        raise Refused(401, "Open this page with the address that `papa serve` has printed; it ends in ?token=...")

    def _cookie(self) -> str:
        return f"{self.access.cookie}={self.access.pass_}; HttpOnly; SameSite=Strict; Path=/"

    def _check(self, scope: Scope, headers: Headers) -> bool:
        """Whether there is a body to be read.

        Raises:  Refused for another method, and for a post that does not come from this page.
        """
        if scope["method"] in ("GET", "HEAD"):
            return False
        if scope["method"] != "POST":
            raise Refused(405, "Only GET, HEAD and POST are answered here.")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is None and site != "same-origin":
            raise Refused(403, "Posts come from this server's own page.")
        if origin is not None and urlsplit(origin)[:2] != (scope["scheme"], headers["host"]):
            raise Refused(403, "Posts come from this server's own page.")
        if site not in (None, "same-origin"):
            raise Refused(403, "Posts come from this server's own page.")
        if not same(headers.get("x-csrf-token", ""), self.access.csrf):
            raise Refused(403, "The server was started again since this page was loaded.")
        return True

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body.

        Raises:  Refused for one that is too large, or that does not come.
        """
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > LARGEST:
            raise Refused(413, f"A body has at most {LARGEST} bytes.")
        body = b""
        try:
            with anyio.fail_after(self.patience):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "The body ended early.")
                    body += message.get("body", b"")
                    if len(body) > LARGEST:
                        raise Refused(413, f"A body has at most {LARGEST} bytes.")
                    if not message.get("more_body"):
                        return body
        except TimeoutError:
            raise Refused(408, "The body did not come in time.") from None


def _given(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands over a body that was read already."""
    left = [body]

    async def again() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return again


async def _answer(send: Send, status: int, text: str, media: str, cookie: str | None = None) -> None:
    body = text.encode()
    headers = [
        (b"content-type", f"{media}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if cookie is not None:
        headers.append((b"set-cookie", cookie.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
