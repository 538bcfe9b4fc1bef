"""The API in OpenAPI 3.1, written once, here. A test holds it against the routes, both ways, and another has
schemathesis hold the running server against it.
"""

from __future__ import annotations

from typing import Any

from httpd.results import ASSETS
from httpd.schemas import SCHEMAS, TEXT, Spec, ref
from spool.export import DEFAULTS, OPTIONS, REPORT
from spool.ids import PATTERN

JSON = "application/json"
EXPORTS = tuple(name for name in DEFAULTS if name != REPORT)


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


_PROBLEMS = {
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
_BODY = (408, 413, 415, 422)
_INTAKE = (400, 408, 413, 415, 422, 429, 503, 507)


def header(name: str, text: str, **schema: Any) -> Spec:
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
    "schema": {"type": "string", "pattern": PATTERN},
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
        made.setdefault(str(code), answer(_PROBLEMS[code], ref("Problem")))
    spec: Spec = {"summary": text, "responses": made, **more}
    if open_to_all:
        spec["security"] = []
    if parameters:
        spec["parameters"] = list(parameters)
    return spec


def _options(*products: str) -> tuple[Spec, ...]:
    """The options of these exports, as query parameters; which of them a product takes is told where it does not."""
    names = dict.fromkeys(option for product in products for option in DEFAULTS[product])
    return tuple(
        {"name": name, "in": "query", "description": OPTIONS[name][1], "schema": {"type": "string"}}
        for name in names
    )


def _status(text: str) -> Spec:
    return answer(text, ref("Status"))


def _ask(text: str, *problems: int) -> Spec:
    return {"post": call(text, {202: _status("asked")}, (404, 409, *problems), parameters=(JOB, PREFER))}


def _body(kind: str, schema: str, *, required: bool = True) -> Spec:
    return {"required": required, "content": {kind: {"schema": ref(schema)}}}


_UNCHANGED = answer("unchanged")
_STREAM = answer("a stream of events", TEXT, "text/event-stream")
_BYTES: Spec = {"type": "string", "format": "binary"}
_FILE: Spec = {
    "description": "the file",
    "content": {
        "model/gltf-binary": {"schema": _BYTES},
        "image/png": {"schema": _BYTES},
        JSON: {"schema": {}},
        "text/plain": {"schema": TEXT},
    },
    "headers": {
        "ETag": {"schema": TEXT},
        "Content-Disposition": {"schema": TEXT},
        "Accept-Ranges": {"schema": TEXT},
    },
}
_TENCENT: Spec = {
    "requestBody": _body(JSON, "GenerationRequest"),
    "tags": ["tencent"],
    "parameters": [ONCE, PREFER],
}

PATHS: Spec = {
    "/": {
        "get": call(
            "The page for a browser, the entry points for a program",
            {
                200: {
                    "description": "by what Accept asks for",
                    "content": {JSON: {"schema": {"type": "object"}}, "text/html": {"schema": TEXT}},
                }
            },
            open_to_all=True,
        )
    },
    "/page/{file}": {
        "get": call(
            "The page's files",
            {200: answer("the file", _BYTES, "*/*"), 304: _UNCHANGED},
            (404,),
            parameters=({"name": "file", "in": "path", "required": True, "schema": TEXT},),
            open_to_all=True,
        )
    },
    "/health": {
        "get": call("Whether the service works", {200: answer("how it is", ref("Health"))}, open_to_all=True)
    },
    "/ready": {
        "get": call(
            "Whether jobs would be worked on now",
            {200: answer("yes", ref("Ready")), 503: answer("no, and why", ref("Ready"))},
            open_to_all=True,
        )
    },
    "/metrics": {"get": call("Prometheus metrics", {200: answer("exposition format", TEXT, "text/plain")})},
    "/openapi.json": {
        "get": call("This document", {200: answer("OpenAPI 3.1", {"type": "object"})}, open_to_all=True)
    },
    "/docs": {
        "get": call("This document for people", {200: answer("a page", TEXT, "text/html")}, open_to_all=True)
    },
    "/api/upload": {
        "post": call(
            "Upload a photo",
            {
                201: answer(
                    "the new job, or the one this Idempotency-Key made", ref("Status"), Location="its status"
                )
            },
            _INTAKE,
            parameters=(ONCE, PREFER),
            requestBody=_body("multipart/form-data", "Upload"),
        )
    },
    "/api/batch": {
        "post": call(
            "Upload many photos",
            {
                201: answer("each is a job", ref("Batched")),
                207: answer("some are jobs; each of the others says why not", ref("Batched")),
                422: answer(
                    "none became a job, or a field is not understood",
                    {"anyOf": [ref("Batched"), ref("Problem")]},
                ),
            },
            _INTAKE,
            parameters=(ONCE, PREFER),
            requestBody=_body("multipart/form-data", "Batch"),
        )
    },
    "/api/queue": {
        "get": call(
            "What runs and what waits, in order, and how long it will take",
            {200: answer("the queue", ref("Queue")), 304: _UNCHANGED},
            (422,),
            parameters=(
                {
                    "name": "first",
                    "in": "query",
                    "description": "how many of those that wait; default: 20",
                    "schema": {"type": "integer", "minimum": 0, "maximum": 500},
                },
                KNOWN,
            ),
        )
    },
    "/api/queue/pause": {
        "post": call(
            "Begin no more jobs",
            {200: answer("since when", ref("Paused"))},
            _BODY,
            requestBody=_body(JSON, "Reason", required=False),
        )
    },
    "/api/queue/resume": {
        "post": call(
            "Begin jobs again",
            {200: answer("it is not paused", ref("Paused"))},
            _BODY,
            requestBody=_body(JSON, "Nothing", required=False),
        )
    },
    "/api/jobs": {
        "get": call(
            "The jobs, newest first",
            {
                200: answer("a page", {"type": "array", "items": ref("Summary")}, Link="the next page"),
                304: _UNCHANGED,
            },
            (422,),
            parameters=(
                {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 500}},
                {"name": "before", "in": "query", "schema": {"type": "string", "pattern": PATTERN}},
                {
                    "name": "tag",
                    "in": "query",
                    "description": "only jobs with this tag; a page may be short, and Link still lead on",
                    "schema": {"type": "string", "minLength": 1},
                },
                KNOWN,
            ),
        )
    },
    "/api/jobs/metrics/gpu": {"get": call("The devices", {200: answer("one slot each", ref("Devices"))})},
    "/api/jobs/{job_id}": {
        "get": call("One job", {200: _status("how it is"), 304: _UNCHANGED}, (404,), parameters=(JOB, KNOWN)),
        "delete": call("Delete a job that rests", {204: answer("gone")}, (404, 409), parameters=(JOB,)),
    },
    "/api/jobs/{job_id}/status": {
        "get": call("One job", {200: _status("how it is"), 304: _UNCHANGED}, (404,), parameters=(JOB, KNOWN))
    },
    "/api/jobs/{job_id}/generate-multiangle": _ask("Make four views and keep the mesh", 503),
    "/api/jobs/{job_id}/generate-3d": _ask("Make the model", 503),
    "/api/jobs/{job_id}/cancel": _ask("Stop a job"),
    "/api/jobs/{job_id}/retry": _ask("Queue a failed job again"),
    "/api/jobs/{job_id}/priority": {
        "post": call(
            "Let a job go before or behind the others of its age",
            {200: _status("it does")},
            (404, 409, *_BODY),
            parameters=(JOB,),
            requestBody=_body(JSON, "Priority"),
        )
    },
    "/api/jobs/{job_id}/events": {
        "get": call(
            "One job's status as it changes, until it ends",
            {200: _STREAM, 204: answer("it ended, as you know")},
            (404, 503),
            parameters=(JOB, LAST),
        )
    },
    "/api/events": {"get": call("Every job as it changes", {200: _STREAM}, (422, 503), parameters=(LAST,))},
    "/api/jobs/{job_id}/thumbnail": {
        "get": call(
            "A small picture",
            {200: answer("at most 256 x 256 pixels", _BYTES, "image/png"), 304: _UNCHANGED},
            (404, 422),
            parameters=(JOB, KNOWN),
        )
    },
    "/api/jobs/{job_id}/photo": {
        "get": call(
            "The photo, upright and without its metadata",
            {200: answer("at most 1024 x 1024 pixels", _BYTES, "image/png"), 304: _UNCHANGED},
            (404, 422),
            parameters=(JOB, KNOWN),
        )
    },
    "/api/jobs/{job_id}/result/{asset}": {
        "get": call(
            "A product",
            {200: _FILE, 206: _FILE, 304: _UNCHANGED, 416: answer("no such range", TEXT, "text/plain")},
            (404, 422, 503, 507),
            parameters=(
                JOB,
                {"name": "asset", "in": "path", "required": True, "schema": {"enum": [*ASSETS, *EXPORTS]}},
                KNOWN,
                header("Range", "one range of bytes"),
                *_options(*EXPORTS),
            ),
        )
    },
    "/api/jobs/{job_id}/report": {
        "get": call(
            "Whether the model can be printed at a size, and what stands in the way",
            {200: answer("the report", {"type": "object"})},
            (404, 422, 503, 507),
            parameters=(JOB, *_options(REPORT)),
        )
    },
    "/generate": {
        "post": call(
            "Make a model and wait for it",
            {
                200: answer("the model", _BYTES, "model/gltf-binary"),
                202: answer(
                    "queued: the client did not want to wait", ref("Accepted"), Location="its status"
                ),
                404: answer("the job failed", ref("TencentError")),
            },
            _INTAKE,
            **_TENCENT,
        )
    },
    "/send": {"post": call("Queue a photo", {200: answer("queued", ref("Accepted"))}, _INTAKE, **_TENCENT)},
    "/status/{uid}": {
        "get": call(
            "How a queued photo is, and its model",
            {200: answer("state, and the model when it is completed", ref("TencentStatus"))},
            (404,),
            parameters=({**JOB, "name": "uid"},),
            tags=["tencent"],
        )
    },
}


def document(version: str, *, require_key: bool) -> Spec:
    """The whole document, for a server that demands keys or does not."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ProtoScale",
            "version": version,
            "summary": "One photo of an object in, a textured 3D model out.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"bearer": []}] if require_key else [],
        "paths": PATHS,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
