"""Waiting for jobs: how far they are, and whether anybody works on them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from daemon.cli.progress import Line
from daemon.cli.queue import in_words
from spool import lock
from spool.command import typed
from spool.pause import Pause, paused
from spool.spool import Spool
from spool.view import COMPLETED, GIVEN_UP, look

POLL = 0.1
ASK_EVERY = 1.0
"""Seconds between two looks at whether a service runs, and whether the queue is paused."""
GRACE = 15.0
"""Seconds that a service may be away: one that is restarted comes back in a few."""


class Vigil:
    """What one command that waits knows of the service, for all its jobs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._asked = 0.0
        self._seen = time.monotonic()
        self._is_away = False
        self._pause: Pause | None = None

    @property
    def is_over(self) -> bool:
        """Whether nobody has worked here for so long that nobody will."""
        return self._is_away and time.monotonic() - self._seen > GRACE

    def news(self) -> list[str]:
        """What changed since the last time, for people."""
        now = time.monotonic()
        if now - self._asked < ASK_EVERY:
            return []
        self._asked = now
        return [*self._of_the_service(now), *self._of_the_queue()]

    def _of_the_service(self, now: float) -> list[str]:
        was_away, self._is_away = self._is_away, not lock.is_held(self._root)
        if not self._is_away:
            self._seen = now
            return ["the service is back"] if was_away else []
        return [] if was_away else [f"the service stopped; waiting {GRACE:.0f} s for another"]

    def _of_the_queue(self) -> list[str]:
        before, self._pause = self._pause, paused(self._root)
        if self._pause and self._pause != before:
            return [f"{in_words(self._pause)}; {typed('resume')} goes on"]
        return ["the queue goes on"] if before and not self._pause else []


def wait(spool: Spool, job_id: str, vigil: Vigil) -> dict[str, Any]:
    """Show a job's progress until it ends, or nobody works on it any more; returns its last status."""
    line = Line()
    try:
        while True:
            told = look(spool, job_id)
            if has_ended(told):
                line.show(told["progress"], told["stage"], f"{told['name']}: {told['message']}")
                return told
            for text in vigil.news():
                line.note(text)
            if vigil.is_over:
                return told
            waits = f"waiting, number {told['queue_position']}" if told["queue_position"] else told["message"]
            line.show(told["progress"], told["stage"], f"{told['name']}: {waits}")
            time.sleep(POLL)
    finally:
        line.end()


def has_ended(told: dict[str, Any]) -> bool:
    """Whether a status is one that stays."""
    return told["status"] in (COMPLETED, GIVEN_UP)
