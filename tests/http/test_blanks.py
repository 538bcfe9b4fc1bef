"""Photos that no decoder reads: found out once, not by every page that asks."""

from __future__ import annotations

import threading
from typing import BinaryIO

import anyio
import pytest
from starlette.testclient import TestClient

from httpd import blanks, results, thumbnail
from httpd.blanks import FORGET, Blanks
from spool import layout
from spool.confine import OverLimits
from spool.spool import Spool
from tests.client import make, upload
from tests.support import picture

BROKEN = picture()[:60]
"""The head of a PNG: taken at upload, and no decoder's liking."""


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sides of the small pictures that were really tried."""
    tried: list[int] = []
    real = thumbnail.draw

    def counted(file: BinaryIO, side: int, max_pixels: int) -> bytes:
        tried.append(side)
        return real(file, side, max_pixels)

    monkeypatch.setattr(results, "draw", counted)
    return tried


def test_a_failure_is_remembered_and_told_as_before(client: TestClient, tries: list[int]) -> None:
    job = upload(client, BROKEN).json()["job_id"]
    first, again = (client.get(f"/api/jobs/{job}/thumbnail") for _ in range(2))
    assert (first.status_code, again.status_code) == (422, 422)
    assert first.json() == again.json()
    assert first.headers["cache-control"] == again.headers["cache-control"] == "private, max-age=60"
    assert client.get(f"/api/jobs/{job}/photo").status_code == 422
    assert tries == [results.THUMBNAIL, results.PHOTO]


def test_many_at_once_try_once(client: TestClient, tries: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    job = upload(client, BROKEN).json()["job_id"]
    monkeypatch.setattr(results, "_decoding", anyio.CapacityLimiter(1))
    codes: list[int] = []
    crowd = [
        threading.Thread(target=lambda: codes.append(client.get(f"/api/jobs/{job}/thumbnail").status_code))
        for _ in range(4)
    ]
    with client:  # one loop for all of them
        for one in crowd:
            one.start()
        for one in crowd:
            one.join()
    assert codes == [422] * 4 and len(tries) == 1


def test_another_picture_of_the_job_is_another_matter(
    client: TestClient, spool: Spool, tries: list[int]
) -> None:
    job = upload(client, BROKEN, start="true").json()["job_id"]
    assert client.get(f"/api/jobs/{job}/thumbnail").status_code == 422
    make(spool, layout.CUTOUT_PNG)
    assert client.get(f"/api/jobs/{job}/thumbnail").status_code == 200
    assert len(tries) == 2


def test_a_picture_that_can_be_drawn_is_not_remembered_as_none(client: TestClient) -> None:
    job = upload(client).json()["job_id"]
    assert [client.get(f"/api/jobs/{job}/thumbnail").status_code for _ in range(2)] == [200, 200]


def test_it_is_forgotten_after_a_while_and_not_too_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(blanks, "KEPT", 3)
    known = Blanks(lambda: now[0])
    for number in range(5):
        known.keep(str(number), str(OverLimits("no")))
    assert [known.why(str(number)) for number in range(5)] == [None, None, "no", "no", "no"]
    now[0] = FORGET
    assert known.why("4") is None
    known.keep("4", "still no")
    assert known.why("4") == "still no"
