"""The calls of Tencent's own api_server.py, so that the Blender add-on and other clients of it work unchanged.

A picture comes as base64 in JSON; the model goes out as a file, or as base64 in JSON. Their numbers (octree, steps)
choose the nearest of our presets; the answer names it, and what had no effect.
"""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any, BinaryIO

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from httpd import intake
from httpd.access import Caller, caller_of
from httpd.answers import prefers
from httpd.body import refuse_announced
from httpd.config import HttpConfig
from httpd.digits import natural
from httpd.enclosure import UNPACKING, Enclosure, unpack
from httpd.events import HEARTBEAT, is_over
from httpd.feed import News
from httpd.form import receive
from httpd.landing import Landing
from httpd.results import model_response
from httpd.state import config_of, feed_of, spool_of
from spool import layout
from spool.errors import InvalidRequest
from spool.spool import Spool
from spool.view import COMPLETED, GIVEN_UP, look

_RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**32 - 1),
    "octree_resolution": (16, 1024),
    "num_inference_steps": (1, 1000),
    "guidance_scale": (0, 100),
    "num_chunks": (1, 10**9),
    "face_count": (1, 10**9),
}
_NO_EFFECT = ("num_inference_steps", "guidance_scale", "num_chunks", "face_count", "mc_algo")
FIELDS = (
    *("image", "texture", "remove_background", "octree_resolution", "seed", "type", "text", "prompt", "mesh"),
    *_NO_EFFECT,
)
LONGEST_WAIT = 999_999
"""Seconds; `Prefer: wait` with more is no wish that can be kept, and is passed over as RFC 7240 has it."""
_ROOM = 64 << 10
"""Bytes for the fields beside the picture."""


async def generate(request: Request) -> Response:
    """200 with the model's GLB when it is done; 404 with their error object where it fails.

    With `Prefer: respond-async`, or after `Prefer: wait=SECONDS`, 202 with the uid, as `send` gives.
    """
    published, extra = await _submit(request)
    job_id = published.found.job.id
    patience = _patience(request)
    news = await _wait(request, job_id, patience)
    spool = spool_of(request)
    if news.told and news.told["status"] == COMPLETED:
        file = await run_in_threadpool(spool.open_file, job_id, layout.MODEL_GLB)
        model = model_response(file, news.told["name"])
        model.headers.update(published.headers)
        return model
    if is_over(news):
        reason = news.told["error"] if news.told else "the job was deleted"
        return JSONResponse({"text": reason, "error_code": 1, "detail": reason}, 404)
    headers = {"Location": f"/status/{job_id}", **published.headers}
    if patience is not None:
        headers["Preference-Applied"] = f"wait={patience:g}" if patience else "respond-async"
    return JSONResponse({"uid": job_id, **extra}, 202, headers)


async def send(request: Request) -> Response:
    """200 with the uid of a job that was queued."""
    published, extra = await _submit(request)
    job_id = published.found.job.id
    headers = {"Location": f"/status/{job_id}", **published.headers}
    return JSONResponse({"uid": job_id, **extra}, headers=headers)


async def status(request: Request) -> Response:
    """200 with `processing`, `texturing`, `completed` and the model, or `error` and the message."""
    spool, uid = spool_of(request), request.path_params["uid"]
    told = await run_in_threadpool(look, spool, uid)
    if told["status"] == GIVEN_UP:
        return JSONResponse({"status": "error", "message": told["error"]})
    if not told["has_model"]:
        stage = "texturing" if told["stage"] == "texture" else "processing"
        return JSONResponse({"status": stage})
    file = await run_in_threadpool(spool.open_file, uid, layout.MODEL_GLB)
    before, after = b'{"status": "completed", "model_base64": "', b'"}'
    size = len(before) + 4 * math.ceil(os.fstat(file.fileno()).st_size / 3) + len(after)
    return StreamingResponse(
        _as_base64(file, before, after), media_type="application/json", headers={"Content-Length": str(size)}
    )


def _as_base64(file: BinaryIO, before: bytes, after: bytes) -> Iterator[bytes]:
    """The file in pieces whose length divides by three, so that the pieces of base64 join."""
    with file:
        yield before
        while chunk := file.read(3 << 16):
            yield base64.b64encode(chunk)
        yield after


async def _submit(request: Request) -> tuple[intake.Published, dict[str, Any]]:
    """Queue the picture; its job, and what the answer says about how it was understood."""
    config, spool, caller = config_of(request), spool_of(request), caller_of(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "send application/json with the picture as base64 in `image`")
    limit = 4 * math.ceil(config.max_upload / 3) + _ROOM
    refuse_announced(request, limit)
    with intake.admit(request) as arrival, closing(Enclosure(spool)) as body:
        await run_in_threadpool(intake.check_room, spool, caller, config)
        intake.check_disk(spool, config)
        rest = await receive(request, body, limit, config.body_timeout, arrival)

        def publish() -> tuple[intake.Published, dict[str, Any]]:
            body.feed(rest)
            return _publish(
                _known(body.values()), spool, caller, config, request.headers.get("idempotency-key")
            )

        return await anyio.to_thread.run_sync(publish, limiter=UNPACKING)


def _publish(
    values: dict[str, Any], spool: Spool, caller: Caller, config: HttpConfig, key: str | None
) -> tuple[intake.Published, dict[str, Any]]:
    wishes = wishes_of(values)
    draft = intake.begin(spool, caller, config)
    try:
        with closing(Landing(draft.path / intake.PART)) as landing:
            unpack(values["image"], landing, config.max_upload)
            published = intake.publish(draft, spool, config, "image", wishes, key)
    except BaseException:
        draft.discard()
        raise
    unused = [name for name in _NO_EFFECT if name in values]
    return published, {"quality": wishes["quality"], "not_used": unused}


def _known(values: dict[str, Any]) -> dict[str, Any]:
    """The fields that were sent. Raises HTTPException for one that is none of theirs."""
    unknown = set(values) - set(FIELDS)
    if unknown:
        raise HTTPException(422, f"unknown field {', '.join(sorted(unknown))}; accepted: {', '.join(FIELDS)}")
    return {name: value for name, value in values.items() if value is not None}


def wishes_of(values: dict[str, Any]) -> dict[str, Any]:
    """What their fields ask for, in ours. Raises InvalidRequest naming the field."""
    if "mesh" in values:
        raise InvalidRequest("mesh: painting a mesh that is sent along is not had here; send the photo alone")
    if not isinstance(values.get("image"), str):
        raise InvalidRequest("image: send a photo as base64; models are made of photos here, not of words")
    if values.get("type", "glb") != "glb":
        raise InvalidRequest(f"type {values['type']!r} is not had here; models are glb")
    for name in ("texture", "remove_background"):
        if type(values.get(name, True)) is not bool:
            raise InvalidRequest(f"{name} must be true or false")
    for name, (lowest, highest) in _RANGES.items():
        value = values.get(name, lowest)
        wrong_kind = type(value) is not int and not (name == "guidance_scale" and type(value) is float)
        if wrong_kind or not lowest <= value <= highest:
            raise InvalidRequest(f"{name} must be a number from {lowest:g} to {highest:g}")
    octree = values.get("octree_resolution", 256)
    if values.get("texture", False):
        quality = "ultra" if octree >= 512 else "high"
    else:
        quality = "balanced" if octree >= 256 else "draft"
    return {
        "views": True,
        "model": True,
        "remove_bg": values.get("remove_background", True),
        "quality": quality,
        "seed": values.get("seed", 1234),
    }


def _patience(request: Request) -> int | None:
    """Seconds the client is ready to wait; None for as long as it takes."""
    if prefers(request, "respond-async") is not None and prefers(request, "wait") is None:
        return 0
    wait = prefers(request, "wait")
    return natural(wait or "", LONGEST_WAIT)


async def _wait(request: Request, job_id: str, patience: float | None) -> News:
    """The job's state when it is over, or when the client waits no longer (or is gone, or the server stops)."""
    feed = feed_of(request)
    async with feed.listen(job_id) as listener:
        news = await run_in_threadpool(feed.status, job_id)
        with anyio.move_on_after(math.inf if patience is None else patience):
            while not is_over(news) and not listener.closed and not await request.is_disconnected():
                with anyio.move_on_after(HEARTBEAT):
                    news = (await listener.news() or [news])[-1]
    return news
