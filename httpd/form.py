"""A multipart form as it arrives: pictures into a sink, the few fields into `values`; never whole into memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import unquote

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from httpd.body import chunks
from httpd.ledger import Arrival

FILE = ("file", "files")
"""`files` is what older clients call it."""
FIELDS = (
    "remove_bg",
    "enhanced_detail",
    "quality",
    "quality_preset",
    "enable_pbr",
    "seed",
    "allow_lower",
    "start",
    "priority",
    "tags",
    "name",
    "callback_url",
)
MAX_FIELD = 1024
PIECE = 1 << 20
"""Bytes that are gathered before a thread parses and writes them; meanwhile as many may be gathered again."""
LEAST = 1 << 12
"""What a piece counts at least: of a body that comes byte by byte, not a million objects are gathered."""
MAX_BOUNDARY = 256
"""What the parser takes; RFC 2046 allows 70."""


_ESCAPED = re.compile("%22|%0D|%0A")
"""What browsers write for a quote and the ends of lines in the name of a file, and nothing else (WHATWG HTML,
multipart/form-data). A `%` they send as it is: a name that holds one of these three itself cannot be told apart."""


class Sink(Protocol):
    """Where pictures go, one after the other."""

    def begin(self, filename: str) -> None:
        """A picture begins. Raises HTTPException where there may be none."""

    def write(self, content: bytes | memoryview) -> None:
        """The next bytes of it. Raises OSError."""

    def end(self) -> None:
        """It is whole."""


def boundary_of(request: Request) -> bytes:
    """What separates the parts of the form. Raises HTTPException for what is no form."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise HTTPException(415, "send the picture as multipart/form-data, in a field called `file`")
    if len(boundary) > MAX_BOUNDARY:
        raise HTTPException(400, f"the form's boundary is longer than {MAX_BOUNDARY} bytes")
    return boundary


class Fed(Protocol):
    """What takes a body as it arrives."""

    def feed(self, pieces: list[bytes]) -> None:
        """The next bytes. Raises HTTPException and OSError."""


async def receive(
    request: Request, taker: Fed, limit: int, patience: float, arrival: Arrival | None = None
) -> list[bytes]:
    """Feed the body to the taker, in a thread, while more of it arrives. Returns the last pieces, not fed yet.

    Parsing and writing never hold up the event loop; a sender that is faster waits for them. Raises HTTPException,
    ClientDisconnect and OSError, and has no thread at work when it returns or raises.
    """
    gathered: list[bytes] = []
    size = 0
    feeding: asyncio.Task[None] | None = None
    try:
        async for piece in chunks(request, limit, patience, arrival):
            gathered.append(piece)
            size += max(len(piece), LEAST)
            if feeding and (feeding.done() or size >= PIECE):
                await feeding  # what it found wrong is told before more is taken
                feeding = None
            if size >= PIECE:
                feeding = asyncio.create_task(run_in_threadpool(taker.feed, gathered))
                gathered, size = [], 0
    finally:
        if feeding:
            await feeding
    return gathered


class Form:
    """The parser of one form."""

    def __init__(self, boundary: bytes, sink: Sink) -> None:
        self.values: dict[str, str] = {}
        self._sink = sink
        self._header, self._headers = (b"", b""), dict[bytes, bytes]()
        self._name = ""
        self._value = bytearray()
        self._ended = False
        self._parser = MultipartParser(boundary, self._callbacks())

    def feed(self, pieces: list[bytes]) -> None:
        """Parse the next bytes. Raises HTTPException for what is no form, or not this one, and OSError."""
        try:
            for piece in pieces:
                self._parser.write(piece)
        except MultipartParseError as error:
            raise HTTPException(400, f"the form cannot be read: {error}") from None

    def end(self, pieces: list[bytes]) -> None:
        """The body is over with these. Raises HTTPException where the form is not, and what `feed` does."""
        self.feed(pieces)
        if not self._ended:
            raise HTTPException(400, "the form ends too early; send it again")

    def _callbacks(self) -> Any:
        calls: dict[str, Callable[..., None]] = {
            "on_part_begin": self._part_begin,
            "on_header_field": lambda data, start, end: self._add_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_header(1, data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": lambda data, start, end: self._part_data(memoryview(data)[start:end]),
            "on_part_end": self._part_end,
            "on_end": self._form_end,
        }
        return calls

    def _part_begin(self) -> None:
        self._headers = {}
        self._value.clear()

    def _add_header(self, at: int, text: bytes) -> None:
        name, value = self._header
        self._header = (name + text, value) if at == 0 else (name, value + text)

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = (b"", b"")

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name in FILE:
            filename = options.get(b"filename", b"").decode("utf-8", "replace")
            self._sink.begin(_ESCAPED.sub(lambda found: unquote(found[0]), filename) or "upload")
        elif self._name not in FIELDS:
            raise HTTPException(422, f"unknown field {self._name!r}; accepted: file, {', '.join(FIELDS)}")

    def _part_data(self, content: memoryview) -> None:
        if self._name in FILE:
            self._sink.write(content)
            return
        self._value += content
        if len(self._value) > MAX_FIELD:
            raise HTTPException(422, f"field {self._name!r} is longer than {MAX_FIELD} bytes")

    def _part_end(self) -> None:
        if self._name in FILE:
            self._sink.end()
        elif self._name in self.values:
            raise HTTPException(422, f"field {self._name!r} is given twice")
        else:
            self.values[self._name] = self._value.decode("utf-8", "replace").strip()

    def _form_end(self) -> None:
        self._ended = True
