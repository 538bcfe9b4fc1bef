"""Answers that spare work: 304 for what the client has, and what it prefers (RFC 7240, RFC 9110)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""A value as the text of JSON that is sent."""


class Answer(Response):
    """A JSON body and its ETag: sent as 200, or as 304 to who has this very version.

    One object serves every request for it, so nothing is added to it on the way.
    """

    def __init__(self, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        # Not by way of Response.__init__, which finds out for each answer what is the same for all of these.
        self.status_code = 200
        self.background = None
        self.body = content
        # Weak: the same value may travel gzipped or not.
        self.etag = f'W/"{hashlib.sha256(content).hexdigest()[:20]}"'
        self._known = [
            (b"etag", self.etag.encode()),
            (b"cache-control", b"no-cache"),
            *((name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()),
        ]
        self.raw_headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
            *self._known,
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As 200 or 304. The headers are a copy each time: some are added on the way (CORS)."""
        known = next((value for name, value in scope["headers"] if name == b"if-none-match"), None)
        is_new = known is None or not _names(known.decode("latin-1"), self.etag)
        status, headers = (200, [*self.raw_headers]) if is_new else (304, [*self._known])
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body if is_new else b""})


def tagged(value: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """`value` as JSON with its ETag."""
    return Answer(encode(value).encode(), headers)


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has this version already (If-None-Match compares weakly)."""
    return _names(request.headers.get("if-none-match", ""), etag)


def _names(known: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
    return known.strip() == "*" or etag.removeprefix("W/") in tags


def prefers(request: Request, preference: str) -> str | None:
    """The value of a preference in the Prefer header, empty for one without; None where it is not there."""
    for given in ",".join(request.headers.getlist("prefer")).split(","):
        name, _, value = given.partition(";")[0].partition("=")
        if name.strip().lower() == preference:
            return value.strip().strip('"')
    return None


def applied(request: Request) -> dict[str, str]:
    """Headers for an answer that came before the work was done, as it always does, where that was asked for."""
    return {"Preference-Applied": "respond-async"} if prefers(request, "respond-async") is not None else {}
