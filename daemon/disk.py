"""Trouble with the disk that is nobody's fault, least of all the job's: full, over quota, broken, read-only."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from spool.ballast import FULL

TROUBLE = (*FULL, errno.EIO, errno.EROFS)

log = logging.getLogger(__name__)


def is_trouble(error: OSError) -> bool:
    """Whether waiting, freeing space or mending the disk is the answer to `error`."""
    return error.errno in TROUBLE


@contextmanager
def unimportant(what: str) -> Iterator[None]:
    """For news and logs: let disk trouble go by, because losing the line costs less than stopping the work."""
    try:
        yield
    except OSError as error:
        if not is_trouble(error):
            raise
        log.debug("%s not written: %s", what, error.strerror)
