"""The queue as a whole: what runs and waits, and until when; who goes first; paused and resumed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from httpd.access import Caller, caller_of
from httpd.answers import Answer, tagged
from httpd.body import chunks
from httpd.digits import natural
from httpd.state import config_of, spool_of
from spool import pause as pauses
from spool import priority as priorities
from spool import queue, view
from spool.errors import InvalidRequest

DEFAULT_FIRST = 20
LARGEST_FIRST = 500
LARGEST_BODY = 4 << 10
MAX_REASON = 500


def check_level(caller: Caller, wanted: str) -> str:
    """The priority, where this caller may ask for it. Raises InvalidRequest, and HTTPException (403).

    Whoever may upload may stand back or stand in line; going before everybody else is for an admin to give.
    """
    if priorities.check(wanted) == priorities.HIGH and not caller.is_admin:
        raise HTTPException(403, "priority high needs a key with the role admin; normal and low do not")
    return wanted


async def look(request: Request) -> Answer:
    """200 with what runs and waits, in order, with estimates; and what this caller may ask of the queue."""
    first, caller = _first(request), caller_of(request)
    seen = await run_in_threadpool(queue.told, spool_of(request), first)
    may = {"prioritise_high": caller.is_admin, "pause": caller.is_admin}
    return tagged({**seen, "may": may})


def _first(request: Request) -> int:
    unknown = set(request.query_params) - {"first"}
    if unknown:
        raise HTTPException(422, f"unknown parameter {', '.join(sorted(unknown))}; accepted: first")
    text = request.query_params.get("first", str(DEFAULT_FIRST))
    first = natural(text, LARGEST_FIRST)
    if first is None:
        raise HTTPException(422, f"first {text[:40]!r} is not a number from 0 to {LARGEST_FIRST}")
    return first


async def priority(request: Request) -> Response:
    """200 with the status object: the job goes before or behind the others of its age from now on."""
    spool, job_id, caller = spool_of(request), request.path_params["job_id"], caller_of(request)
    asked = await _body(request, {"priority"})
    if "priority" not in asked:
        raise HTTPException(422, f"send {{'priority': ...}}: one of {', '.join(priorities.PRIORITIES)}")
    wanted = check_level(caller, str(asked["priority"]))

    def work() -> dict[str, Any]:
        if not caller.is_admin and spool.find(job_id).job.request.client != caller.name:
            raise HTTPException(403, "this key may change only what it uploaded; others need the role admin")
        spool.prioritise(job_id, wanted)
        return view.look(spool, job_id)

    return JSONResponse(await run_in_threadpool(work))


async def pause(request: Request) -> Response:
    """200 with the pause: no job is begun from now on; stages that run go on to their end."""
    caller, spool = _admin(request), spool_of(request)
    reason = (await _body(request, {"reason"})).get("reason", "")
    if not isinstance(reason, str) or len(reason) > MAX_REASON:
        raise InvalidRequest(f"reason is not a text of at most {MAX_REASON} characters")
    held = await run_in_threadpool(pauses.pause, spool.root, caller.name or "http", " ".join(reason.split()))
    return JSONResponse({"paused": asdict(held)})


async def resume(request: Request) -> Response:
    """200: jobs are begun again, also where the queue was not paused."""
    _admin(request)
    await _body(request, set())
    await run_in_threadpool(pauses.resume, spool_of(request).root)
    return JSONResponse({"paused": None})


def _admin(request: Request) -> Caller:
    caller = caller_of(request)
    if not caller.is_admin:
        raise HTTPException(403, "pausing and resuming the queue of all needs a key with the role admin")
    return caller


async def _body(request: Request, known: set[str]) -> dict[str, Any]:
    """The JSON object that was sent, or an empty one where nothing was. Raises HTTPException."""
    patience = config_of(request).body_timeout
    content = b"".join([chunk async for chunk in chunks(request, LARGEST_BODY, patience)])
    if not content.strip():
        return {}
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "send application/json")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from None
    if not isinstance(value, dict) or not set(value) <= known:
        raise HTTPException(
            422, f"the body is not a JSON object of {', '.join(sorted(known)) or 'no fields'}"
        )
    return value
