"""Whose a spool is: told to somebody who may not use it, so that they know as whom to try."""

from __future__ import annotations

import os
from pathlib import Path

from spool import layout, rights


def closed(root: Path, error: OSError) -> str | None:
    """Why this user may not use the spool at `root`, and what helps; None where it is not there to be used."""
    if not isinstance(error, PermissionError):
        return None
    found = _nearest(root)
    if found is None:
        return None
    place, seen = found
    may_enter = place == root and os.access(root, os.R_OK | os.X_OK)
    advice = f"use `sudo -u {rights.for_sudo(rights.user_name(seen.st_uid))}`"
    if not may_enter and seen.st_mode & 0o050 == 0o050:
        advice += f", or join the group {rights.group_name(seen.st_gid)}"
    verb = "written" if may_enter else "entered"
    return f"the spool {root} may not be {verb} by this user ({error.strerror}: {error.filename}); {advice}"


def not_writable(root: Path) -> str | None:
    """The first folder of a spool into which this user may put nothing, and whose it is; None where there is none."""
    for folder in layout.FOLDERS:
        if not os.access(root / folder, os.W_OK | os.X_OK):
            return f"{root / folder} belongs to {rights.owner(root / folder)}"
    return None


def _nearest(root: Path) -> tuple[Path, os.stat_result] | None:
    """The spool, or the folder on the way to it that keeps this user out; None where the spool is not there."""
    for place in (root, *root.parents):
        try:
            return place, place.stat()
        except PermissionError:
            continue
        except OSError:
            return None
    return None
