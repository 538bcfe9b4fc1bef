"""Server-Sent Events: one job's status, or every job's, as it changes (the format: WHATWG HTML, section 9.2).

Events are states, not history: whoever was away is told what is, not what was. `Last-Event-ID` spares a client that
comes back the state it knows already, and tells it of every job that changed meanwhile.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from httpd.digits import natural
from httpd.feed import QUEUE, Feed, Listener, News
from httpd.state import config_of, feed_of, spool_of
from spool.view import COMPLETED, GIVEN_UP

HEARTBEAT = 15.0
"""Seconds after which a silent stream says that it is alive, for the proxies between."""
OVERLAP = 1_000_000_000
"""Nanoseconds that a cursor is set back: clocks are coarse, and a state told twice does no harm."""
LATEST = 2**63 - 1
"""The last nanosecond since 1970 that the kernel tells of a file."""
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_HELLO = b"retry: 2000\n\n"


async def job_events(request: Request) -> Response:
    """200 with a stream of the job's status objects; it ends when the job is completed or failed.

    204, which tells browsers not to come back, where the client knows that end already.
    """
    feed, job_id = _admitted(request), request.path_params["job_id"]
    spool_of(request).find(job_id)
    news = await run_in_threadpool(feed.status, job_id)
    if is_over(news) and request.headers.get("last-event-id") == news.mark:
        return Response(status_code=204, headers=_HEADERS)
    return _stream(request, _one_job(feed, job_id, request.headers.get("last-event-id", "")))


async def events(request: Request) -> Response:
    """200 with a stream of one summary per change of any job, and of whether the queue is paused."""
    feed, last = _admitted(request), request.headers.get("last-event-id", "")
    since = natural(last, LATEST)
    if last and since is None:
        raise HTTPException(422, f"Last-Event-ID {last[:40]!r} is none that this stream gave")
    return _stream(request, _every_job(feed, since))


def _admitted(request: Request) -> Feed:
    feed, limit = feed_of(request), config_of(request).max_streams
    if limit and len(feed) >= limit:
        raise HTTPException(503, f"{limit} streams are open already; poll instead", {"Retry-After": "30"})
    return feed


def _stream(request: Request, content: AsyncIterator[bytes]) -> Response:
    if (
        request.method == "HEAD"
    ):  # a stream without its body would hold the connection for ever, and say nothing
        return Response(headers=_HEADERS, media_type="text/event-stream")
    return StreamingResponse(content, media_type="text/event-stream", headers=_HEADERS)


async def _one_job(feed: Feed, job_id: str, known: str) -> AsyncIterator[bytes]:
    yield _HELLO
    async with feed.listen(job_id) as listener:
        # Read after the feed listens: what changes from here on is news.
        fresh = [await run_in_threadpool(feed.status, job_id)]
        while True:
            for news in fresh:
                if news.mark != known:
                    known = news.mark
                    yield encode("status" if news.told else "deleted", news)
                if is_over(news):
                    return
            fresh = []
            while not fresh:
                if listener.closed:
                    return
                fresh = await _next(listener)
                if not fresh:
                    yield b":\n\n"


async def _every_job(feed: Feed, since: int | None) -> AsyncIterator[bytes]:
    yield _HELLO
    async with feed.listen() as listener:
        # An id from the first moment on: whoever loses the connection before the first change misses nothing.
        yield f"event: open\nid: {time.time_ns()}\ndata: {{}}\n\n".encode()
        fresh = [await feed.queue(), *await feed.since(since - OVERLAP)] if since is not None else []
        while not listener.closed:
            for news in fresh:
                yield encode(QUEUE if news.job_id == QUEUE else "job" if news.told else "deleted", news)
            fresh = await _next(listener)
            if not fresh:
                yield b":\n\n"


async def _next(listener: Listener) -> list[News]:
    """The next changes, or nothing when it is time for a heartbeat (or the end)."""
    with anyio.move_on_after(HEARTBEAT):
        return await listener.news()
    return []


def is_over(news: News) -> bool:
    """Whether nothing more will come of itself."""
    return news.told is None or news.told["status"] in (COMPLETED, GIVEN_UP)


def encode(kind: str, news: News) -> bytes:
    """One event. JSON has no line breaks of its own here, so it is one `data` line."""
    told = {"job_id": news.job_id} if news.told is None else news.told
    return f"event: {kind}\nid: {news.mark}\ndata: {json.dumps(told)}\n\n".encode()
