"""The web page: `/` for people, and its files under `/page/`. Plain files, sent as they lie in `httpd/page/`."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from httpd import health

FOLDER = Path(__file__).parent / "page"
HEADERS = {
    # Everything comes from this server. `blob:` is for what the page itself holds: pictures fetched with an API
    # key (an <img> cannot send one) or not uploaded yet, and the textures that three.js takes out of a GLB.
    # Nothing is inline, no eval, no WebAssembly, no workers; text becomes markup nowhere (trusted types).
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob:",
            "connect-src 'self' blob:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Asked for each time, answered 304: after an upgrade nobody sees half of the old page.
    "Cache-Control": "no-cache",
}

_files = StaticFiles(directory=FOLDER)


async def home(request: Request) -> Response:
    """200: the page for a browser, the API's entry points (JSON) for programs."""
    if "text/html" not in request.headers.get("accept", ""):
        answer = await health.entry_points(request)
    else:
        answer = await _files.get_response("index.html", request.scope)
        answer.headers.update(HEADERS)
    answer.headers["Vary"] = "Accept"
    return answer


async def file(request: Request) -> Response:
    """200 with one of the page's files; 404 for any other name."""
    answer = await _files.get_response(request.path_params["file"], request.scope)
    answer.headers.update(HEADERS)
    return answer
