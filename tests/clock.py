"""A clock that goes on when a test says so."""

from __future__ import annotations

import time

DAY = 86400.0


class Clock:
    """Takes the place of the module `time` in one file of the code; `now` is its monotonic clock, in seconds."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        self._ahead = time.time() - self.now

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        """The wall clock, which goes on with the other."""
        return self.now + self._ahead
