"""Jobs: their status, the list, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from httpd.access import caller_of
from httpd.answers import Answer, applied, tagged
from httpd.digits import natural
from httpd.limits import check_queue
from httpd.state import config_of, glances_of, spool_of
from spool import layout
from spool.callbacks import Promise
from spool.ids import is_job_id
from spool.reader import Found
from spool.spool import Spool
from spool.view import look, summary

DEFAULT_PAGE = 50
LARGEST_PAGE = 500


async def status(request: Request) -> Answer:
    """200 with the status object."""
    # A dozen small system calls: handing them to a thread would cost more than they do.
    return glances_of(request).status(request.path_params["job_id"])


async def one(request: Request) -> Answer | Response:
    """GET: the status object. DELETE: the job is gone."""
    return await (delete if request.method == "DELETE" else status)(request)


async def generate_multiangle(request: Request) -> Response:
    """202: four views of the mesh; the mesh is kept."""
    return await _release(request, model=False)


async def generate_3d(request: Request) -> Response:
    """202: the model, from the kept mesh where there is one."""
    return await _release(request, model=True)


async def _release(request: Request, *, model: bool) -> Response:
    config = config_of(request)

    def release(spool: Spool, job_id: str) -> Found:
        # It counts as one of its caller's already: only the queue of all is looked at.
        if spool.find(job_id).folder == layout.HELD:
            check_queue(spool, config)
        return spool.release(job_id, model=model)

    return await _ask(request, release)


async def cancel(request: Request) -> Response:
    """202: a waiting job is cancelled now, a running one at its next step."""
    return await _ask(request, Spool.cancel)


async def retry(request: Request) -> Response:
    """202: a failed job is queued again."""
    return await _ask(request, _retry)


def _retry(spool: Spool, job_id: str) -> Found:
    wanted = spool.find(job_id).job.request
    found = spool.retry(job_id)
    if wanted.callback_url:
        Promise(job_id, wanted.callback_url).write(spool.root)  # its first end was told already
    return found


async def _ask(request: Request, change: Callable[[Spool, str], Found]) -> Response:
    spool, job_id = spool_of(request), request.path_params["job_id"]

    def work() -> dict[str, Any]:
        change(spool, job_id)
        return look(spool, job_id)

    return JSONResponse(await run_in_threadpool(work), 202, applied(request))


async def delete(request: Request) -> Response:
    """204: the job is gone with everything in it. Without the role admin, only what the same key uploaded."""
    spool, job_id, caller = spool_of(request), request.path_params["job_id"], caller_of(request)
    if not caller.is_admin and spool.find(job_id).job.request.client != caller.name:
        raise HTTPException(
            403, "this key may delete only what it uploaded; deleting others needs the role admin"
        )
    await run_in_threadpool(spool.remove, job_id)
    return Response(status_code=204)


async def listing(request: Request) -> Answer:
    """200 with a page of jobs, newest first, with `tag` only of those; the next page is in the Link header."""
    limit, before, tag = _page(request)
    found, following = await run_in_threadpool(_listed, spool_of(request), limit, before, tag)
    headers = {}
    if following:
        url = request.url.include_query_params(limit=limit, before=following)
        headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return tagged([summary(one) for one in found], headers)


def _listed(spool: Spool, limit: int, before: str | None, tag: str | None) -> tuple[list[Found], str | None]:
    if tag:
        return spool.tagged(tag, limit, before)
    found = spool.newest(limit, before)
    return found, found[-1].job.id if len(found) == limit else None


def _page(request: Request) -> tuple[int, str | None, str | None]:
    unknown = set(request.query_params) - {"limit", "before", "tag"}
    if unknown:
        raise HTTPException(
            422, f"unknown parameter {', '.join(sorted(unknown))}; accepted: limit, before, tag"
        )
    text = request.query_params.get("limit", str(DEFAULT_PAGE))
    limit = natural(text, LARGEST_PAGE)
    if not limit:
        raise HTTPException(422, f"limit {text[:40]!r} is not a number from 1 to {LARGEST_PAGE}")
    before = request.query_params.get("before")
    if before is not None and not is_job_id(before):
        raise HTTPException(422, f"before {before!r} is not a job id")
    tag = request.query_params.get("tag")
    if tag == "":
        raise HTTPException(422, "tag is empty; leave it out for every job")
    return limit, before, tag
