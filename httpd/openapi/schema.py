"""The words of JSON schemas, and those that several subjects use."""

from __future__ import annotations

from typing import Any

from spool import layout
from spool.ids import PATTERN
from spool.priority import PRIORITIES

Spec = dict[str, Any]


def obj(required: str, **properties: Any) -> Spec:
    """An object schema; `required` names its fields in one string."""
    return {"type": "object", "required": required.split(), "properties": properties}


def or_null(kind: str, **more: Any) -> Spec:
    """A type, or null."""
    return {"type": [kind, "null"], **more}


def ref(name: str) -> Spec:
    """A schema of the document, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


STATES: Spec = {"enum": ["pending", "processing", "completed", "failed"]}
TEXT: Spec = {"type": "string"}
NUMBER: Spec = {"type": "number"}
COUNT: Spec = {"type": "integer", "minimum": 0}
YES_NO: Spec = {"type": "boolean"}
FLAG: Spec = {"enum": ["true", "false"]}
QUALITY: Spec = {"enum": list(layout.QUALITIES), "description": "default: high"}
PRIORITY: Spec = {"enum": list(PRIORITIES)}
ID: Spec = {"type": "string", "pattern": PATTERN}
PERCENT: Spec = {"type": "number", "minimum": 0, "maximum": 100}

SCHEMAS: Spec = {
    "Problem": {
        **obj("detail", detail=TEXT),
        "description": "What went wrong, and what to do, in a sentence.",
    },
}
