"""What the kernel refused a command: which path, why, and what to do; as one line and an exit code."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from daemon.cli import exits
from spool import rights
from spool.ballast import FULL
from spool.settings import SpoolSettings, read

_RIGHTS = (errno.EACCES, errno.EPERM)


def refusal(error: OSError) -> tuple[str, int] | None:
    """The line and the code; None where it is our bug, and its traceback says more."""
    if error.errno not in (*_RIGHTS, *FULL, errno.EROFS):
        return None
    path = _path_of(error)
    what = f"{path}: {error.strerror}" if path else str(error.strerror)
    if error.errno in FULL:
        return f"{what}; free space or delete jobs, then try again", exits.TEMPORARY
    root = read(SpoolSettings).spool.absolute()
    if path is None or not path.is_relative_to(root):
        return what, exits.USAGE
    if error.errno == errno.EROFS:
        return f"{what}; mount it writable, or set PROTOSCALE_SPOOL to another directory", exits.CONFIG
    return f"{what}; {_advice(path, root)}", exits.CONFIG


def _path_of(error: OSError) -> Path | None:
    """The file of the spool's that people know: for one that was being written aside, its folder."""
    if not isinstance(error.filename, (str, bytes)):
        return None
    path = Path(str(error.filename))
    return path.parent if path.name.startswith(".") and path.suffix == ".aside" else path


def _advice(path: Path, root: Path) -> str:
    """What to do where somebody may not do something with `path` in the spool `root`."""
    try:
        with rights.of_owner(root):  # that of root too, who did it with the owner's
            mine = root.stat().st_uid == os.geteuid()
            there = next(place for place in (path, *path.parents) if place.exists())
            if mine and there.stat().st_uid != os.geteuid():
                return f"it belongs to {rights.owner(there)}: `{rights.give_to_us(there)}`"
    except OSError:
        pass  # what may not even be looked at belongs to somebody else
    whose = rights.owner(root)
    as_whom = f"run the command as {whose} (`sudo -u {rights.for_sudo(whose)} ...`)"
    return f"this user may not do that in the spool of {whose}: {as_whom}"
