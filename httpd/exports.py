"""Exports and print reports: made on request by a short-lived process, kept in the job directory.

This server only names the command (`python -m daemon.export`): converting a mesh needs libraries, memory and
seconds that a server must not have. See docs/exports.md for why it is not a worker's task.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import spool as our_package
from httpd.config import HttpConfig
from httpd.state import config_of, spool_of
from spool.errors import NoSuchJob, SpoolFull
from spool.export import DEFAULTS, REPORT, Export
from spool.room import room_left
from spool.spool import Spool
from spool.view import COMPLETED, look

NAMES = frozenset(DEFAULTS)
LONGEST_QUEUE = 16
_REFUSED = 65
_TOLD = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_CACHE_HOME", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")
"""What an export's process is told of this server's environment: nothing that is meant for the server, or secret."""
_at_once = anyio.CapacityLimiter(2)
"""Conversions that run at the same time, however many people ask; the others wait their turn."""


async def made(request: Request, product: str) -> str:
    """See that the job has the export that the query asks for; returns the name of its file.

    404 where the job has no model, 422 for a parameter that is not accepted or a model that does not allow
    it, 503 where too many wait or it took too long, 507 where the disk is full.
    """
    spool, job_id, config = spool_of(request), request.path_params["job_id"], config_of(request)
    export = Export.of(product, request.query_params.multi_items())
    told = look(spool, job_id)
    if told["status"] != COMPLETED or not told["has_model"]:
        raise HTTPException(404, f"there is no {product} yet: the job is {told['status']} and has no model")
    if not (spool.find(job_id).job.path / export.file_name).exists():
        if _at_once.statistics().tasks_waiting >= LONGEST_QUEUE:
            raise HTTPException(503, "too many exports wait already; ask again", {"Retry-After": "10"})
        await anyio.to_thread.run_sync(_make, spool, job_id, export, config, limiter=_at_once)
    return export.file_name


async def report(request: Request) -> Response:
    """200 with the print report at the size asked for."""
    spool, job_id = spool_of(request), request.path_params["job_id"]
    name = await made(request, REPORT)
    try:
        with spool.open_file(job_id, name) as file:
            return Response(file.read(), media_type="application/json")
    except FileNotFoundError:
        raise HTTPException(404, "the job was changed this instant; ask again") from None


def _make(spool: Spool, job_id: str, export: Export, config: HttpConfig) -> None:
    if not room_left(spool.root, config.reserve):
        raise SpoolFull("less than PROTOSCALE_RESERVE is free; delete jobs or free space, then ask again")
    path = spool.find(job_id).job.path
    command = [sys.executable, "-m", "daemon.export", str(path), export.file_name]
    command += ["--memory", str(config.export_memory), "--seconds", str(config.export_limit)]
    # In the folder that holds our packages: `-m` looks in the working directory first.
    home = Path(our_package.__file__).parent.parent
    told = {name: os.environ[name] for name in _TOLD if name in os.environ}
    ended = subprocess.run(
        command, cwd=home, env=told, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if ended.returncode == 0 or (path / export.file_name).exists():
        return
    if not path.exists():
        raise NoSuchJob(job_id)
    words = ended.stderr.decode(errors="replace").strip().splitlines()
    reason = words[-1] if words else f"the process ended with {ended.returncode}"
    if ended.returncode == _REFUSED:
        raise HTTPException(422, f"{export.product} cannot be made: {reason}")
    if ended.returncode == -signal.SIGALRM:
        raise HTTPException(
            503, f"{export.product} took longer than PROTOSCALE_EXPORT_LIMIT ({config.export_limit} s)"
        )
    raise HTTPException(500, f"{export.product} could not be made: {reason}")
