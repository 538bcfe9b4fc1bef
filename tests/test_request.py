"""What a request may hold, its id included, and what becomes of a job whose request is damaged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spool.errors import InvalidRequest
from spool.ids import is_job_id, new_id
from spool.job import Request
from spool.spool import Spool
from spool.status import Status
from tests.support import claim, submit


@pytest.mark.parametrize("content", [None, b"", b"{", b"{}", b"[]", b'{"id": 3}'])
def test_a_job_with_a_damaged_request_fails_with_the_reason(spool: Spool, content: bytes | None) -> None:
    damaged, whole = submit(spool), submit(spool)
    request = damaged.path / "request.json"
    request.unlink()
    if content is not None:
        request.write_bytes(content)
    assert claim(spool).id == whole.id
    assert "request" in (Status.read(spool.root / "failed" / damaged.id).error or "")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"version": 2}, "version"),
        ({"id": "0190b5a0-0000-4000-8000-000000000000"}, "UUIDv7"),
        ({"id": "../x"}, "UUIDv7"),
        ({"source": "somewhere"}, "source"),
        ({"quality": "best"}, "quality"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"seed": "1"}, "seed"),
        ({"seed": True}, "seed"),
        ({"views": 1}, "views"),
        ({"name": None}, "name"),
        ({"input": "photo.png"}, "input"),
        ({"input": "input./../../x"}, "input"),
        ({"wish": "more"}, "exactly"),
    ],
)
def test_a_request_is_checked_field_by_field(change: dict[str, Any], word: str) -> None:
    whole = Request.new(source="cli", name="a.png", suffix=".png").as_json()
    assert Request.parse(json.dumps(whole).encode()).as_json() == whole
    with pytest.raises(InvalidRequest, match=word):
        Request.parse(json.dumps({**whole, **change}).encode())


def test_a_request_needs_every_field_and_knows_every_wish() -> None:
    whole = Request.new(source="cli", name="a.png", suffix=".png").as_json()
    for missing in set(whole) - {"client", "callback_url", "allow_lower", "tags"}:  # these came later
        with pytest.raises(InvalidRequest, match="exactly"):
            Request.parse(json.dumps({name: whole[name] for name in whole if name != missing}).encode())
    with pytest.raises(InvalidRequest, match="unknown setting colour"):
        Request.new(source="cli", name="a.png", suffix=".png", colour="red")


def test_ids_are_version_7_and_sorted() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert all(is_job_id(job_id) for job_id in ids)
    assert not is_job_id("0190b5a0-0000-4000-8000-000000000000")
    assert not is_job_id("../" + ids[0])
