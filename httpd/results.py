"""Files out of a job: its products by name, and a thumbnail."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from httpd import exports
from httpd.state import spool_of
from spool import export, layout
from spool.spool import Spool
from spool.view import COMPLETED, look

TYPES = {
    ".glb": "model/gltf-binary",
    ".png": "image/png",
    ".json": "application/json",
    ".log": "text/plain",
    **export.TYPES,
}
ASSETS = (*layout.PRODUCTS, layout.LOG)
THUMBNAIL = 256
MAX_PIXELS = 40_000_000
_decoding = anyio.CapacityLimiter(2)
"""A large photo takes 150 MB to decode, so few are decoded at once however many people ask."""


class OpenFileResponse(FileResponse):
    """Starlette's file response (ranges, ETag, HEAD) for a file that is open already.

    The job may move or be deleted between two system calls; the descriptor stays good, and under /proc it has a
    path that does.
    """

    def __init__(self, file: BinaryIO, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(
            f"/proc/self/fd/{file.fileno()}",
            media_type=media_type,
            headers=headers,
            stat_result=os.fstat(file.fileno()),
        )
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await super().__call__(scope, receive, send)


async def result(request: Request) -> Response:
    """200 with a product of the job; 404 with the reason where it is not there (yet)."""
    spool, job_id, asset = spool_of(request), request.path_params["job_id"], request.path_params["asset"]
    told = look(spool, job_id)
    if asset in exports.NAMES:
        asset = await exports.made(request, asset)
    elif asset not in ASSETS:
        there_are = ", ".join((*ASSETS, *sorted(exports.NAMES)))
        raise HTTPException(404, f"there is no result called {asset!r}; there are: {there_are}")
    # The views of a job that goes on from them are drawn again, and the model is there before the job is done:
    # only what is finished is a result.
    try:
        file = spool.open_file(job_id, asset)
    except FileNotFoundError:
        raise HTTPException(404, _why_not(told["status"], told["error"], asset)) from None
    if asset == layout.MODEL_GLB and told["status"] != COMPLETED:
        file.close()
        raise HTTPException(404, _why_not(told["status"], told["error"], asset))
    name = (
        f"{Path(told['name']).stem or 'model'}-{asset}"
        if asset != layout.MODEL_GLB
        else _model_name(told["name"])
    )
    response = OpenFileResponse(
        file,
        TYPES[Path(asset).suffix],
        {"Content-Disposition": disposition(name), "X-Content-Type-Options": "nosniff"},
    )
    if request.headers.get("if-none-match") == response.headers["etag"]:
        file.close()
        return Response(status_code=304, headers={"etag": response.headers["etag"]})
    return response


def _model_name(name: str) -> str:
    return f"{Path(name).stem or 'model'}.glb"


def _why_not(status: str, error: str | None, asset: str) -> str:
    if status == "failed":
        return f"the job failed, so there is no {asset}: {error}"
    return f"there is no {asset}" + ("" if status == COMPLETED else f" yet: the job is {status}")


def disposition(name: str) -> str:
    """A Content-Disposition with any file name (RFC 6266): plain ASCII for all, UTF-8 for those that read it."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\/' else "_" for c in name)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


async def thumbnail(request: Request) -> Response:
    """200 with a PNG of at most 256 x 256 pixels: the model's front, else the cut-out, else the photo."""
    spool, job_id = spool_of(request), request.path_params["job_id"]
    content = await anyio.to_thread.run_sync(_thumbnail, spool, job_id, limiter=_decoding)
    return Response(content, media_type="image/png", headers={"Cache-Control": "no-cache"})


def _thumbnail(spool: Spool, job_id: str) -> bytes:
    # Pillow is imported by the first thumbnail, not by the server: most requests need none of it.
    from PIL import Image, ImageOps

    for name in (layout.VIEWS[0], layout.CUTOUT_PNG, spool.find(job_id).job.request.input):
        try:
            with spool.open_file(job_id, name) as file, Image.open(file) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise HTTPException(422, f"the picture is too large for a thumbnail ({image.size})")
                image.draft("RGB", (THUMBNAIL * 2, THUMBNAIL * 2))
                small = ImageOps.exif_transpose(image)
                if small.mode not in ("RGB", "RGBA"):
                    small = small.convert("RGBA")
                small.thumbnail((THUMBNAIL, THUMBNAIL))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            raise HTTPException(422, "this picture cannot be decoded, so there is no thumbnail") from None
        buffer = io.BytesIO()
        small.save(buffer, "PNG")
        return buffer.getvalue()
    raise HTTPException(404, "this job has no picture")
