"""/openapi.json for programs, /docs for people: one page of plain HTML made of the document, nothing fetched."""

from __future__ import annotations

from html import escape
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from httpd.openapi.document import document

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
section{border-top:1px solid #ddd;padding:.5rem 0}h2{font-size:1.05rem;margin:.5rem 0}code,pre{font-size:.9em}
.get{color:#06603a}.post{color:#0b4d91}.delete{color:#a11}dt{font-weight:600}dd{margin:0 0 .3rem 1.5rem}
pre{background:#f5f5f5;padding:.6rem;overflow-x:auto}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}section{border-color:#444}pre{background:#262626}
.get{color:#7c9}.post{color:#8bf}.delete{color:#f88}a{color:#8bf}}
"""


async def openapi(request: Request) -> Response:
    """200 with the API's description, OpenAPI 3.1."""
    return JSONResponse(_document(request), headers={"X-Content-Type-Options": "nosniff"})


async def page(request: Request) -> Response:
    """200 with the same for people."""
    return HTMLResponse(render(_document(request), str(request.base_url)), headers=_HEADERS)


def _document(request: Request) -> dict[str, Any]:
    try:
        release = version("protoscale")
    except PackageNotFoundError:  # run from a checkout that was never installed
        release = "0"
    return document(release, require_key=request.app.state.require_key)


def render(spec: dict[str, Any], base: str) -> str:
    """The document as HTML, one section a call."""
    info = spec["info"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['summary'])} "
        f"For programs: <a href=/openapi.json>openapi.json</a>.</p>"
        f"<pre>curl -F file=@photo.jpg -F start=true {escape(base)}api/upload</pre>"
    ]
    for path, methods in spec["paths"].items():
        parts += [_call(spec, path, method, told) for method, told in methods.items()]
    parts.append("<h1>Objects</h1>")
    parts += [
        f"<section id='{escape(name)}'><h2>{escape(name)}</h2><dl>{_fields(schema)}</dl></section>"
        for name, schema in spec["components"]["schemas"].items()
    ]
    return "".join(parts)


def _call(spec: dict[str, Any], path: str, method: str, told: dict[str, Any]) -> str:
    rows = [
        f"<dt><code>{escape(one['name'])}</code> ({one['in']})</dt><dd>{escape(one.get('description', ''))} "
        f"{_kind(one['schema'])}</dd>"
        for one in told.get("parameters", ())
    ]
    for kind, content in told.get("requestBody", {}).get("content", {}).items():
        rows.append(f"<dt>body</dt><dd>{escape(kind)}: {_kind(content['schema'])}</dd>")
    for code, one in told["responses"].items():
        bodies = ", ".join(
            f"{escape(kind)} {_kind(body['schema'])}" for kind, body in one.get("content", {}).items()
        )
        rows.append(f"<dt>{code}</dt><dd>{escape(one['description'])}{': ' if bodies else ''}{bodies}</dd>")
    return (
        f"<section><h2><code class={method}>{method.upper()} {escape(path)}</code> {escape(told['summary'])}</h2>"
        f"<dl>{''.join(rows)}</dl></section>"
    )


def _fields(schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    return "".join(
        f"<dt><code>{escape(name)}</code>{'' if name in required else ' (optional)'}</dt>"
        f"<dd>{escape(one.get('description', ''))} {_kind(one)}</dd>"
        for name, one in schema.get("properties", {}).items()
    )


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href='#{escape(name)}'>{escape(name)}</a>"
    if "items" in schema:
        return f"list of {_kind(schema['items'])}"
    words = schema.get("enum") or schema.get("type", "")
    return escape(", ".join(map(str, words)) if isinstance(words, list) else str(words))
