"""The service itself: its page, its documents, how it is."""

from __future__ import annotations

from httpd.openapi.operation import BYTES, JSON, UNCHANGED, answer, call
from httpd.openapi.schema import COUNT, TEXT, YES_NO, Spec, obj, or_null, ref

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
            {200: answer("the file", BYTES, "*/*"), 304: UNCHANGED},
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
}

SCHEMAS: Spec = {
    "Device": obj(
        "name device node role stages state job stage memory utilisation jobs_done busy_share restarts",
        name=TEXT,
        device=TEXT,
        node=TEXT,
        role=TEXT,
        stages={"type": "array", "items": TEXT},
        state=TEXT,
        job=or_null("string"),
        stage=or_null("string"),
        memory={"type": "object"},
        utilisation=or_null("number"),
        jobs_done=COUNT,
        busy_share={"type": "number", "minimum": 0, "maximum": 1},
        restarts=COUNT,
    ),
    "Devices": obj("devices", devices={"type": "array", "items": ref("Device")}),
    "Health": obj(
        "status supervisor engine accepting_uploads max_upload_bytes notes paused devices queue worker_id",
        status={"enum": ["ok", "degraded"]},
        supervisor=YES_NO,
        engine=or_null("string"),
        background_model=or_null("string"),
        accepting_uploads=YES_NO,
        max_upload_bytes={**COUNT, "description": "the largest body of one upload; more is 413"},
        notes={"type": "array", "items": TEXT},
        paused=ref("Pause"),
        devices={"type": "array", "items": ref("Device")},
        queue={"type": "object", "additionalProperties": COUNT},
        worker_id=TEXT,
    ),
    "Ready": obj("ready reasons", ready=YES_NO, reasons={"type": "array", "items": TEXT}),
}
