"""Room for new jobs: a part of the disk is kept back, so that what was accepted can be finished."""

from __future__ import annotations

import os
from pathlib import Path

from spool.errors import SpoolFull


def room_left(root: Path, reserve: int) -> bool:
    """Whether the file system of `root` has more than `reserve` bytes free for this user."""
    disk = os.statvfs(root)
    return disk.f_bavail * disk.f_frsize > reserve


def check_room(root: Path, reserve: int) -> None:
    """Raises SpoolFull where it has not, for somebody who may free space."""
    if not room_left(root, reserve):
        raise SpoolFull(f"less than PROTOSCALE_RESERVE is free under {root}; delete jobs or free space")
