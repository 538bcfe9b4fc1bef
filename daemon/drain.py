"""A service's way to its end: asked for, begun at the next turn, and enforced once its time is over."""

from __future__ import annotations

import time

from daemon.stall import KILL_AFTER


class Drain:
    """Running stages have `limit` seconds to finish; nothing new is begun while it is on."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._is_asked = False
        self._since: float | None = None

    def ask(self) -> None:
        """Wish for it. Only sets a flag, so a signal handler may."""
        self._is_asked = True

    def begin(self) -> bool:
        """Whether it begins now: it was asked for, and was not on."""
        if not self._is_asked or self.is_on:
            return False
        self._since = time.monotonic()
        return True

    @property
    def is_on(self) -> bool:
        return self._since is not None

    @property
    def is_overdue(self) -> bool:
        """Whether who still runs has had its time, and is to be ended."""
        return self._since is not None and time.monotonic() - self._since > self.limit + KILL_AFTER

    @property
    def longest(self) -> float:
        """Seconds that it may take in all: who is overdue is aborted first, and killed later."""
        return self.limit + 2 * KILL_AFTER
