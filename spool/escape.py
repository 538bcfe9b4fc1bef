"""Text of strangers on a line of ours: what would break the line, or speak to the terminal, is written out."""

from __future__ import annotations

import re

_LOUD = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (with those that begin terminal sequences), line breaks, what turns the direction of writing,
and halves of characters, which no stream in UTF-8 takes."""


def escaped(text: str) -> str:
    r"""The same on one line, with `\n`, `\x1b` and their like for what is no character to read.

    Backslashes stay as they are: this is for people's eyes, and nothing reads it back.
    """
    return _LOUD.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
