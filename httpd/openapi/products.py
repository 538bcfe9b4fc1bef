"""Files out of a job."""

from __future__ import annotations

from httpd.openapi.operation import BYTES, JOB, JSON, KNOWN, UNCHANGED, answer, call, header, options
from httpd.openapi.schema import TEXT, Spec
from httpd.results import ASSETS
from spool.export import DEFAULTS, REPORT

EXPORTS = tuple(name for name in DEFAULTS if name != REPORT)
FILE: Spec = {
    "description": "the file",
    "content": {
        "model/gltf-binary": {"schema": BYTES},
        "image/png": {"schema": BYTES},
        JSON: {"schema": {}},
        "text/plain": {"schema": TEXT},
    },
    "headers": {
        "ETag": {"schema": TEXT},
        "Content-Disposition": {"schema": TEXT},
        "Accept-Ranges": {"schema": TEXT},
    },
}

PATHS: Spec = {
    "/api/jobs/{job_id}/thumbnail": {
        "get": call(
            "A small picture",
            {200: answer("at most 256 x 256 pixels", BYTES, "image/png"), 304: UNCHANGED},
            (404, 422),
            parameters=(JOB, KNOWN),
        )
    },
    "/api/jobs/{job_id}/photo": {
        "get": call(
            "The photo, upright and without its metadata",
            {200: answer("at most 1024 x 1024 pixels", BYTES, "image/png"), 304: UNCHANGED},
            (404, 422),
            parameters=(JOB, KNOWN),
        )
    },
    "/api/jobs/{job_id}/result/{asset}": {
        "get": call(
            "A product",
            {200: FILE, 206: FILE, 304: UNCHANGED, 416: answer("no such range", TEXT, "text/plain")},
            (404, 422, 503, 507),
            parameters=(
                JOB,
                {"name": "asset", "in": "path", "required": True, "schema": {"enum": [*ASSETS, *EXPORTS]}},
                KNOWN,
                header("Range", "one range of bytes"),
                *options(*EXPORTS),
            ),
            description="Only exports take parameters. Whatever a product does not take is refused (422).",
        )
    },
    "/api/jobs/{job_id}/report": {
        "get": call(
            "Whether the model can be printed at a size, and what stands in the way",
            {200: answer("the report", {"type": "object"})},
            (404, 422, 503, 507),
            parameters=(JOB, *options(REPORT)),
        )
    },
}
