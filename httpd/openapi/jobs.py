"""One job or many: how they are, and what is asked of them."""

from __future__ import annotations

from httpd.openapi.operation import (
    BODY,
    JOB,
    JSON,
    KNOWN,
    LAST,
    STREAM,
    UNCHANGED,
    answer,
    ask,
    body,
    call,
    status,
)
from httpd.openapi.schema import (
    COUNT,
    ID,
    NUMBER,
    PERCENT,
    PRIORITY,
    QUALITY,
    STATES,
    TEXT,
    YES_NO,
    Spec,
    obj,
    or_null,
    ref,
)

SECONDS: Spec = {"type": "number", "minimum": 0}

PATHS: Spec = {
    "/api/jobs": {
        "get": call(
            "The jobs, newest first",
            {
                200: answer("a page", {"type": "array", "items": ref("Summary")}, Link="the next page"),
                304: UNCHANGED,
            },
            (422,),
            parameters=(
                {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 500}},
                {"name": "before", "in": "query", "schema": ID},
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
        "get": call("One job", {200: status("how it is"), 304: UNCHANGED}, (404,), parameters=(JOB, KNOWN)),
        "delete": call("Delete a job that rests", {204: answer("gone")}, (404, 409), parameters=(JOB,)),
    },
    "/api/jobs/{job_id}/status": {
        "get": call("One job", {200: status("how it is"), 304: UNCHANGED}, (404,), parameters=(JOB, KNOWN))
    },
    "/api/jobs/{job_id}/generate-multiangle": ask("Make four views and keep the mesh", 503),
    "/api/jobs/{job_id}/generate-3d": ask("Make the model", 503),
    "/api/jobs/{job_id}/cancel": ask("Stop a job"),
    "/api/jobs/{job_id}/retry": ask("Queue a failed job again"),
    "/api/jobs/{job_id}/priority": {
        "post": call(
            "Let a job go before or behind the others of its age",
            {200: status("it does")},
            (404, 409, *BODY),
            parameters=(JOB,),
            requestBody=body(JSON, "Priority"),
        )
    },
    "/api/jobs/{job_id}/events": {
        "get": call(
            "One job's status as it changes, until it ends",
            {200: STREAM, 204: answer("it ended, as you know")},
            (404, 503),
            parameters=(JOB, LAST),
        )
    },
    "/api/events": {
        "get": call(
            "Every job as it changes, and the queue as it is paused and resumed",
            {200: STREAM},
            (422, 503),
            parameters=(LAST,),
        )
    },
}

SCHEMAS: Spec = {
    "Status": obj(
        "job_id status progress stage error message queue_position estimate engine timings notes attempts name "
        "quality seed",
        job_id=ID,
        status=STATES,
        progress=PERCENT,
        stage={
            "type": "string",
            "description": "uploaded, cutout, geometry, texture, finishing, views, intake or done",
        },
        error=or_null("string"),
        message=TEXT,
        queue_position=or_null("integer", minimum=1),
        estimate=ref("Estimate"),
        engine=or_null("string"),
        timings={"type": "object", "additionalProperties": NUMBER, "description": "seconds per stage"},
        notes={"type": "array", "items": TEXT},
        attempts={"type": "object", "additionalProperties": COUNT},
        worker=or_null("string"),
        name=TEXT,
        source={"enum": ["http", "inbox", "cli", "lost"]},
        quality=QUALITY,
        priority=PRIORITY,
        tags={"type": "array", "items": TEXT},
        seed=COUNT,
        created_at={"type": "string", "format": "date-time"},
        has_views=YES_NO,
        has_model=YES_NO,
        mesh=or_null("object"),
    ),
    "Estimate": {
        **obj("start finish", start=SECONDS, finish=SECONDS),
        "type": ["object", "null"],
        "description": "seconds from now until a worker takes the job (0 while it runs) and until it is done, "
        "learned from what this machine finished lately; null where there is nothing to go by, or it rests",
    },
    "Summary": obj(
        "job_id status stage progress has_model created_at name quality error",
        job_id=ID,
        status=STATES,
        stage=TEXT,
        progress=PERCENT,
        has_model=YES_NO,
        created_at={"type": "string", "format": "date-time"},
        name=TEXT,
        quality=QUALITY,
        tags={"type": "array", "items": TEXT},
        error=or_null("string"),
    ),
}
