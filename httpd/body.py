"""A request's body as it arrives: counted, and cut off when it is too large (413) or too slow (408)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request

from httpd.digits import natural
from httpd.ledger import Arrival
from spool.settings import in_units

SLOWEST = 8 << 10
"""Bytes a second that a body must make on average, beyond the first `patience` seconds."""


LARGEST = 2**63 - 1
"""More bytes than any file may have."""


async def chunks(
    request: Request, limit: int, patience: float, arrival: Arrival | None = None
) -> AsyncIterator[bytes]:
    """The body in pieces; never more than `limit` bytes, never a pause of more than `patience` seconds.

    A body that trickles, a byte before each pause ends, is cut off too: it falls below `SLOWEST`.
    What came counts for `arrival`. Raises HTTPException, and ClientDisconnect where the client goes away.
    """
    refuse_announced(request, limit)
    began = anyio.current_time()
    total = 0
    stream = request.stream().__aiter__()
    while True:
        left = began + patience + total / SLOWEST - anyio.current_time()
        try:
            with anyio.fail_after(max(0.0, min(patience, left))):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise HTTPException(
                408,
                f"the body came too slowly (no pause over {patience:g} s, {SLOWEST} bytes a second); send it again",
                {"Connection": "close"},
            ) from None
        total += len(chunk)
        if total > limit:
            raise too_large(limit)
        if arrival:
            arrival.came(total)
        if chunk:
            yield chunk


def refuse_announced(request: Request, limit: int) -> None:
    """Refuse by what Content-Length says, before a byte is read. Raises HTTPException."""
    if announced(request) > limit:
        raise too_large(limit)


def announced(request: Request) -> int:
    """Bytes that Content-Length says will come, 0 where it says nothing. Raises HTTPException (400)."""
    size = natural(request.headers.get("content-length", "0"), LARGEST)
    if size is None:
        raise HTTPException(400, "Content-Length is not a number of bytes; leave it to your HTTP library")
    return size


def too_large(limit: int) -> HTTPException:
    """The answer to a body of more than `limit` bytes."""
    return HTTPException(413, f"the body is larger than {in_units(limit)}; send a smaller picture")
