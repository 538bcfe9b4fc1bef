"""Photos that come."""

from __future__ import annotations

from httpd.openapi.operation import INTAKE, ONCE, PREFER, answer, body, call
from httpd.openapi.schema import FLAG, PRIORITY, QUALITY, TEXT, YES_NO, Spec, obj, or_null, ref
from spool.job import MAX_NAME, MAX_SEED

_WISHES: Spec = {
    "remove_bg": {**FLAG, "description": "default: true"},
    "quality": QUALITY,
    "enhanced_detail": {**FLAG, "description": "true means quality ultra"},
    "quality_preset": {**QUALITY, "description": "older name of quality"},
    "enable_pbr": {"enum": ["true"], "description": "of older clients; false is refused"},
    "seed": {"type": "integer", "minimum": 0, "maximum": MAX_SEED, "description": "default: 0"},
    "allow_lower": {
        **FLAG,
        "description": "make the model with lower settings where the GPU's memory is too small for "
        "the quality's, and tell so in notes; default: false",
    },
    "start": {**FLAG, "description": "make views and model at once; default: false"},
    "callback_url": {
        "type": "string",
        "format": "uri",
        "description": "told when the job ends (see Webhooks)",
    },
    "priority": {
        **PRIORITY,
        "description": "who goes first; high needs a key with the role admin; default: normal",
    },
    "tags": {**TEXT, "description": "words to find the job by, with commas: at most 20 of 50 characters"},
    "name": {
        **TEXT,
        "maxLength": MAX_NAME,
        "description": "what the job is called; default: the file's name",
    },
}
"""What an upload may ask for besides."""

PATHS: Spec = {
    "/api/upload": {
        "post": call(
            "Upload a photo",
            {
                201: answer(
                    "the new job, or the one this Idempotency-Key made", ref("Status"), Location="its status"
                )
            },
            INTAKE,
            parameters=(ONCE, PREFER),
            requestBody=body("multipart/form-data", "Upload"),
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
            INTAKE,
            parameters=(ONCE, PREFER),
            requestBody=body("multipart/form-data", "Batch"),
        )
    },
}

SCHEMAS: Spec = {
    "Upload": {
        **obj(
            "file",
            file={
                "type": "string",
                "format": "binary",
                "description": "the photo; older clients say `files`",
            },
            **_WISHES,
        ),
        "additionalProperties": False,
    },
    "Batch": {
        **obj(
            "file",
            file={
                "type": "array",
                "items": {"type": "string", "format": "binary"},
                "minItems": 1,
                "maxItems": 100,
                "description": "the photos, each in a part of its own; older clients say `files`",
            },
            **{name: told for name, told in _WISHES.items() if name != "name"},
            name={**_WISHES["name"], "description": "only where the batch is one photo"},
        ),
        "additionalProperties": False,
    },
    "Batched": obj(
        "files",
        files={"type": "array", "items": ref("BatchedFile"), "description": "in the order of the form"},
        detail={**TEXT, "description": "only where none became a job"},
    ),
    "BatchedFile": obj(
        "file code job_id error replayed",
        file={**TEXT, "description": "what the sender called it"},
        code={"type": "integer", "description": "what /api/upload would have answered: 201, 415, 429, ..."},
        job_id=or_null("string"),
        error=or_null("string"),
        replayed={**YES_NO, "description": "the Idempotency-Key had made this job before"},
    ),
    "Priority": {**obj("priority", priority=PRIORITY), "additionalProperties": False},
}
