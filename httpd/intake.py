"""From a picture in a draft to a job: the checks that every way in shares, and that one key is one job."""

from __future__ import annotations

import hashlib
import json
import struct
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import imagesize
from starlette.exceptions import HTTPException
from starlette.requests import Request

from httpd.access import Caller, caller_of
from httpd.body import announced
from httpd.config import HttpConfig
from httpd.destination import check_url
from httpd.digits import natural
from httpd.ledger import Arrival
from httpd.limits import check_queue, check_share
from httpd.queue import check_level
from httpd.state import config_of, ledger_of
from spool import idempotency, layout, picture, priority
from spool import job as jobs
from spool.callbacks import Promise
from spool.draft import Draft
from spool.errors import InvalidRequest, NoSuchJob, SpoolFull
from spool.reader import Found
from spool.room import room_left
from spool.settings import flag
from spool.spool import Spool
from spool.status import Status

PART = "input.part"
"""What a draft's picture is called until its kind is known."""
_SWEEP_EVERY = 3600.0
_swept = -_SWEEP_EVERY


@dataclass(frozen=True)
class Published:
    """A job as it lies there, and whether this request made it.

    Its id does not say so: a key names the same id again where the first job of it was deleted.
    """

    found: Found
    is_new: bool

    @property
    def headers(self) -> dict[str, str]:
        """What tells the client that an earlier request was answered once more."""
        return {} if self.is_new else {"Idempotency-Replayed": "true"}


def admit(request: Request) -> Arrival:
    """Count an upload of one picture by this caller, from before it is read. Raises HTTPException (429)."""
    return ledger_of(request).admit(caller_of(request), announced(request), config_of(request))


def begin(spool: Spool, caller: Caller, config: HttpConfig) -> Draft:
    """An empty draft for a picture of this caller's. Raises HTTPException and SpoolFull where none is accepted."""
    check_room(spool, caller, config)
    return draft_for(spool, caller, config)


def check_room(spool: Spool, caller: Caller, config: HttpConfig) -> None:
    """Whether one more job of this caller may wait. Raises HTTPException."""
    check_queue(spool, config)
    check_share(spool, caller, config)


def check_disk(spool: Spool, config: HttpConfig) -> None:
    """Whether the disk has room for pictures. Raises SpoolFull."""
    if not room_left(spool.root, config.reserve):
        raise SpoolFull("the disk is almost full: no new jobs are accepted until space is freed")


def draft_for(spool: Spool, caller: Caller, config: HttpConfig) -> Draft:
    """An empty draft. Raises SpoolFull."""
    check_disk(spool, config)
    wanted = jobs.Request.new(
        source="http", name="", suffix=".part", views=False, model=False, client=caller.name
    )
    return spool.draft(wanted)


def publish(
    draft: Draft, spool: Spool, config: HttpConfig, name: str, wishes: dict[str, Any], key: str | None
) -> Published:
    """Make the picture in the draft a job, on the disk when this returns.

    It is called `name` unless the wishes name it. With an Idempotency-Key that was used before, the draft goes and
    the earlier job is the answer.
    """
    part = draft.path / PART
    with part.open("rb") as file:
        suffix = _kind_of(file)
        check_size(file, config)
    asked = {"source": "http", "name": name, "suffix": suffix, "client": draft.request.client, **wishes}
    level = asked.pop("priority", priority.NORMAL)
    request = jobs.Request.new(**asked)
    request = replace(request, id=draft.request.id, callback_url=request.callback_url or config.callback_url)
    if key is None:
        return _move(draft, request, level)
    _sweep(spool)
    with idempotency.hold(spool.root, request.client, key) as entry:
        fingerprint = _fingerprint(part, wishes)
        if entry.job_id and entry.fingerprint != fingerprint:
            raise InvalidRequest(
                "this Idempotency-Key was used for another picture or other wishes; take a new one"
            )
        if entry.job_id and (earlier := _found(spool, entry.job_id)):
            draft.discard()
            return Published(earlier, is_new=False)
        if not entry.job_id:
            entry.record(request.id, fingerprint)
        return _move(draft, replace(request, id=entry.job_id), level)


def _kind_of(file: BinaryIO) -> str:
    head = file.read(picture.HEAD)
    suffix = picture.suffix_of(head)
    if not head:
        raise HTTPException(422, "the file is empty")
    if suffix is None:
        raise HTTPException(415, f"this is not a picture the service reads; send {picture.ACCEPTED}")
    return suffix


def _move(draft: Draft, request: jobs.Request, level: str) -> Published:
    (draft.path / PART).rename(draft.path / request.input)
    if request.callback_url:
        # On the disk before the job appears, so that no end of it is missed.
        Promise(request.id, request.callback_url).write(draft.root)
    folder = layout.INBOX if request.views or request.model else layout.HELD
    job = Draft(draft.root, draft.path, request).publish(folder, level)
    return Published(Found(job, folder, None, Status()), is_new=True)


def _found(spool: Spool, job_id: str) -> Found | None:
    try:
        return spool.find(job_id)
    except NoSuchJob:
        return None


def _fingerprint(part: Path, wishes: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(wishes, sort_keys=True).encode())
    with part.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _sweep(spool: Spool) -> None:
    global _swept
    if time.monotonic() - _swept > _SWEEP_EVERY:
        _swept = time.monotonic()
        idempotency.sweep(spool.root)


def check_size(file: BinaryIO, config: HttpConfig) -> None:
    """Refuse a picture of more pixels than are decoded, by its header alone. Raises HTTPException.

    What has no readable size is let through: the worker's confined decoder decides.
    """
    try:
        width, height = imagesize.get(file)
    except (ValueError, OverflowError, struct.error):
        return
    if max(width, height) > config.max_side or width * height > config.max_pixels:
        raise HTTPException(
            422,
            f"the picture is {width:.0f} x {height:.0f} pixels; at most {config.max_side} a side and "
            f"{config.max_pixels} in all are accepted: send a smaller copy",
        )


def wishes_of(values: dict[str, str], config: HttpConfig, caller: Caller) -> dict[str, Any]:
    """What the fields of a form ask for. Raises InvalidRequest naming the field, HTTPException (403)."""
    start = _flag(values, "start", False)
    wishes: dict[str, Any] = {"views": start, "model": start, "remove_bg": _flag(values, "remove_bg", True)}
    if values.get("callback_url"):
        check_url(values["callback_url"], config.callback_hosts)
        wishes["callback_url"] = values["callback_url"]
    if _flag(values, "allow_lower", False):
        wishes["allow_lower"] = True
    if values.get("priority"):
        wishes["priority"] = check_level(caller, values["priority"])
    if values.get("tags"):
        wishes["tags"] = jobs.tags_in(values["tags"])
    if values.get("name"):
        wishes["name"] = jobs.check_name(values["name"])
    if values.get("seed"):
        wishes["seed"] = natural(values["seed"], jobs.MAX_SEED)
        if wishes["seed"] is None:
            raise InvalidRequest(
                f"seed {values['seed'][:40]!r} is not a whole number from 0 to {jobs.MAX_SEED}"
            )
    if not _flag(values, "enable_pbr", True):
        raise InvalidRequest(
            "enable_pbr=false is not had here: choose quality draft or balanced for a model without texture"
        )
    asked = {values.get("quality"), values.get("quality_preset")} - {None, ""}
    if _flag(values, "enhanced_detail", False):
        asked.add("ultra")
    if len(asked) > 1:
        raise InvalidRequest(
            "quality, quality_preset and enhanced_detail (which means ultra) say different things: "
            f"{', '.join(sorted(map(str, asked)))}; send one"
        )
    return {**wishes, **({"quality": asked.pop()} if asked else {})}


def _flag(values: dict[str, str], name: str, default: bool) -> bool:
    if not values.get(name):
        return default
    try:
        return flag(values[name])
    except ValueError:
        raise InvalidRequest(f"{name} {values[name]!r} is neither true nor false") from None
