"""Root at the command line: what it makes in a spool must be the service's to move, and the service is not root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def acting_for_owner(root: Path) -> Iterator[None]:
    """Where root runs this, be the owner of the spool at `root` in here; else, and in a new spool, nothing changes.

    Not for the caller's own files: the owner of the spool need not be able to read photos, or to write results.
    """
    if os.geteuid() != 0 or not root.is_dir():
        yield
        return
    owner, group = root.stat(), os.getegid()
    os.setegid(owner.st_gid)  # first: who is not root may not
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
