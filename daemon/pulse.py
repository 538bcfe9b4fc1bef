"""A few numbers in memory shared by one worker and its supervisor.

A worker beats from its progress callback, not from a side thread: a thread goes on beating while the work
hangs. All times are CLOCK_MONOTONIC, which is one clock for all processes of the machine.
"""

from __future__ import annotations

import time
from multiprocessing.sharedctypes import RawArray

_READY, _SINCE, _STEPPED, _JOBS, _BUSY = range(5)


class Pulse:
    """Written by the worker, read by the supervisor. Each number is one aligned double, so reads are whole."""

    def __init__(self) -> None:
        self._numbers = RawArray("d", 5)

    def reset(self) -> None:
        """A new process takes over: it is not ready yet, and idle."""
        self._numbers[_READY] = self._numbers[_SINCE] = self._numbers[_STEPPED] = 0.0

    def ready(self) -> None:
        """The worker's engine passed its check."""
        self._numbers[_READY] = 1.0

    def begin(self) -> None:
        """A stage starts now."""
        self._numbers[_STEPPED] = self._numbers[_SINCE] = time.monotonic()

    def step(self) -> None:
        """The stage got further."""
        self._numbers[_STEPPED] = time.monotonic()

    def end(self) -> None:
        """The stage is over, however it ended."""
        self._numbers[_BUSY] += time.monotonic() - self._numbers[_SINCE]
        self._numbers[_JOBS] += 1
        self._numbers[_SINCE] = 0.0

    @property
    def is_ready(self) -> bool:
        return bool(self._numbers[_READY])

    @property
    def is_busy(self) -> bool:
        return bool(self._numbers[_SINCE] > 0)

    @property
    def jobs(self) -> int:
        """How many stages were run at this post."""
        return int(self._numbers[_JOBS])

    def silence(self, now: float) -> float:
        """Seconds since the running stage last got further; 0 for an idle worker."""
        return now - self._numbers[_STEPPED] if self.is_busy else 0.0

    def busy_seconds(self, now: float) -> float:
        """Seconds spent in stages at this post, the running one included."""
        since = float(self._numbers[_SINCE])
        return float(self._numbers[_BUSY]) + (now - since if since > 0 else 0.0)
