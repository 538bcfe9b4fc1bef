"""What each caller uploads: counted as it arrives, and until a minute after it is over.

Kept in this process's memory: with several processes each allows as much. This machine's own people (loopback, no
key) have no limits of their own.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable

from starlette.exceptions import HTTPException

from httpd.access import Caller
from httpd.config import HttpConfig
from spool.settings import in_units

WINDOW = 60.0
"""Seconds."""


class Arrival:
    """One upload: under way until it is ended, which the end of a `with` does."""

    def __init__(self, ledger: Ledger, caller: Caller, config: HttpConfig, size: int, began: float) -> None:
        self.caller = caller
        self.config = config
        self.size = size
        """Bytes that count: those announced, or those that came if they are more."""
        self.began = began
        self.ended: float | None = None
        self._ledger = ledger

    def came(self, total: int) -> None:
        """So many bytes of it are here. Raises HTTPException (429) where its caller may not send that many."""
        if total > self.size:
            self._ledger.grow(self, total)

    def end(self) -> None:
        """It is a job, or refused, or its sender is gone; again is no harm."""
        self._ledger.end(self)

    def __enter__(self) -> Arrival:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class Ledger:
    """The uploads under way and of the last minute, per caller. Threads may use it at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._arrivals: dict[str, list[Arrival]] = {}
        self._lock = threading.Lock()

    def admit(self, caller: Caller, size: int, config: HttpConfig) -> Arrival:
        """Count an upload of which `size` bytes are announced. Raises HTTPException (429)."""
        with self._lock:
            now = self._clock()
            arrival = Arrival(self, caller, config, size, now)
            if caller.name:
                recent = self._recent(caller.name, now)
                _check(recent, size, config, now)
                recent.append(arrival)
            return arrival

    def check(self, caller: Caller, config: HttpConfig) -> None:
        """Whether an upload of one byte would be admitted; it is not counted. Raises HTTPException (429)."""
        with self._lock:
            now = self._clock()
            if caller.name:
                _check(self._recent(caller.name, now), 1, config, now)

    def grow(self, arrival: Arrival, size: int) -> None:
        """More of it came than was announced. Raises HTTPException (429)."""
        with self._lock:
            if arrival.caller.name:
                now = self._clock()
                recent = self._recent(arrival.caller.name, now)
                _check_bytes(recent, size - arrival.size, arrival.config, now)
            arrival.size = size

    def end(self, arrival: Arrival) -> None:
        """From now on it counts for a minute."""
        with self._lock:
            if arrival.ended is None:
                arrival.ended = self._clock()

    def _recent(self, name: str, now: float) -> list[Arrival]:
        if len(self._arrivals) > 10_000:
            kept = {known: _counting(arrivals, now) for known, arrivals in self._arrivals.items()}
            self._arrivals = {known: arrivals for known, arrivals in kept.items() if arrivals}
        recent = self._arrivals[name] = _counting(self._arrivals.get(name, ()), now)
        return recent


def _counting(arrivals: Iterable[Arrival], now: float) -> list[Arrival]:
    return [one for one in arrivals if one.ended is None or one.ended > now - WINDOW]


def _check(recent: list[Arrival], size: int, config: HttpConfig, now: float) -> None:
    # One under way holds a connection and a draft, however long ago it began.
    begun = [one for one in recent if one.ended is None or one.began > now - WINDOW]
    if config.client_uploads and len(begun) >= config.client_uploads:
        times = [now if one.ended is None else one.began for one in begun]
        raise _refusal(f"{config.client_uploads} uploads a minute", times, now)
    _check_bytes(recent, size, config, now)


def _check_bytes(recent: list[Arrival], more: int, config: HttpConfig, now: float) -> None:
    if config.client_bytes and sum(one.size for one in recent) + more > config.client_bytes:
        times = [now if one.ended is None else one.ended for one in recent]
        limit = f"{in_units(config.client_bytes)} of uploads a minute"
        raise _refusal(limit, times, now)


def _refusal(limit: str, times: list[float], now: float) -> HTTPException:
    """`times` are those from which on a minute must pass."""
    wait = max(1, math.ceil(min(times, default=now) + WINDOW - now))
    return HTTPException(429, f"more than {limit}; wait {wait} s", {"Retry-After": str(wait)})
