"""Jobs that the service may not move, because another user made them: passed over by all, and told to people.

They are looked for now and then, and not where they are met: a worker that passes one over has work to do, and the
supervisor alone writes the board.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

from spool import layout, rights
from spool.draft import ADOPTION
from spool.line import LONG, PATIENCE, first_in
from spool.spool import Spool

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two looks; longer where one takes long."""
NAMED = 3
"""So many are named on the board; of more, their number is told."""


class Barred:
    """Remembers which were found at the last look. Of a long line it knows the first thousand."""

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()
        """For people: each job, and what to do."""
        self._found: frozenset[Path] = frozenset()
        self._due = float("-inf")

    def look(self, spool: Spool) -> None:
        """Look for them where it is time to; one that is new is logged, once. Raises OSError."""
        began = time.monotonic()
        if began < self._due:
            return
        barred = (path for path in _places(spool) if path.is_dir() and not rights.may_move(path))
        told = {path: note for path in barred if (note := _note(path))}
        for path in told.keys() - self._found:
            log.warning("%s", told[path])
        more = [f"and {len(told) - NAMED} more jobs like these"] if len(told) > NAMED else []
        self._found, self.notes = frozenset(told), (*list(told.values())[:NAMED], *more)
        now = time.monotonic()
        self._due = now + max(EVERY, PATIENCE * (now - began))


def _places(spool: Spool) -> Iterator[Path]:
    """Where jobs lie that the service is to move: those that wait, those it claimed, and half-taken drops."""
    for stage in layout.STAGES:
        for job_id in first_in(spool.root, stage.folder, LONG):
            yield spool.root / stage.folder / job_id
    for worker in spool.workers():
        for job_id in spool.waiting(f"{layout.RUNNING}/{worker}"):
            yield spool.root / layout.RUNNING / worker / job_id
    yield from sorted((spool.root / layout.TMP).glob(f"{ADOPTION}*"))


def _note(path: Path) -> str:
    """What to say of it; empty where it has gone, or was mended, this instant."""
    try:
        why = rights.obstacle(path)
    except FileNotFoundError:
        return ""
    return f"{path} cannot be worked on and is passed over: {why}" if why else ""
