"""The whole document."""

from __future__ import annotations

from httpd.openapi import jobs, products, queue, schema, service, tencent, uploads
from httpd.openapi.schema import Spec

PATHS: Spec = {
    **service.PATHS, **uploads.PATHS, **queue.PATHS, **jobs.PATHS, **products.PATHS, **tencent.PATHS
}  # fmt: skip
SCHEMAS: Spec = {
    **schema.SCHEMAS, **jobs.SCHEMAS, **service.SCHEMAS, **uploads.SCHEMAS, **queue.SCHEMAS, **tencent.SCHEMAS
}  # fmt: skip


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
