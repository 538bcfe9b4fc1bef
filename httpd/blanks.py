"""Pictures of which no small one can be made, remembered for a while: to find it out again costs a process each time.

A page asks for the thumbnail of every job it shows, and of a photo that no decoder reads it asks again and again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

KEPT = 1000
"""Pictures; some 100 KB."""
FORGET = 600.0
"""Seconds. What failed for want of time or memory may go well on a calmer machine."""


class Blanks:
    """Why there is no small picture, by the ETag that it would have: what it is made of, and its size."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, str]] = {}

    def why(self, etag: str) -> str | None:
        """The reason, where it was found lately."""
        since, reason = self._kept.get(etag, (0.0, None))
        if reason is not None and self._clock() >= since + FORGET:
            del self._kept[etag]
            return None
        return reason

    def keep(self, etag: str, reason: str) -> None:
        """Remember it; the oldest goes where there are too many."""
        if len(self._kept) >= KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[etag] = self._clock(), reason
