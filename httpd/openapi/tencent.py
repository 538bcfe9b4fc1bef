"""Tencent's API, for the clients that speak it."""

from __future__ import annotations

from httpd.openapi.operation import BYTES, INTAKE, JOB, JSON, ONCE, PREFER, answer, body, call
from httpd.openapi.schema import ID, QUALITY, TEXT, Spec, obj, or_null, ref
from spool.job import MAX_SEED

_TENCENT: Spec = {
    "requestBody": body(JSON, "GenerationRequest"),
    "tags": ["tencent"],
    "parameters": [ONCE, PREFER],
}

PATHS: Spec = {
    "/generate": {
        "post": call(
            "Make a model and wait for it",
            {
                200: answer("the model", BYTES, "model/gltf-binary"),
                202: answer(
                    "queued: the client did not want to wait", ref("Accepted"), Location="its status"
                ),
                404: answer("the job failed", ref("TencentError")),
            },
            INTAKE,
            **_TENCENT,
        )
    },
    "/send": {
        "post": call(
            "Queue a photo",
            {200: answer("queued", ref("Accepted"), Location="its status")},
            INTAKE,
            **_TENCENT,
        )
    },
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

SCHEMAS: Spec = {
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
        uid=ID,
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
