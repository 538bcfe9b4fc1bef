"""What the API takes and gives, as JSON schemas: the components of the document in openapi.py."""

from __future__ import annotations

from typing import Any

from spool import layout
from spool.ids import PATTERN
from spool.job import MAX_NAME, MAX_SEED
from spool.priority import PRIORITIES

Spec = dict[str, Any]


def obj(required: str, **properties: Any) -> Spec:
    """An object schema; `required` names its fields in one string."""
    return {"type": "object", "required": required.split(), "properties": properties}


def or_null(kind: str, **more: Any) -> Spec:
    return {"type": [kind, "null"], **more}


def ref(name: str) -> Spec:
    return {"$ref": f"#/components/schemas/{name}"}


STATES = {"enum": ["pending", "processing", "completed", "failed"]}
TEXT: Spec = {"type": "string"}
NUMBER: Spec = {"type": "number"}
COUNT: Spec = {"type": "integer", "minimum": 0}
YES_NO: Spec = {"type": "boolean"}
FLAG: Spec = {"enum": ["true", "false"]}
QUALITY: Spec = {"enum": list(layout.QUALITIES), "description": "default: high"}

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
        "enum": list(PRIORITIES),
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

_IN_QUEUE: Spec = {
    "job_id": {"type": "string", "pattern": PATTERN},
    "name": TEXT,
    "quality": QUALITY,
    "priority": {"enum": list(PRIORITIES)},
    "tags": {"type": "array", "items": TEXT},
    "estimate": ref("Estimate"),
    "stage": TEXT,
}
_SECONDS: Spec = {"type": "number", "minimum": 0}

SCHEMAS: Spec = {
    "Problem": {
        **obj("detail", detail=TEXT),
        "description": "What went wrong, and what to do, in a sentence.",
    },
    "Status": obj(
        "job_id status progress stage error message queue_position estimate engine timings notes attempts name "
        "quality seed",
        job_id={"type": "string", "pattern": PATTERN},
        status=STATES,
        progress={"type": "number", "minimum": 0, "maximum": 100},
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
        source={"enum": ["http", "inbox", "cli"]},
        quality=QUALITY,
        priority={"enum": list(PRIORITIES)},
        tags={"type": "array", "items": TEXT},
        seed=COUNT,
        created_at={"type": "string", "format": "date-time"},
        has_views=YES_NO,
        has_model=YES_NO,
        mesh=or_null("object"),
    ),
    "Estimate": {
        **obj("start finish", start=_SECONDS, finish=_SECONDS),
        "type": ["object", "null"],
        "description": "seconds from now until a worker takes the job (0 while it runs) and until it is done, "
        "learned from what this machine finished lately; null where there is nothing to go by, or it rests",
    },
    "Summary": obj(
        "job_id status stage progress has_model created_at name quality error",
        job_id={"type": "string", "pattern": PATTERN},
        status=STATES,
        stage=TEXT,
        progress={"type": "number", "minimum": 0, "maximum": 100},
        has_model=YES_NO,
        created_at={"type": "string", "format": "date-time"},
        name=TEXT,
        quality=QUALITY,
        tags={"type": "array", "items": TEXT},
        error=or_null("string"),
    ),
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
        "status supervisor engine accepting_uploads notes paused devices queue worker_id",
        status={"enum": ["ok", "degraded"]},
        supervisor=YES_NO,
        engine=or_null("string"),
        background_model=or_null("string"),
        accepting_uploads=YES_NO,
        notes={"type": "array", "items": TEXT},
        paused=ref("Pause"),
        devices={"type": "array", "items": ref("Device")},
        queue={"type": "object", "additionalProperties": COUNT},
        worker_id=TEXT,
    ),
    "Ready": obj("ready reasons", ready=YES_NO, reasons={"type": "array", "items": TEXT}),
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
    "Priority": {**obj("priority", priority={"enum": list(PRIORITIES)}), "additionalProperties": False},
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
        **_IN_QUEUE,
        position={"type": "integer", "minimum": 1, "description": "among those that wait for this stage"},
    ),
    "AtWork": obj(
        "job_id name quality priority tags estimate stage worker progress",
        **_IN_QUEUE,
        worker=TEXT,
        progress={"type": "number", "minimum": 0, "maximum": 100},
    ),
    "Paused": obj("paused", paused=ref("Pause")),
    "GenerationRequest": {
        **obj(
            "image",
            image={"type": "string", "contentEncoding": "base64", "description": "the photo"},
            texture=or_null("boolean", description="default: false"),
            remove_background=or_null("boolean", description="default: true"),
            seed=or_null("integer", minimum=0, maximum=MAX_SEED, description="default: 1234"),
            octree_resolution=or_null(
                "integer", minimum=16, maximum=1024, description="chooses the preset; default: 256"
            ),
            num_inference_steps=or_null("integer", minimum=1, maximum=1000, description="without effect"),
            guidance_scale=or_null("number", minimum=0, maximum=100, description="without effect"),
            num_chunks=or_null("integer", minimum=1, maximum=10**9, description="without effect"),
            face_count=or_null("integer", minimum=1, maximum=10**9, description="without effect"),
            mc_algo={"description": "without effect"},
            type={"enum": ["glb", None]},
            text={"description": "without effect: models are made of photos"},
            prompt={"description": "without effect: models are made of photos"},
            mesh={"type": "null", "description": "refused"},
        ),
        "additionalProperties": False,
    },
    "Accepted": obj(
        "uid quality not_used",
        uid={"type": "string", "pattern": PATTERN},
        quality=QUALITY,
        not_used={"type": "array", "items": TEXT, "description": "fields without effect"},
    ),
    "TencentError": obj("text error_code detail", text=TEXT, error_code={"const": 1}, detail=TEXT),
    "TencentStatus": obj(
        "status",
        status={"enum": ["processing", "texturing", "completed", "error"]},
        model_base64={"type": "string", "contentEncoding": "base64"},
        message=TEXT,
    ),
}
