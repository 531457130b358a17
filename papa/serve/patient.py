"""uvicorn's HTTP/1.1 with a limit on how long a client may take to send the head of a request.

uvicorn ends connections that are idle after an answer (`timeout_keep_alive`), and waits for ever for a head that comes
byte by byte, or not at all. The limit on bodies stands in `papa.serve.security`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 10.0
"""Seconds that a client has for the head of a request."""


class PatientProtocol(H11Protocol):
    """Closes a connection whose next request does not begin in time."""

    _waits: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._waits = self.loop.call_later(PATIENCE, self._give_up)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and self._waits is not None:
            self._waits.cancel()
            self._waits = None
        elif not answering and self._waits is None:  # the first bytes of a head on a connection that was kept
            self._waits = self.loop.call_later(PATIENCE, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waits is not None:
            self._waits.cancel()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        self._waits = None
        if not self.transport.is_closing():
            self.transport.close()
