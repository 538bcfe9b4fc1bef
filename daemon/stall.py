"""Finding workers that get no further, and ending them: every thread's stack to the log, SIGABRT, then SIGKILL.

Progress itself is what is watched (`daemon.pulse`): the steps of a stage, or the turns of an idle worker's loop.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterable

from daemon.child import Crew
from daemon.config import Config

log = logging.getLogger(__name__)

KILL_AFTER = 5.0
"""Seconds between SIGABRT, which dumps every thread's stack, and SIGKILL; and grace beyond the drain limit."""
START_LIMIT = 300.0
"""Seconds a worker may take to import its engine and check it."""
IDLE_GRACE = 60.0
"""Seconds beyond its scan interval that an idle worker may take to give its models back."""


class Stalls:
    """Remembers whom it aborted, and what it told them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._aborted: dict[str, tuple[float, str]] = {}
        self._forgiven = 0.0

    def end(self, crews: Iterable[Crew], *, overdue: bool) -> None:
        """Abort who got no further for too long or, when `overdue`, outlives the drain; kill who ignores it."""
        now = time.monotonic()
        for crew in crews:
            if crew.pid is None:
                continue
            if crew.post.name in self._aborted:
                if now - self._aborted[crew.post.name][0] >= KILL_AFTER:
                    crew.signal(signal.SIGKILL)
            elif reason := self._reason(crew, now, overdue):
                log.error("worker %s (pid %d): %s; aborting it", crew.post.name, crew.pid, reason)
                self._aborted[crew.post.name] = (now, reason)
                crew.signal(signal.SIGABRT)
                crew.signal(signal.SIGCONT)  # a stopped process dies by SIGKILL only, and tells nothing

    def _reason(self, crew: Crew, now: float, overdue: bool) -> str | None:
        if overdue:
            return "it outlived the drain limit"
        silent = min(crew.pulse.silence(now), now - self._forgiven)
        stage = crew.pulse.stage
        if not crew.pulse.is_ready:
            limit, what = START_LIMIT, "while it started"
        elif stage:
            limit, what = self._config.step_limit.of(stage), f"in {stage}"
        else:
            limit, what = self._config.scan_every + IDLE_GRACE, "while it was idle"
        return f"no progress for {silent:.0f} s {what} (limit {limit:g} s)" if silent > limit else None

    def reaped(self, worker: str) -> str | None:
        """The worker has ended: why we aborted it, if we did."""
        return self._aborted.pop(worker, (0.0, None))[1]

    @property
    def any(self) -> bool:
        """Whether somebody is being ended now."""
        return bool(self._aborted)

    def forgive(self) -> None:
        """We ourselves were frozen (a debugger, a suspended machine): what we did not see is nobody's silence."""
        self._forgiven = time.monotonic()
