"""Files out of a job: its products by name, and a thumbnail."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from httpd import exports
from httpd.answers import is_known
from httpd.state import blanks_of, config_of, spool_of
from httpd.thumbnail import draw
from spool import export, layout
from spool.confine import OverLimits
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
PHOTO = 1024
_FAILED = {"Cache-Control": "private, max-age=60"}
"""A job that is tried again may have a picture soon."""
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
        # One range is what programs that resume a download ask for; an answer of many small parts costs the server
        # more than it saves anybody, and may be refused by sending the whole (RFC 9110, 14.2).
        scope["headers"] = [
            (name, value) for name, value in scope["headers"] if not (name == b"range" and b"," in value)
        ]
        with self._file:
            await super().__call__(scope, receive, send)


async def result(request: Request) -> Response:
    """200 with a product of the job; 404 with the reason where it is not there (yet), 422 for a wrong parameter."""
    spool, job_id, asset = spool_of(request), request.path_params["job_id"], request.path_params["asset"]
    told = look(spool, job_id)
    if asset in exports.NAMES:
        asset = await exports.made(request, asset)
    elif asset not in ASSETS:
        there_are = ", ".join((*ASSETS, *sorted(exports.NAMES)))
        raise HTTPException(404, f"there is no result called {asset!r}; there are: {there_are}")
    elif request.query_params:
        raise HTTPException(
            422,
            f"{asset} is served as it was made and takes no parameters (there are: "
            f"{', '.join(dict.fromkeys(request.query_params))}); sizes and the like are for exports, such as "
            "model.3mf or model.web.glb",
        )
    # The views of a job that goes on from them are drawn again, and the model is there before the job is done:
    # only what is finished is a result.
    try:
        file = spool.open_file(job_id, asset)
    except FileNotFoundError:
        raise HTTPException(404, _why_not(told["status"], told["error"], asset)) from None
    if asset == layout.MODEL_GLB and told["status"] != COMPLETED:
        file.close()
        raise HTTPException(404, _why_not(told["status"], told["error"], asset))
    response = _file_response(file, asset, told["name"])
    if is_known(request, response.headers["etag"]):
        file.close()
        return Response(status_code=304, headers={"etag": response.headers["etag"]})
    return response


def model_response(file: BinaryIO, name: str) -> Response:
    """200 with an open model; the file is called after the photo."""
    return _file_response(file, layout.MODEL_GLB, name)


def _file_response(file: BinaryIO, asset: str, photo: str) -> OpenFileResponse:
    stem = Path(photo).stem or "model"
    name = f"{stem}.glb" if asset == layout.MODEL_GLB else f"{stem}-{asset}"
    headers = {"Content-Disposition": disposition(name), "X-Content-Type-Options": "nosniff"}
    return OpenFileResponse(file, TYPES[Path(asset).suffix], headers)


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
    return await _small(request, (layout.VIEWS[0], layout.CUTOUT_PNG), THUMBNAIL)


async def photo(request: Request) -> Response:
    """200 with the photo as a PNG of at most 1024 x 1024 pixels, upright and without its metadata."""
    return await _small(request, (), PHOTO)


async def _small(request: Request, products: tuple[str, ...], side: int) -> Response:
    spool, job_id = spool_of(request), request.path_params["job_id"]
    with _picture_of(spool, job_id, products) as file:
        # What it is made of says whether it changed, so a page of thumbnails is drawn once.
        kept = os.fstat(file.fileno())
        etag = f'"{kept.st_ino:x}-{kept.st_mtime_ns:x}-{side}"'
        headers = {"Cache-Control": "no-cache", "ETag": etag, "X-Content-Type-Options": "nosniff"}
        if is_known(request, etag):
            return Response(status_code=304, headers=headers)
        content = await _drawn(request, file, side, etag)
    return Response(content, media_type="image/png", headers=headers)


async def _drawn(request: Request, file: BinaryIO, side: int, etag: str) -> bytes:
    """The small PNG. Raises HTTPException where there can be none, without trying again what was tried lately."""
    blanks, most = blanks_of(request), config_of(request).max_pixels
    reason = blanks.why(etag)
    if reason is None:
        async with _decoding:
            reason = blanks.why(etag)  # somebody else may have tried while this one waited
            if reason is None:
                try:
                    return await run_in_threadpool(draw, file, side, most)
                except OverLimits as error:
                    reason = str(error)
                    blanks.keep(etag, reason)
    raise HTTPException(422, f"there is no small picture of this one: {reason}", _FAILED)


def _picture_of(spool: Spool, job_id: str, products: tuple[str, ...]) -> BinaryIO:
    for name in (*products, spool.find(job_id).job.request.input):
        try:
            return spool.open_file(job_id, name)
        except FileNotFoundError:
            continue
    raise HTTPException(404, "this job has no picture")
