"""How the service is doing: /health for programs that watch, the devices for people."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from httpd.state import config_of, spool_of
from httpd.webhooks import unserved
from spool import callbacks, command, layout, pause
from spool.board import BUSY, IDLE, OUT, Board, Slot, slots_of
from spool.line import how_many
from spool.room import room_left


async def health(request: Request) -> Response:
    """200: this server answers. `status` is `ok` while a supervisor works on the spool with all its devices."""
    spool, config = spool_of(request), config_of(request)
    board = Board.read(spool.root)
    accepting = room_left(spool.root, config.reserve)
    notes = list(board.notes) if board else [f"no supervisor works on this spool; start {command.started()}"]
    if config.callback_hosts and not callbacks.is_served(spool.root):
        notes.append(unserved())
    if not accepting:
        notes.append("the disk is below PROTOSCALE_RESERVE: uploads are refused")
    held = pause.paused(spool.root)
    whole = board is not None and all(slot.state != OUT for slot in board.workers)
    return JSONResponse(
        {
            "status": "ok" if whole and accepting else "degraded",
            "supervisor": board is not None,
            "worker_id": str(os.getpid()),
            "engine": board.engine if board else None,
            "background_model": board.background_model if board else None,
            "accepting_uploads": accepting,
            "max_upload_bytes": config.max_upload,
            "notes": notes,
            "paused": asdict(held) if held else None,
            "devices": [device(slot) for slot in slots_of(board)],
            "queue": {stage.name: how_many(spool.root, stage.folder) for stage in layout.STAGES},
        }
    )


async def ready(request: Request) -> Response:
    """200 where a worker has passed its check and new jobs are accepted, else 503; both say why not."""
    spool = spool_of(request)
    board = Board.read(spool.root)
    reasons = []
    if board is None:
        reasons.append("no supervisor works on this spool")
    elif not any(slot.state in (IDLE, BUSY) for slot in board.workers):
        reasons.append("no worker is ready")
    if not room_left(spool.root, config_of(request).reserve):
        reasons.append("the disk is below PROTOSCALE_RESERVE")
    return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


async def metrics_gpu(request: Request) -> Response:
    """200 with one entry per device; what cannot be measured is null, never invented."""
    return JSONResponse({"devices": [device(slot) for slot in slots_of(Board.read(spool_of(request).root))]})


async def entry_points(request: Request) -> Response:
    """200 with the paths of this API."""
    routes = [
        {"path": route.path, "methods": sorted((route.methods or set()) - {"HEAD"})}
        for route in request.app.routes
    ]
    return JSONResponse({"name": "ProtoScale", "routes": routes})


def device(slot: Slot) -> dict[str, Any]:
    """One worker's device as the API tells it."""
    gpu = slot.gpu
    return {
        "name": slot.name,
        "device": slot.device,
        "node": slot.node,
        "role": slot.role,
        "stages": list(slot.stages),
        "state": slot.state,
        "job": slot.job,
        "stage": slot.stage,
        "gpu": gpu.name if gpu else None,
        "memory": {
            "process_bytes": slot.memory_bytes,
            "used_bytes": gpu.used_bytes if gpu else None,
            "total_bytes": gpu.total_bytes if gpu else None,
            "process_gpu_bytes": gpu.process_bytes if gpu else None,
        },
        "utilisation": gpu.utilisation if gpu else None,
        "temperature": gpu.temperature if gpu else None,
        "power_watts": gpu.power_watts if gpu else None,
        "jobs_done": slot.jobs_done,
        "busy_share": slot.busy_share,
        "restarts": slot.restarts,
    }
