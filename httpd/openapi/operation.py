"""Operations: what a call takes, what it answers, and the problems it may meet."""

from __future__ import annotations

from typing import Any

from httpd.openapi.schema import ID, TEXT, Spec, ref
from spool.export import DEFAULTS, OPTIONS

JSON = "application/json"


def answer(text: str, schema: Spec | None = None, kind: str = JSON, **headers: str) -> Spec:
    """One response: its meaning, its body if it has one, its headers."""
    made: Spec = {"description": text}
    if schema is not None:
        made["content"] = {kind: {"schema": schema}}
    if headers:
        made["headers"] = {
            name.replace("_", "-"): {"description": what, "schema": {"type": "string"}}
            for name, what in headers.items()
        }
    return made


PROBLEMS = {
    400: "the request cannot be read, or names a strange Host",
    401: "a key is needed, or this one is not known",
    403: "this key, or pages of this origin, may not do that",
    404: "no such job, or not (yet) this part of it",
    408: "the body came too slowly",
    409: "the job is not in a state that allows this",
    413: "the body is too large",
    415: "not a kind of content that is read here",
    422: "a field is not understood; the text names it",
    429: "too much for one caller; Retry-After says when to come back",
    503: "not now: the queue is full; Retry-After says when to come back",
    507: "the disk is full",
}
BODY = (408, 413, 415, 422)
"""What may be wrong with a body ..."""
INTAKE = (400, 408, 413, 415, 422, 429, 503, 507)
"""... and what else may keep a photo from becoming a job."""


def header(name: str, text: str, **schema: Any) -> Spec:
    """A header that a call heeds."""
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string", **schema}}


KNOWN = header("If-None-Match", "an ETag; 304 where it still holds")
ONCE = header(
    "Idempotency-Key", "the same key, the same job, for a day", minLength=1, maxLength=255, pattern="^[!-~]+$"
)
PREFER = header("Prefer", "respond-async; wait=SECONDS")
LAST = header("Last-Event-ID", "the last event that was received")
JOB: Spec = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "description": "a job's id (UUIDv7)",
    "schema": ID,
}


def call(
    text: str,
    answers: dict[int, Spec],
    problems: tuple[int, ...] = (),
    *,
    parameters: tuple[Spec, ...] = (),
    **more: Any,
) -> Spec:
    """One operation; the problems are added to its answers, and those every call may meet."""
    open_to_all = more.pop("open_to_all", False)
    every = {400, *problems} | (set() if open_to_all else {401, 403})
    made = {str(code): told for code, told in answers.items()}
    for code in sorted(every):
        made.setdefault(str(code), answer(PROBLEMS[code], ref("Problem")))
    spec: Spec = {"summary": text, "responses": made, **more}
    if open_to_all:
        spec["security"] = []
    if parameters:
        spec["parameters"] = list(parameters)
    return spec


def options(*products: str) -> tuple[Spec, ...]:
    """The options of these exports, as query parameters; which of them a product takes is told where it does not."""
    names = dict.fromkeys(option for product in products for option in DEFAULTS[product])
    return tuple(
        {"name": name, "in": "query", "description": OPTIONS[name][1], "schema": {"type": "string"}}
        for name in names
    )


def status(text: str) -> Spec:
    """The answer that is a job's status object."""
    return answer(text, ref("Status"))


def ask(text: str, *problems: int) -> Spec:
    """A path at which something is asked of a job."""
    return {"post": call(text, {202: status("asked")}, (404, 409, *problems), parameters=(JOB, PREFER))}


def body(kind: str, schema: str, *, required: bool = True) -> Spec:
    """What a call takes: a content type, and the name of its schema."""
    return {"required": required, "content": {kind: {"schema": ref(schema)}}}


UNCHANGED = answer("unchanged")
STREAM = answer("a stream of events", TEXT, "text/event-stream")
BYTES: Spec = {"type": "string", "format": "binary"}
