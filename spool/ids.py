"""Job ids: UUIDv7, so that names sort by age and `ls` shows the queue in order."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable

_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
PATTERN = f"^{_CANONICAL.pattern}$"
"""The same for a JSON schema."""
_last_tick = 0


def new_id() -> str:
    """A fresh id, greater than every id this process made before it.

    The 12 bits after the version hold the fraction of the millisecond (RFC 9562, section 6.2, method 3),
    so two ids of one process are ordered even within a millisecond. The standard library has `uuid7`
    from Python 3.14 on only.
    """
    global _last_tick
    tick = max(time.time_ns() * 4096 // 1_000_000, _last_tick + 1)
    _last_tick = tick
    millis, fraction = divmod(tick, 4096)
    noise = int.from_bytes(os.urandom(8), "big") >> 2
    digits = f"{millis << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | noise:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def is_job_id(name: str) -> bool:
    """Whether `name` is a job id and nothing else: also what keeps paths out of the URLs."""
    return _CANONICAL.fullmatch(name) is not None


_AMONG_NAMES = re.compile(rf"(?:\A|(?<=\0)){_CANONICAL.pattern}(?=\0|\Z)")


def only(names: Iterable[str]) -> list[str]:
    """Those of the names that are job ids. One pass in C: a folder may hold 100,000, and every status counts them."""
    return _AMONG_NAMES.findall("\0".join(names))  # NUL is the one character that no file name holds


def made_at(job_id: str) -> float:
    """When an id was made, in seconds since 1970."""
    return int(job_id[:8] + job_id[9:13], 16) / 1000
