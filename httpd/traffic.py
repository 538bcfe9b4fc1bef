"""Every request gets an id, a line in the log and a place in the counts: one pure ASGI layer around all others."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
import time
from functools import cache
from typing import Any
from urllib.parse import quote

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spool.logs import REQUEST

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
_QUIET = ("GET", "HEAD", "OPTIONS")
_IN_PATHS = "/:@!$&'()*+,;=~"
"""What stands in a path as it is (RFC 3986)."""
_PROCESS = secrets.token_hex(4)
_numbers = itertools.count(secrets.randbits(32))
"""Ids of requests: no secret, but not the same twice, in this process or another."""
BOUNDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)


class Counts:
    """This process's HTTP numbers. With several processes, each has its own, as Prometheus expects."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "protoscale_http_requests",
            "Requests answered.",
            ("method", "call", "code"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "protoscale_http_request_seconds",
            "Time to the end of the answer; streams are not counted.",
            ("call",),
            buckets=BOUNDS,
            registry=self.registry,
        )
        # Looking a label up costs more than counting; there are a few dozen.
        self.answered = cache(self.requests.labels)
        self.took = cache(self.seconds.labels)


class Traffic:
    """Counts and logs, and gives every answer an X-Request-ID: the client's own, where it is a plain one."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self.app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        token = REQUEST.set(request_id)
        began = time.perf_counter()
        code, is_stream = 0, False

        async def tell(message: Message) -> None:
            nonlocal code, is_stream
            if message["type"] == "http.response.start":
                code = message["status"]
                headers = [(b"x-request-id", request_id.encode())]
                for header in message["headers"]:
                    name, value = header
                    if name == b"content-type":
                        is_stream = value.startswith(b"text/event-stream")
                    if name != b"x-request-id":
                        headers.append(header)
                message["headers"] = headers
            await send(message)

        try:
            await self.app(scope, receive, tell)
        finally:
            self._count(scope, code, time.perf_counter() - began, is_stream)
            REQUEST.reset(token)

    def _count(self, scope: Scope, code: int, seconds: float, is_stream: bool) -> None:
        """`code` is 0 where nothing was answered."""
        method = scope["method"] if scope["method"] in _METHODS else "other"
        call = _call(scope)
        self._counts.answered(method, call, code or "none").inc()
        if not is_stream:
            self._counts.took(call).observe(seconds)
        # Clients poll: what only reads, and succeeds, is worth a line only to who looks for it.
        level = logging.DEBUG if method in _QUIET and code < 400 else logging.INFO
        if log.isEnabledFor(level):
            # As it travels: the path of a stranger must not say `job <id>`, by which the journal files a line.
            path = quote(scope["path"], _IN_PATHS, errors="replace")
            facts = {
                "method": method,
                "path": path,
                "status": code,
                "seconds": round(seconds, 4),
            }
            log.log(level, "%s %s %s", method, path, code or "(gone)", extra=facts)


def _request_id(scope: Scope) -> str:
    given = ""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value.decode("latin-1")
            break
    return given if _ID.fullmatch(given) else f"{_PROCESS}{next(_numbers) & 0xFFFFFFFF:08x}"


def _call(scope: Scope) -> str:
    """The route's function: few names, whatever paths people try."""
    endpoint = scope.get("endpoint")
    return _name_of(endpoint) if endpoint else "none"


@cache
def _name_of(endpoint: Any) -> str:
    return f"{endpoint.__module__.rpartition('.')[2]}.{endpoint.__name__}"
