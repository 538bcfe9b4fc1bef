"""A job: what was asked for, and the directory that holds it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from spool import layout, rights, small
from spool.errors import InvalidRequest
from spool.ids import is_job_id, made_at, new_id

SOURCES = ("http", "inbox", "cli")
LOST = "lost"
"""The source of a job whose `request.json` cannot be read any more."""
MAX_SEED = 2**32 - 1
FORMAT = 1
MAX_TAGS = 20
MAX_TAG = 50
MAX_NAME = 200


@dataclass(frozen=True)
class Request:
    """The content of `request.json`, validated. It says what is wanted, never how far it got."""

    id: str
    created: str
    source: str
    name: str
    input: str
    views: bool = True
    model: bool = True
    remove_bg: bool = True
    quality: str = layout.DEFAULT_QUALITY
    seed: int = 0
    version: int = FORMAT
    client: str = ""
    callback_url: str = ""
    allow_lower: bool = False
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            if type(getattr(self, name)) is not kind:
                raise InvalidRequest(f"{name} must be {_PLAIN[kind]}, not {getattr(self, name)!r}")
        if self.version != FORMAT:
            raise InvalidRequest(f"request version {self.version} is not one this service knows ({FORMAT})")
        if not is_job_id(self.id):
            raise InvalidRequest(f"id {self.id!r} is not a UUIDv7")
        if self.source not in (*SOURCES, LOST):
            raise InvalidRequest(f"source {self.source!r} is not one of {', '.join(SOURCES)}")
        if self.quality not in layout.QUALITIES:
            raise InvalidRequest(f"quality {self.quality!r} is not one of {', '.join(layout.QUALITIES)}")
        if not 0 <= self.seed <= MAX_SEED:
            raise InvalidRequest(f"seed {self.seed} is not between 0 and {MAX_SEED}")
        if not self.input.startswith("input.") or "/" in self.input:
            raise InvalidRequest(f"input {self.input!r} is not the name of an input file")
        _check_tags(self.tags)

    @classmethod
    def new(cls, *, source: str, name: str, suffix: str, **wishes: Any) -> Request:
        """A request with a fresh id for a picture called `name`, kept as `input<suffix>`.

        Raises InvalidRequest for a wish that is not understood.
        """
        unknown = set(wishes) - set(_KINDS)
        if unknown:
            raise InvalidRequest(f"unknown setting {', '.join(sorted(unknown))}")
        created = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        return cls(
            id=new_id(),
            created=created,
            source=source,
            name=_printable(name),
            input=f"input{suffix}",
            **wishes,
        )

    @classmethod
    def parse(cls, content: bytes) -> Request:
        """Read `request.json`. Raises InvalidRequest for anything but a whole and valid request."""
        try:
            value = json.loads(content)
        except ValueError as error:
            raise InvalidRequest(f"request.json is not JSON: {error}") from None
        if not isinstance(value, Mapping) or not _REQUIRED <= set(value) <= set(_KINDS):
            raise InvalidRequest(f"request.json must hold exactly {', '.join(_KINDS)}")
        tags = value.get("tags", ())
        return cls(**{**value, "tags": tuple(tags) if isinstance(tags, list) else tags})

    @classmethod
    def lost(cls, job_id: str) -> Request:
        """What stands for a `request.json` that cannot be read, of a job at rest: nobody asks for more in it."""
        created = datetime.fromtimestamp(made_at(job_id), timezone.utc).isoformat(timespec="milliseconds")
        return cls(
            job_id, created, LOST, "(its request cannot be read)", "input.lost", views=False, model=False
        )

    def as_json(self) -> dict[str, Any]:
        """The value `parse` reads back."""
        return dict(vars(self))

    def wanting(self, *, views: bool, model: bool) -> Request:
        """The same request with other wishes."""
        return replace(self, views=views, model=model)

    @property
    def views_only(self) -> bool:
        """Only the four views are wanted: the job ends in `held/`, its mesh kept for a later model."""
        return self.views and not self.model


_PLAIN: dict[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    tuple: "a list of texts",
}
_TYPES: dict[str, type] = {"str": str, "bool": bool, "int": int, "tuple[str, ...]": tuple}
_KINDS: dict[str, type] = {field.name: _TYPES[str(field.type)] for field in fields(Request)}


# Fields that came later; a request.json from before them is as good as any.
_REQUIRED = set(_KINDS) - {"client", "callback_url", "allow_lower", "tags"}


def _check_tags(tags: tuple[str, ...]) -> None:
    if len(tags) > MAX_TAGS:
        raise InvalidRequest(f"{len(tags)} tags are more than a job may have ({MAX_TAGS})")
    for tag in tags:
        if not (
            isinstance(tag, str) and 0 < len(tag) <= MAX_TAG and tag.isprintable() and tag == tag.strip()
        ):
            raise InvalidRequest(
                f"tag {tag!r} is not a word or phrase of 1 to {MAX_TAG} printable characters"
            )
        if "," in tag:
            raise InvalidRequest(f"tag {tag!r} holds a comma, which is what separates tags")
    if len(set(tags)) < len(tags):
        raise InvalidRequest(f"tags {', '.join(tags)} name one twice")


def tags_in(text: str) -> tuple[str, ...]:
    """The tags in a text, between commas. `Request` says which are none."""
    return tuple(tag for part in text.split(",") if (tag := part.strip()))


def check_name(name: str) -> str:
    """A name that somebody gives a job. Raises InvalidRequest: results are put into folders named after it."""
    if not (0 < len(name) <= MAX_NAME and name.isprintable() and "/" not in name and name.strip(". ")):
        raise InvalidRequest(
            f"name {name[:80]!r} is not a name of 1 to {MAX_NAME} printable characters without `/`"
        )
    return name


def _printable(name: str) -> str:
    """A file name as valid Unicode: names on disk are bytes, and a lone surrogate breaks JSON's readers."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def unreadable(job: Path) -> InvalidRequest:
    """The error of a job whose request this user may not read."""
    return InvalidRequest(f"{job / layout.REQUEST} may not be read by this user; `{rights.give_to_us(job)}`")


@dataclass(frozen=True)
class Job:
    """A job directory and its request, as read at one moment. The folder it lies in is its state."""

    path: Path
    request: Request

    @classmethod
    def read(cls, path: Path) -> Job:
        """Parse the job directory at `path`. Raises FileNotFoundError or InvalidRequest."""
        try:
            return cls(path, Request.parse(small.read(f"{path}/{layout.REQUEST}")))
        except NotADirectoryError:  # a file that somebody gave the name of a job
            raise FileNotFoundError(path) from None
        except PermissionError:
            raise unreadable(path) from None

    @property
    def id(self) -> str:
        return self.request.id

    @property
    def input(self) -> Path:
        """The image as it came."""
        return self.path / self.request.input

    @property
    def cancelled(self) -> bool:
        """Whether a person asked for this job to stop."""
        return os.path.exists(f"{self.path}/{layout.CANCEL}")  # noqa: PTH110

    def has(self, product: str) -> bool:
        """Whether that product is published."""
        return os.path.exists(f"{self.path}/{product}")  # noqa: PTH110

    def next_folder(self) -> str:
        """Where this job belongs: the stage whose product is missing, or where finished ones go."""
        if not (self.request.views or self.request.model):
            return layout.HELD
        if not self.has(layout.CUTOUT_PNG):
            return layout.INBOX
        if not self.has(layout.GEOMETRY_GLB):
            return layout.GEOMETRY
        if self.request.model:
            return layout.DONE if self.has(layout.MODEL_GLB) else layout.TEXTURE
        return layout.HELD if all(self.has(view) for view in layout.VIEWS) else layout.GEOMETRY
