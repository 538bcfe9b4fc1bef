"""One packet for an answer: what is written in the same turn of the event loop goes out together.

uvicorn writes the head of an answer and its body one by one. For a small answer the second system call, the second
packet and the client's second wake-up cost more than to put the two together. So a small piece is held back until the
next one comes, or until the turn is over: nobody waits for anything that was not ready.
"""

from __future__ import annotations

import asyncio
from typing import Any

SMALL = 16 << 10
"""Bytes. Larger pieces are not worth a copy."""


class Cork:
    """A transport that holds back one small piece at most, and is in all else the one that it wraps."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self._turn: asyncio.Handle | None = None
        """The end of the turn, where something waits for it."""
        self.is_closing = transport.is_closing  # for each request, quicker than by way of __getattr__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it with what is held back, or hold it back."""
        if self._held:
            data, self._held = self._held + data, b""
        elif len(data) <= SMALL:
            self._held = data
            self._turn = self._turn or self._loop.call_soon(self._over)
            return
        self._transport.write(data)

    def close(self) -> None:
        """Send what is held back, and close."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Drop everything."""
        self._held = b""
        self._transport.abort()

    def _over(self) -> None:
        self._turn = None
        self._flush()

    def _flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)
