"""From errors to answers: JSON `{"detail": "..."}` with the right code, decided in this one place."""

from __future__ import annotations

import errno
import logging
import os
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from spool.ballast import FULL
from spool.errors import InvalidRequest, NoSuchJob, SpoolError, SpoolFull, WrongState

_CODES: tuple[tuple[type[SpoolError], int], ...] = (
    (NoSuchJob, 404),
    (WrongState, 409),
    (InvalidRequest, 422),
    (SpoolFull, 507),
)
NOT_NOW = (errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What the kernel says of a sick disk, wrong rights, or a machine that has run out of something."""

log = logging.getLogger(__name__)


def answer(code: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error in the API's form."""
    return JSONResponse({"detail": detail}, code, headers)


def spool_error(request: Request, error: Exception) -> Response:
    """What the spool refused."""
    assert isinstance(error, SpoolError)
    return answer(code_of(error), str(error))


def code_of(error: SpoolError | HTTPException) -> int:
    """The status code of a refusal."""
    if isinstance(error, HTTPException):
        return error.status_code
    return next((code for kind, code in _CODES if isinstance(error, kind)), 503)


def http_error(request: Request, error: Exception) -> Response:
    """What Starlette or a route refused."""
    assert isinstance(error, HTTPException)
    return answer(error.status_code, error.detail, dict(error.headers or {}))


def os_error(request: Request, error: Exception) -> Response:
    """A full or sick disk is told as such; anything else is our bug and goes up to where it is logged."""
    if isinstance(error, OSError) and error.errno in FULL:
        return answer(507, "the disk is full; delete jobs or free space, then send it again")
    if isinstance(error, OSError) and error.errno in NOT_NOW:
        log.error("%s %s: %s", request.method, quote(request.url.path), error)
        reason = os.strerror(error.errno)
        return answer(
            503, f"the spool cannot be used now ({reason}); the server's log names the file. Try again"
        )
    raise error


def gone(request: Request, error: Exception) -> Response:
    """The sender went away within its body: nobody is there to read this."""
    return Response(status_code=400)


def bug(request: Request, error: Exception) -> Response:
    """Our bug: a short answer here, the traceback in the log."""
    return answer(500, "the server made a mistake; its log has the details")
