"""POST /api/upload: the body goes straight into a draft's file as it arrives, never whole into memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from httpd import intake
from httpd.access import caller_of
from httpd.answers import applied
from httpd.body import refuse_announced
from httpd.form import Form, boundary_of, receive
from httpd.landing import Landing
from httpd.ledger import Arrival
from httpd.state import config_of, spool_of
from spool.draft import Draft
from spool.view import look, told


async def upload(request: Request) -> Response:
    """201 with the new job's status object, also where an Idempotency-Key names a job that is there already."""
    boundary = boundary_of(request)
    refuse_announced(request, config_of(request).max_upload)
    with intake.admit(request) as arrival:
        return await _take(request, boundary, arrival)


async def _take(request: Request, boundary: bytes, arrival: Arrival) -> Response:
    config, spool, caller = config_of(request), spool_of(request), caller_of(request)
    picture = Picture(partial(intake.begin, spool, caller, config))
    form = Form(boundary, picture)
    try:
        rest = await receive(request, form, config.max_upload, config.body_timeout, arrival)

        def publish() -> tuple[intake.Published, dict[str, Any]]:
            form.end(rest)
            if picture.draft is None:
                raise HTTPException(422, "the form has no `file`; send the picture in a field called `file`")
            wishes = intake.wishes_of(form.values, config, caller)
            key = request.headers.get("idempotency-key")
            published = intake.publish(picture.draft, spool, config, picture.filename, wishes, key)
            is_new = published.is_new
            return published, told(spool, published.found) if is_new else look(spool, published.found.job.id)

        published, answer = await run_in_threadpool(publish)
    except BaseException:
        await run_in_threadpool(picture.drop)
        raise
    finally:
        picture.close()
    status_at = f"/api/jobs/{published.found.job.id}/status"
    headers = {"Location": status_at, **applied(request), **published.headers}
    return JSONResponse(answer, 201, headers)


class Picture:
    """The one picture of an upload, into a draft that is begun when it comes."""

    def __init__(self, begin: Callable[[], Draft]) -> None:
        self.filename = ""
        self.draft: Draft | None = None
        self._begin = begin
        self._file: Landing | None = None

    def begin(self, filename: str) -> None:
        """The first is taken, where there is room. Raises HTTPException, also for a second, SpoolFull and OSError."""
        if self.draft is not None:
            raise HTTPException(422, "send one `file` in an upload, or several to /api/batch")
        self.filename = filename
        self.draft = self._begin()
        self._file = Landing(self.draft.path / intake.PART)

    def write(self, content: bytes | memoryview) -> None:
        """The next bytes. Raises OSError."""
        assert self._file
        self._file.write(content)

    def end(self) -> None:
        """It is whole. Raises OSError."""
        assert self._file
        self._file.end()

    def close(self) -> None:
        """Give the open file back."""
        if self._file:
            self._file.close()

    def drop(self) -> None:
        """It becomes no job."""
        self.close()
        if self.draft:
            self.draft.discard()
