"""How long the server waits for a client, decided at the connection: the slow are cut off, and nobody else notices.

uvicorn waits for ever for the rest of a request's headers and for a reader that does not read. Bodies have their own
limit (`httpd.body`), because there the client can still be told.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import partial
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

READER = 60.0
"""Seconds a client may leave what was sent to it unread, before its connection is dropped."""
MAX_HEADERS = 16 << 10
"""Bytes of request line and headers (431 above)."""
_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\n"
    b"connection: close\r\ncontent-length: 54\r\n\r\n"
    b'{"detail": "the request took too long; send it again"}'
)


class PatientProtocol(H11Protocol):
    """uvicorn's protocol with two timers: one runs while we wait for the client to speak, one while it must read."""

    def __init__(self, *args: Any, header_seconds: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._header_seconds = header_seconds
        self._speak: asyncio.TimerHandle | None = None
        self._read: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that says nothing is as slow as any other."""
        super().connection_made(transport)
        with contextlib.suppress(OSError, AttributeError):  # not a TCP socket, or not Linux
            # Also for the last bytes of a closed connection, which no timer of ours sees.
            sock: socket.socket = transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(READER * 1000))
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """The timer is not wound up again by each byte: the whole head of a request must come in time."""
        super().data_received(data)
        if self.transport.is_closing():
            self._stop_timers()
        elif self._owes_request():
            self._await_request()
        elif self._speak:
            self._speak.cancel()
            self._speak = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read = self._read or self.loop.call_later(READER, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._read:
            self._read.cancel()
            self._read = None

    def _owes_request(self) -> bool:
        """Whether the client is in the middle of a head, or sends a body on that was answered already."""
        return self.conn.their_state is h11.IDLE or bool(self.cycle and self.cycle.response_complete)

    def _await_request(self) -> None:
        self._speak = self._speak or self.loop.call_later(self._header_seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._speak = None
        if self.transport.is_closing() or not self._owes_request():
            return
        if self.conn.trailing_data[0] and not (self.cycle and not self.cycle.response_complete):
            self.transport.write(_TOO_SLOW)
        self.transport.close()

    def _stop_timers(self) -> None:
        for timer in (self._speak, self._read):
            if timer:
                timer.cancel()
        self._speak = self._read = None


def patient(header_seconds: float) -> Any:
    """A protocol for uvicorn's `http` setting."""
    return partial(PatientProtocol, header_seconds=header_seconds)
