"""The queue paused: nothing is claimed until it is resumed. What runs goes on to the end of its stage.

A file in the spool says so, with since when and why, so that it holds over restarts and for every process.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from spool import durable

FOLDER = "queue"
FILE = "paused.json"
_OVER = ".resumed"


@dataclass(frozen=True)
class Pause:
    """Since when (ISO 8601, UTC) the queue is paused, who asked for it, and why, in their words."""

    since: str
    by: str = ""
    reason: str = ""


def pause(root: Path, by: str = "", reason: str = "") -> Pause:
    """Let nothing be claimed from now on. On the disk when this returns; an earlier pause stays as it is."""
    if now := paused(root):
        return now
    wanted = Pause(datetime.now(timezone.utc).isoformat(timespec="seconds"), by, reason)
    durable.make_folder(root / FOLDER)
    durable.replace_json(root / FOLDER / FILE, asdict(wanted))
    return wanted


def resume(root: Path) -> None:
    """Let jobs be claimed again. On the disk when this returns.

    A rename, because that is an event which whoever watches the folder is woken by.
    """
    with contextlib.suppress(FileNotFoundError):
        durable.move(root / FOLDER / FILE, root / FOLDER / _OVER)


def is_paused(root: Path) -> bool:
    """Whether nothing is to be claimed."""
    return os.path.exists(f"{root}/{FOLDER}/{FILE}")  # noqa: PTH110 (each claim asks)


def paused(root: Path) -> Pause | None:
    """The pause that holds, or None. A damaged file is a pause all the same."""
    try:
        told = json.loads((root / FOLDER / FILE).read_bytes())
        return Pause(**told)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Pause(since="", reason=f"{FILE} cannot be read; resume the queue to remove it")
