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

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from httpd.cork import Cork

PIECE = 1 << 20
"""Bytes that are read from a connection at once: with asyncio's 256 KiB a large body costs half as much again."""
READER = 60.0
"""Seconds a client may leave what was sent to it unread, before its connection is dropped."""
MAX_HEADERS = 16 << 10
"""Bytes of request line and headers (431 above), and of what follows the last chunk of a body (closed above)."""
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"connection: close\r\ncontent-length: 50\r\n\r\n"
    b'{"detail": "request line and headers over 16 KiB"}'
)
_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\n"
    b"connection: close\r\ncontent-length: 54\r\n\r\n"
    b'{"detail": "the request took too long; send it again"}'
)


class PatientProtocol(HttpToolsProtocol, asyncio.BufferedProtocol):
    """uvicorn's protocol with two timers: one runs while we wait for the client to speak, one while it must read.

    And with a limit to the size of a head, and of the trailers of a body, which its parser in C does not have.
    """

    def __init__(self, *args: Any, header_seconds: float, arrivals: bytearray, **options: Any) -> None:
        super().__init__(*args, **options)
        self._arrivals = arrivals
        self._header_seconds = header_seconds
        self._in_head = False
        self._head = 0
        """Bytes that came of a head that is not whole, after the piece that it began in, or of a body's trailers."""
        self._brought = False
        """Whether the piece at hand began or ended a head, or brought something of a body."""
        self._speak: asyncio.TimerHandle | None = None
        self._read: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that says nothing is as slow as any other."""
        super().connection_made(Cork(transport, self.loop))  # type: ignore[arg-type]
        with contextlib.suppress(OSError, AttributeError):  # not a TCP socket, or not Linux
            # Also for the last bytes of a closed connection, which no timer of ours sees.
            sock: socket.socket = transport.get_extra_info("socket")
            # asyncio does this only for sockets that say they are TCP, and those of a listener made elsewhere say 0:
            # head and body are two writes, and without it the second waits 40 ms for the first one's ACK.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(READER * 1000))
        self._await_request()

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the transport lays what comes; asyncio asks for it as a `BufferedProtocol`."""
        return self._arrivals

    def buffer_updated(self, nbytes: int) -> None:
        """So much came. Nobody keeps the buffer: the parser copies what it hands on."""
        self.data_received(memoryview(self._arrivals)[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """The timer is not wound up again by each byte: the whole head of a request must come in time."""
        if self.transport.is_closing():
            return  # refused: what still comes is not read
        self._brought = False
        super().data_received(data)  # type: ignore[arg-type]
        if not self._brought and not self.transport.is_closing():
            # Of a head, or of what may stand around a chunked body: its trailers, and extensions of a chunk.
            self._head += len(data)
            if self._head > MAX_HEADERS:
                self._refuse()
        if self.transport.is_closing():
            self._stop_timers()
        elif self._owes_request():
            self._await_request()
        elif self._speak:
            self._speak.cancel()
            self._speak = None

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        self._in_head, self._head, self._brought = True, 0, True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head. The parser tells those after a chunked body too: nobody reads them, none is kept."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole, and measured; what came before is only counted so that it does not grow for ever."""
        self._in_head, self._head, self._brought = False, 0, True
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEADERS:
            self._refuse()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """The next bytes of a body, unless its request was refused.

        uvicorn adds them to a bytearray and copies that for whoever asks. What comes while nothing waits, as nearly
        everything of a large body does, is handed on as it is.
        """
        self._head, self._brought = 0, True
        if not self.cycle:
            return
        waiting: bytes | bytearray = self.cycle.body
        if not waiting:
            self.cycle.body, body = body, b""  # type: ignore[assignment]
        elif isinstance(waiting, bytes):
            self.cycle.body = bytearray(waiting)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole, unless it was refused."""
        if self.cycle:
            super().on_message_complete()

    def _refuse(self) -> None:
        if not (self.cycle and not self.cycle.response_complete):  # an answer under way is not cut into
            self.transport.write(_TOO_LARGE)
        self.transport.close()

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
        """Whether no request is worked on: what comes is part of a head, or of a body that was answered already."""
        return self.cycle is None or self.cycle.response_complete

    def _await_request(self) -> None:
        self._speak = self._speak or self.loop.call_later(self._header_seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._speak = None
        if self.transport.is_closing() or not self._owes_request():
            return
        if self._in_head:
            self.transport.write(_TOO_SLOW)
        self.transport.close()

    def _stop_timers(self) -> None:
        for timer in (self._speak, self._read):
            if timer:
                timer.cancel()
        self._speak = self._read = None


def patient(header_seconds: float) -> Any:
    """A protocol for uvicorn's `http` setting."""
    # One buffer for all connections: what is read from one is dealt with before another is read from.
    return partial(PatientProtocol, header_seconds=header_seconds, arrivals=bytearray(PIECE))
