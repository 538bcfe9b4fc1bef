"""What the API takes and gives, as JSON schemas: the components of the document in openapi.py."""

from __future__ import annotations

from typing import Any

from spool import layout
from spool.ids import PATTERN
from spool.job import MAX_SEED

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

SCHEMAS: Spec = {
    "Problem": {
        **obj("detail", detail=TEXT),
        "description": "What went wrong, and what to do, in a sentence.",
    },
    "Status": obj(
        "job_id status progress stage error message queue_position engine timings notes attempts name quality seed",
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
        engine=or_null("string"),
        timings={"type": "object", "additionalProperties": NUMBER, "description": "seconds per stage"},
        notes={"type": "array", "items": TEXT},
        attempts={"type": "object", "additionalProperties": COUNT},
        worker=or_null("string"),
        name=TEXT,
        source={"enum": ["http", "inbox", "cli"]},
        quality=QUALITY,
        seed=COUNT,
        created_at={"type": "string", "format": "date-time"},
        has_views=YES_NO,
        has_model=YES_NO,
        mesh=or_null("object"),
    ),
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
        "status supervisor engine accepting_uploads notes devices queue worker_id",
        status={"enum": ["ok", "degraded"]},
        supervisor=YES_NO,
        engine=or_null("string"),
        background_model=or_null("string"),
        accepting_uploads=YES_NO,
        notes={"type": "array", "items": TEXT},
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
            remove_bg={**FLAG, "description": "default: true"},
            quality=QUALITY,
            enhanced_detail={**FLAG, "description": "true means quality ultra"},
            quality_preset={**QUALITY, "description": "older name of quality"},
            enable_pbr={"enum": ["true"], "description": "of older clients; false is refused"},
            seed={"type": "integer", "minimum": 0, "maximum": MAX_SEED, "description": "default: 0"},
            allow_lower={
                **FLAG,
                "description": "make the model with lower settings where the GPU's memory is too small for "
                "the quality's, and tell so in notes; default: false",
            },
            start={**FLAG, "description": "make views and model at once; default: false"},
            callback_url={
                "type": "string",
                "format": "uri",
                "description": "told when the job ends (see Webhooks)",
            },
        ),
        "additionalProperties": False,
    },
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
