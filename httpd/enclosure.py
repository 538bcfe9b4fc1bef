"""A picture enclosed in JSON as base64: the body goes to the disk as it arrives, and is unpacked a few at a time.

JSON must be whole before it is read, and takes three times its size then. Until that, a body of 40 MiB whose sender
has all the time in the world costs the disk alone.
"""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
from typing import Any

import anyio
from starlette.exceptions import HTTPException

from httpd.form import PIECE
from httpd.landing import Landing
from spool import layout
from spool.errors import InvalidRequest
from spool.settings import in_units
from spool.spool import Spool

UNPACKING = anyio.CapacityLimiter(2)
"""Bodies that are whole in memory at the same time, however many arrive."""
_STEP = 1 << 20
"""Letters that are decoded at once."""


class Enclosure:
    """The body of a request: in memory while it is small, then in a file without a name, gone when it is closed."""

    def __init__(self, spool: Spool) -> None:
        # In the spool, whose disk is watched: /tmp is memory on many machines.
        folder = str(spool.root / layout.TMP)
        self._file = tempfile.SpooledTemporaryFile(PIECE, dir=folder)  # noqa: SIM115 (close is ours)

    def feed(self, pieces: list[bytes]) -> None:
        """The next bytes. Raises OSError."""
        for piece in pieces:
            self._file.write(piece)

    def values(self) -> dict[str, Any]:
        """What the body says, which is whole now. Raises HTTPException for what is no JSON object."""
        self._file.seek(0)
        try:
            values = json.loads(self._file.read())
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"the body is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise HTTPException(422, "the body is not a JSON object")
        return values

    def close(self) -> None:
        """Give the memory or the file back."""
        self._file.close()


def unpack(text: str, landing: Landing, limit: int) -> None:
    """Write the picture behind base64, with or without the head of a data URL.

    Raises InvalidRequest for what is no base64, HTTPException (413) for more than `limit` bytes, and OSError.
    """
    at = (text.find(",") + 1 or len(text)) if text.startswith("data:") else 0
    left, ended = "", False
    for begin in range(at, len(text), _STEP):
        left += "".join(text[begin : begin + _STEP].split())
        if ended and left:
            raise InvalidRequest("image is not base64")
        # Four letters are three bytes: pieces of whole fours can be decoded one by one.
        whole = len(left) // 4 * 4 if begin + _STEP < len(text) else len(left)
        piece, left = left[:whole], left[whole:]
        _write(piece, landing, limit)
        ended = ended or piece.endswith("=")  # padding: nothing may follow
    landing.end()


def _write(piece: str, landing: Landing, limit: int) -> None:
    try:
        content = base64.b64decode(piece, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("image is not base64") from None
    if landing.size + len(content) > limit:
        raise HTTPException(413, f"the picture is larger than {in_units(limit)}; send a smaller one")
    landing.write(content)
