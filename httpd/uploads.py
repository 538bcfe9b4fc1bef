"""POST /api/upload: the body goes straight into a draft's file as it arrives, never whole into memory."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, BinaryIO

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from httpd import intake
from httpd.answers import applied
from httpd.body import chunks, refuse_announced
from httpd.config import HttpConfig
from httpd.state import config_of, spool_of
from spool.draft import Draft
from spool.view import look

FILE = ("file", "files")
"""`files` is what older clients call it; one picture all the same."""
FIELDS = (
    "remove_bg",
    "enhanced_detail",
    "quality",
    "quality_preset",
    "enable_pbr",
    "seed",
    "allow_lower",
    "start",
    "callback_url",
)
MAX_FIELD = 1024
BATCH = 1 << 20
"""Bytes that are gathered before they go to a thread: parsing and writing never hold up the event loop."""
MAX_BOUNDARY = 256
"""What the parser takes; RFC 2046 allows 70."""


async def upload(request: Request) -> Response:
    """201 with the new job's status object, also where an Idempotency-Key names a job that is there already."""
    config, spool = config_of(request), spool_of(request)
    boundary = _boundary(request.headers.get("content-type", ""))
    refuse_announced(request, config.max_upload)
    draft = await intake.begin(request)
    form = Form(boundary, draft)
    try:
        await _receive(request, form, config)
        if form.filename is None:
            raise HTTPException(422, "the form has no `file`; send the picture in a field called `file`")
        wishes, key = intake.wishes_of(form.values, config), request.headers.get("idempotency-key")
        job_id = await run_in_threadpool(intake.publish, draft, spool, config, form.filename, wishes, key)
    except ClientDisconnect:
        await run_in_threadpool(draft.discard)
        return Response(status_code=400)  # nobody is there to read it
    except BaseException:
        await run_in_threadpool(draft.discard)
        raise
    finally:
        form.close()
    headers = {"Location": f"/api/jobs/{job_id}/status", **applied(request)}
    if job_id != draft.request.id:
        headers["Idempotency-Replayed"] = "true"
    return JSONResponse(await run_in_threadpool(look, spool, job_id), 201, headers)


async def _receive(request: Request, form: Form, config: HttpConfig) -> None:
    batch = bytearray()
    async for chunk in chunks(request, config.max_upload, config.body_timeout):
        batch += chunk
        if len(batch) >= BATCH:
            await run_in_threadpool(form.feed, bytes(batch))
            batch.clear()
    await run_in_threadpool(form.feed, bytes(batch))
    await run_in_threadpool(form.end)


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise HTTPException(415, "send the picture as multipart/form-data, in a field called `file`")
    if len(boundary) > MAX_BOUNDARY:
        raise HTTPException(400, f"the form's boundary is longer than {MAX_BOUNDARY} bytes")
    return boundary


class Form:
    """A multipart form as it arrives: `file` into the draft, the few fields into `values`."""

    def __init__(self, boundary: bytes, draft: Draft) -> None:
        self.values: dict[str, str] = {}
        self.filename: str | None = None
        self._draft = draft
        self._file: BinaryIO | None = None
        self._header, self._headers = (b"", b""), dict[bytes, bytes]()
        self._name = ""
        self._value = bytearray()
        self._ended = False
        self._parser = MultipartParser(boundary, self._callbacks())

    def feed(self, chunk: bytes) -> None:
        """Parse the next bytes. Raises HTTPException for what is no form, or not this one."""
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise HTTPException(400, f"the form cannot be read: {error}") from None

    def end(self) -> None:
        """The body is over. Raises HTTPException where the form is not."""
        if not self._ended:
            raise HTTPException(400, "the form ends too early; send it again")

    def close(self) -> None:
        """Give the open file back."""
        if self._file:
            self._file.close()

    def _callbacks(self) -> Any:
        calls: dict[str, Callable[..., None]] = {
            "on_part_begin": self._part_begin,
            "on_header_field": lambda data, start, end: self._add_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_header(1, data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": lambda data, start, end: self._part_data(data[start:end]),
            "on_part_end": self._part_end,
            "on_end": self._form_end,
        }
        return calls

    def _part_begin(self) -> None:
        self._headers = {}
        self._value.clear()

    def _add_header(self, at: int, text: bytes) -> None:
        name, value = self._header
        self._header = (name + text, value) if at == 0 else (name, value + text)

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = (b"", b"")

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name in FILE:
            if self.filename is not None:
                raise HTTPException(422, "send one `file` in an upload")
            self.filename = options.get(b"filename", b"").decode("utf-8", "replace") or "upload"
            self._file = (self._draft.path / intake.PART).open("wb")
        elif self._name not in FIELDS:
            raise HTTPException(422, f"unknown field {self._name!r}; accepted: file, {', '.join(FIELDS)}")

    def _part_data(self, data: bytes) -> None:
        if self._name in FILE:
            assert self._file
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, "short write")
            return
        self._value += data
        if len(self._value) > MAX_FIELD:
            raise HTTPException(422, f"field {self._name!r} is longer than {MAX_FIELD} bytes")

    def _part_end(self) -> None:
        if self._name in FILE:
            self.close()
        elif self._name in self.values:
            raise HTTPException(422, f"field {self._name!r} is given twice")
        else:
            self.values[self._name] = self._value.decode("utf-8", "replace").strip()

    def _form_end(self) -> None:
        self._ended = True
