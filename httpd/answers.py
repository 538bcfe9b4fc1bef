"""Answers that spare work: 304 for what the client has, and what it prefers (RFC 7240, RFC 9110)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Answer:
    """A JSON body and its ETag."""

    content: bytes
    etag: str

    @classmethod
    def of(cls, value: Any) -> Answer:
        """`value`, ready to be sent."""
        content = _json(value).encode()
        # Weak: the same value may travel gzipped or not.
        return cls(content, f'W/"{hashlib.sha256(content).hexdigest()[:20]}"')

    @cached_property
    def response(self) -> Response:
        """It as 200. One object serves every request for it."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}
        return _Again(self.content, 200, headers, "application/json")


class _Again(Response):
    """Sent as often as you like: what is added to the headers on the way (CORS) is added to a copy."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*self.raw_headers]})
        await send({"type": "http.response.body", "body": self.body})


def tagged(request: Request, value: Any, headers: dict[str, str] | None = None) -> Response:
    """200 with `value` as JSON and its ETag, or 304 where the client has this very version."""
    return sent(request, Answer.of(value), headers)


def sent(request: Request, answer: Answer, headers: dict[str, str] | None = None) -> Response:
    """200 with the answer, or 304 where the client has this very version."""
    if not headers and not any(name == b"if-none-match" for name, _ in request.scope["headers"]):
        return answer.response
    headers = {**(headers or {}), "ETag": answer.etag, "Cache-Control": "no-cache"}
    if is_known(request, answer.etag):
        return Response(status_code=304, headers=headers)
    return Response(answer.content, 200, headers, "application/json")


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has this version already (If-None-Match compares weakly)."""
    known = request.headers.get("if-none-match", "")
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
