"""Whose a spool is: told to somebody who may not use it, so that they know as whom to try."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from spool import layout


def closed(root: Path, error: OSError) -> str | None:
    """Why this user may not use the spool at `root`, and what helps; None where it is not there to be used."""
    if not isinstance(error, PermissionError):
        return None
    found = _nearest(root)
    if found is None:
        return None
    place, seen = found
    may_enter = place == root and os.access(root, os.R_OK | os.X_OK)
    owner = _name_of_user(seen.st_uid)
    advice = f"use `sudo -u {owner}`"
    if not may_enter and seen.st_mode & 0o050 == 0o050:
        advice += f", or join the group {_name_of_group(seen.st_gid)}"
    verb = "written" if may_enter else "entered"
    return f"the spool {root} may not be {verb} by this user ({error.strerror}: {error.filename}); {advice}"


def not_writable(root: Path) -> str | None:
    """The first folder of a spool into which this user may put nothing, and whose it is; None where there is none."""
    for folder in layout.FOLDERS:
        if not os.access(root / folder, os.W_OK | os.X_OK):
            return f"{root / folder} belongs to {_name_of_user((root / folder).stat().st_uid)}"
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


def _name_of_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"  # as sudo takes it


def _name_of_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"#{gid}"
