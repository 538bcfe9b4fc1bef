"""POST /api/batch: many pictures in one form, one answer that tells each one's job or what is wrong with it.

A route of its own, because `/api/upload` promises one status object with 201 and clients rely on that. One picture
that is none does not refuse the others: the form is read to its end, then each picture becomes a job, or not, under
the same limits as if it had come alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from httpd import intake
from httpd.access import Caller, caller_of
from httpd.answers import applied
from httpd.body import refuse_announced
from httpd.config import HttpConfig
from httpd.errors import code_of
from httpd.form import Form, boundary_of, receive
from httpd.landing import Landing
from httpd.ledger import Arrival, Ledger
from httpd.state import config_of, ledger_of, spool_of
from spool import idempotency
from spool.ballast import FULL
from spool.draft import Draft
from spool.errors import InvalidRequest, SpoolError, SpoolFull
from spool.settings import in_units
from spool.spool import Spool

MAX_FILES = 100
_FORM = 64 << 10
"""Bytes for the fields and the heads of the parts."""


@dataclass
class Photo:
    """One picture of a batch: its draft, and then its job or its refusal."""

    filename: str
    draft: Draft | None = None
    file: Landing | None = None
    size: int = 0
    arrival: Arrival | None = None
    job_id: str | None = None
    replayed: bool = False
    code: int = 201
    error: str | None = None

    def refuse(self, refusal: HTTPException | SpoolError) -> None:
        """This one becomes no job."""
        self.code = code_of(refusal)
        self.error = refusal.detail if isinstance(refusal, HTTPException) else str(refusal)
        self.drop()

    def drop(self) -> None:
        """Give back what it took."""
        self.end()
        if self.file:
            self.file.close()
        if self.draft and not self.job_id:
            self.draft.discard()

    def end(self) -> None:
        """It has arrived, or will not."""
        if self.arrival:
            self.arrival.end()

    def as_json(self) -> dict[str, Any]:
        """What the answer says about it."""
        return {
            "file": self.filename,
            "code": self.code,
            "job_id": self.job_id,
            "error": self.error,
            "replayed": self.replayed,
        }


async def batch(request: Request) -> Response:
    """201 where every picture is a job, 207 where some are; 422 where none is. `files` tells each, in order."""
    config, spool, caller = config_of(request), spool_of(request), caller_of(request)
    boundary = boundary_of(request)
    limit = largest_body(config, caller)
    refuse_announced(request, limit)
    ledger_of(request).check(caller, config)
    await run_in_threadpool(intake.check_room, spool, caller, config)
    photos = Photos(spool, caller, config, ledger_of(request))
    form = Form(boundary, photos)
    try:
        rest = await receive(request, form, limit, config.body_timeout)
        await run_in_threadpool(form.end, rest)
        if not photos.all:
            raise HTTPException(422, "the form has no `file`; send each picture in a field called `file`")
        wishes = intake.wishes_of(form.values, config, caller)
        if "name" in wishes and len(photos.all) > 1:
            raise InvalidRequest(
                "name is for one picture; of several each keeps the name of its file, and tags group them"
            )
        key = request.headers.get("idempotency-key")
        await run_in_threadpool(photos.publish, wishes, key)
    except BaseException:
        await run_in_threadpool(photos.drop)
        raise
    photos.settle()
    files = [photo.as_json() for photo in photos.all]
    made = sum(photo.job_id is not None for photo in photos.all)
    if not made:
        detail = f"none of the {len(files)} pictures became a job; the first: {files[0]['error']}"
        return JSONResponse({"detail": detail, "files": files}, 422)
    return JSONResponse({"files": files}, 201 if made == len(files) else 207, applied(request))


def largest_body(config: HttpConfig, caller: Caller) -> int:
    """Bytes of all pictures together: no caller need begin to send what its minute does not allow."""
    most = MAX_FILES * config.max_upload
    return (min(most, config.client_bytes) if caller.name and config.client_bytes else most) + _FORM


class Photos:
    """The pictures of a form, each into a draft of its own."""

    def __init__(self, spool: Spool, caller: Caller, config: HttpConfig, ledger: Ledger) -> None:
        self.all: list[Photo] = []
        self._ledger = ledger
        self._spool = spool
        self._caller = caller
        self._config = config

    def begin(self, filename: str) -> None:
        """The next one counts as one upload of its caller's. Raises HTTPException where it is too many for a form."""
        if len(self.all) == MAX_FILES:
            raise HTTPException(422, f"more than {MAX_FILES} pictures in one batch; send the rest in another")
        photo = Photo(filename)
        self.all.append(photo)
        try:
            photo.arrival = self._ledger.admit(self._caller, 0, self._config)
            photo.draft = intake.draft_for(self._spool, self._caller, self._config)
        except (HTTPException, SpoolError) as refusal:
            photo.refuse(refusal)
        else:
            photo.file = Landing(photo.draft.path / intake.PART)

    def write(self, content: bytes | memoryview) -> None:
        """Its next bytes. Those of a refused one are read past."""
        photo = self.all[-1]
        if photo.error is not None:
            return
        photo.size += len(content)
        if photo.size > self._config.max_upload:
            most = in_units(self._config.max_upload)
            photo.refuse(HTTPException(413, f"the picture is larger than {most}; send a smaller one"))
            return
        assert photo.file and photo.arrival
        try:
            photo.arrival.came(photo.size)
        except HTTPException as refusal:
            photo.refuse(refusal)
        else:
            photo.file.write(content)

    def end(self) -> None:
        """It is whole, and on the disk: of so many, none stays open until all are there. Raises OSError."""
        photo = self.all[-1]
        if photo.file and photo.error is None:
            photo.file.settle()

    def publish(self, wishes: dict[str, Any], key: str | None) -> None:
        """Make each a job, on the disk when this returns; a photo that cannot be one says why."""
        for number, photo in enumerate(self.all):
            if photo.error is not None or photo.draft is None:
                continue
            try:
                # Those before it wait already, and count.
                intake.check_room(self._spool, self._caller, self._config)
                published = intake.publish(
                    photo.draft, self._spool, self._config, photo.filename, wishes, key_of(key, number)
                )
                photo.job_id, photo.replayed = published.found.job.id, not published.is_new
            except (HTTPException, SpoolError) as refusal:
                photo.refuse(refusal)
            except OSError as error:
                # Those before it are jobs by now, and their ids must be told.
                if error.errno not in FULL:
                    raise
                photo.refuse(SpoolFull("the disk is full; free space, then send this one again"))

    def settle(self) -> None:
        """None is under way any more."""
        for photo in self.all:
            photo.end()

    def drop(self) -> None:
        """The form is refused as a whole, or its sender gone."""
        for photo in self.all:
            photo.drop()


def key_of(key: str | None, number: int) -> str | None:
    """The Idempotency-Key of one picture: the same batch again is the same jobs, and makes those still missing."""
    if key is None:
        return None
    idempotency.check(key)
    return f"batch {hashlib.sha256(key.encode()).hexdigest()} {number}"
