"""The ids in a folder, read again only when the folder changed: every status says how many wait before it.

The kernel's time of a folder is as coarse as its clock tick, so a reading is kept only once that time is safely past.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from spool.ids import only

_TICK = 50_000_000
_KEPT = 16
_kept: dict[Path, tuple[int, tuple[str, ...]]] = {}


def ids_in(folder: Path) -> Sequence[str]:
    """The job ids in `folder`, oldest first."""
    changed_at = folder.stat().st_mtime_ns
    known = _kept.get(folder)
    if known and known[0] == changed_at:
        return known[1]
    ids = tuple(sorted(only(os.listdir(folder))))
    # Its time was read before its names, and so is never newer than they are.
    if time.time_ns() - changed_at > _TICK:
        if len(_kept) >= _KEPT:
            _kept.clear()
        _kept[folder] = (changed_at, ids)
    return ids
