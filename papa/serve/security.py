"""Access control of the page.

host    a known name or an IP address: under another name a foreign page may reach this machine (DNS rebinding)
token   if set: the secret in the address, exchanged for a cookie
csrf    every POST carries a secret that only this page can read, so other sites cannot post
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ENTERED = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=./"><title>papa</title>'
"""Answer to the first visit. Not a redirect: a strict cookie is not sent along a redirect that began elsewhere."""


@dataclass(frozen=True)
class Access:
    """Access rules of the page.

    Args:
        token: secret in the address; None for no secret.
        names: further host names, such as a proxy's (`--allow-host`).
        csrf: secret of every POST, new at each start.
    """

    host: str
    port: int
    token: str | None = None
    names: tuple[str, ...] = ()
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def cookie(self) -> tuple[str, str]:
        """Name and value; browsers share cookies between ports, so the name has the port."""
        value = hashlib.sha256(f"papa serve {self.port} {self.token}".encode()).hexdigest()
        return f"papa_{self.port}", value

    def knows(self, host: str) -> bool:
        """Whether a Host header names this server."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in ("localhost", self.host.lower(), *(name.lower() for name in self.names)) or is_ip(name)

    def refusal(self, request: Request) -> Response | None:
        """The response to a request that must not reach the routes; None for all others."""
        host = request.headers.get("host", "")
        if not self.knows(host):
            hint = "If a proxy in front uses that name, start `papa serve` with --allow-host and the name."
            return message(421, f"papa serve does not know the host name {host!r}. {hint}")
        name, value = self.cookie
        if self.token is not None and not same(request.cookies.get(name, ""), value):
            if request.url.path == "/" and same(request.query_params.get("token", ""), self.token):
                entered = HTMLResponse(ENTERED)
                entered.set_cookie(name, value, httponly=True, samesite="strict")
                return entered
            return message(401, "Open this page with the address that `papa serve` printed; it ends in ?token=...")
        if request.method == "POST" and not same(request.headers.get("x-csrf-token", ""), self.csrf):
            return message(403, "This page is from an earlier start of `papa serve`, or from elsewhere. Reload it.")
        return None


def is_ip(name: str) -> bool:
    """Whether a name is an IP address."""
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether an address is reachable from this machine only."""
    return host == "localhost" or (is_ip(host) and ipaddress.ip_address(host).is_loopback)


def same(given: str, right: str) -> bool:
    """Compare secrets in constant time."""
    return hmac.compare_digest(given.encode(), right.encode())


def message(status: int, text: str) -> Response:
    """An error as JSON."""
    return JSONResponse({"message": text}, status)
