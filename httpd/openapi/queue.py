"""What runs and waits, and whether anything is begun."""

from __future__ import annotations

from httpd.openapi.operation import BODY, JSON, KNOWN, UNCHANGED, answer, body, call
from httpd.openapi.schema import COUNT, ID, PERCENT, PRIORITY, QUALITY, TEXT, YES_NO, Spec, obj, or_null, ref

IN_QUEUE: Spec = {
    "job_id": ID,
    "name": TEXT,
    "quality": QUALITY,
    "priority": PRIORITY,
    "tags": {"type": "array", "items": TEXT},
    "estimate": ref("Estimate"),
    "stage": TEXT,
}

PATHS: Spec = {
    "/api/queue": {
        "get": call(
            "What runs and what waits, in order, and how long it will take",
            {200: answer("the queue", ref("Queue")), 304: UNCHANGED},
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
            BODY,
            requestBody=body(JSON, "Reason", required=False),
        )
    },
    "/api/queue/resume": {
        "post": call(
            "Begin jobs again",
            {200: answer("it is not paused", ref("Paused"))},
            BODY,
            requestBody=body(JSON, "Nothing", required=False),
        )
    },
}

SCHEMAS: Spec = {
    "Reason": {
        **obj("", reason={**TEXT, "maxLength": 500, "description": "told to everybody who waits"}),
        "additionalProperties": False,
    },
    "Nothing": {"type": "object", "additionalProperties": False},
    "Pause": {
        **obj(
            "since by reason",
            since={**TEXT, "description": "ISO 8601, UTC"},
            by={**TEXT, "description": "whose key, or `http` or `cli`"},
            reason=TEXT,
        ),
        "type": ["object", "null"],
        "description": "null where the queue is not paused",
    },
    "Queue": obj(
        "paused counts running waiting all_done may",
        paused=ref("Pause"),
        counts={
            "type": "object",
            "additionalProperties": COUNT,
            "description": "jobs that wait, by stage, and those that run and are held",
        },
        running={"type": "array", "items": ref("AtWork")},
        waiting={
            "type": "array",
            "items": ref("Waiting"),
            "description": "the first of all, by priority and age",
        },
        all_done=or_null("number", minimum=0, description="seconds until all of these are done"),
        may=obj("prioritise_high pause", prioritise_high=YES_NO, pause=YES_NO),
    ),
    "Waiting": obj(
        "job_id name quality priority tags estimate stage position",
        **IN_QUEUE,
        position={"type": "integer", "minimum": 1, "description": "among those that wait for this stage"},
    ),
    "AtWork": obj(
        "job_id name quality priority tags estimate stage worker progress",
        **IN_QUEUE,
        worker=TEXT,
        progress=PERCENT,
    ),
    "Paused": obj("paused", paused=ref("Pause")),
}
