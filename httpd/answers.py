"""Answers that spare work: 304 for what the client has, and what it prefers (RFC 7240, RFC 9110)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""A value as the text of JSON that is sent."""


class Answer:
    """A JSON body and its ETag: sent as 200, or as 304 to who has this very version.

    One object may serve many requests, so nothing is added to it on the way: each is sent headers of its own.
    """

    __slots__ = ("_more", "body", "etag")

    def __init__(self, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.body = body
        # Weak: the same value may travel gzipped or not.
        self.etag = f'W/"{hashlib.sha256(body).hexdigest()[:20]}"'
        self._more = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an application of ASGI."""
        headers = [(b"etag", self.etag.encode()), (b"cache-control", b"no-cache")]
        if self._more:
            headers += [
                (name.lower().encode(), value.encode("latin-1")) for name, value in self._more.items()
            ]
        if self._is_known(scope):
            status, body = 304, b""
        else:
            status, body = 200, self.body
            headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _is_known(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                return _names(value.decode("latin-1"), self.etag)
        return False


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
