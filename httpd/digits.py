"""Whole numbers that a client wrote: in a query, a header or a field."""

from __future__ import annotations


def natural(text: str, most: int) -> int | None:
    """The number from 0 to `most` that `text` is; None for anything else.

    Only 0 to 9 are digits, as in every format we read. `int` alone also takes signs, spaces, underscores and the
    digits of other scripts, and raises for more than 4,300 of them.
    """
    if not (text.isascii() and text.isdecimal()):
        return None
    digits = text.lstrip("0")
    if len(digits) > len(str(most)):
        return None
    value = int(digits or "0")
    return value if value <= most else None
