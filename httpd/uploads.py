"""POST /api/upload: the body goes straight into a draft's file as it arrives, never whole into memory."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from httpd import intake
from httpd.access import caller_of
from httpd.answers import applied
from httpd.body import refuse_announced
from httpd.form import Form, boundary_of, receive
from httpd.landing import Landing
from httpd.state import config_of, spool_of
from spool.draft import Draft
from spool.view import look


async def upload(request: Request) -> Response:
    """201 with the new job's status object, also where an Idempotency-Key names a job that is there already."""
    config, spool = config_of(request), spool_of(request)
    boundary = boundary_of(request)
    refuse_announced(request, config.max_upload)
    draft = await intake.begin(request)
    picture = Picture(draft)
    form = Form(boundary, picture)
    try:
        rest = await receive(request, form, config.max_upload, config.body_timeout)

        def publish() -> tuple[str, dict[str, Any]]:
            form.end(rest)
            if picture.filename is None:
                raise HTTPException(422, "the form has no `file`; send the picture in a field called `file`")
            wishes = intake.wishes_of(form.values, config, caller_of(request))
            key = request.headers.get("idempotency-key")
            published = intake.publish(draft, spool, config, picture.filename, wishes, key)
            return published, look(spool, published)

        job_id, told = await run_in_threadpool(publish)
    except ClientDisconnect:
        await run_in_threadpool(draft.discard)
        return Response(status_code=400)  # nobody is there to read it
    except BaseException:
        await run_in_threadpool(draft.discard)
        raise
    finally:
        picture.close()
    headers = {"Location": f"/api/jobs/{job_id}/status", **applied(request)}
    if job_id != draft.request.id:
        headers["Idempotency-Replayed"] = "true"
    return JSONResponse(told, 201, headers)


class Picture:
    """The one picture of an upload, into its draft."""

    def __init__(self, draft: Draft) -> None:
        self.filename: str | None = None
        self._draft = draft
        self._file: Landing | None = None

    def begin(self, filename: str) -> None:
        """The first is taken. Raises HTTPException for a second."""
        if self.filename is not None:
            raise HTTPException(422, "send one `file` in an upload, or several to /api/batch")
        self.filename = filename
        self._file = Landing(self._draft.path / intake.PART)

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
