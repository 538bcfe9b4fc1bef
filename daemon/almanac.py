"""How old a file is, by a clock that nobody can set.

Files carry wall-clock times, and a wall clock jumps: a flat battery, a wrong time server, a typing mistake. A
jump of a year must not delete a year's worth of jobs. So a second clock runs beside it, the wall clock as it was at
start carried on by the monotonic clock, and a file is as old as the *younger* of the two says. Errors are on the
side of keeping, and are gone when the clock is right again.
"""

from __future__ import annotations

import time

SETTLING = 3600.0
"""Seconds after start in which nothing is judged by age: a machine that boots with a wrong clock gets it set."""


class Almanac:
    """Two clocks, read together."""

    def __init__(self) -> None:
        self._wall = time.time()
        self._monotonic = time.monotonic()

    @property
    def running(self) -> float:
        """Seconds since this almanac was begun."""
        return time.monotonic() - self._monotonic

    @property
    def trusted(self) -> bool:
        """Whether the clock had time to be set."""
        return self.running >= SETTLING

    def age(self, modified: float) -> float:
        """Seconds since the wall-clock time `modified`; never more than what this service has reason to believe."""
        return self.now - modified

    @property
    def now(self) -> float:
        """The earlier of the two clocks, as wall-clock time."""
        return min(time.time(), self._wall + self.running)
