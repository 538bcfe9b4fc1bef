"""A status that still holds is told without the router, and nobody can tell the difference."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Router
from starlette.testclient import TestClient

from httpd.answers import encode
from httpd.glance import joined
from spool import keys, lock
from spool.board import IDLE, Board, Slot
from spool.spool import Spool
from spool.status import Status
from spool.view import look
from tests.client import client_of
from tests.support import submit, until


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """With a supervisor and finished jobs, so that there are estimates to tell."""
    made = Spool.open(tmp_path / "spool")
    made.enlist("w")
    held = lock.take(made.root)
    stages = ("cutout", "geometry", "texture")
    slot = Slot("w", "all", "cpu", stages, IDLE, None, None, None, 0, 0.0, None, 0)
    Board(os.getpid(), "2026-01-01T00:00:00+00:00", "sphere", None, (), (slot,)).write(made.root)
    Status(engine="sphere", timings=dict.fromkeys(stages, 400.0)).write(submit(made, "done").path)
    yield made
    os.close(held)


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that reached the router."""
    paths: list[str] = []
    route = Router.app

    async def noted(self: Router, scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])
        await route(self, scope, receive, send)

    monkeypatch.setattr(Router, "app", noted)
    return paths


def url_of(job_id: str) -> str:
    return f"/api/jobs/{job_id}/status"


def keep(client: TestClient, job_id: str) -> None:
    """Ask until the status is one that is told again."""
    glances = client.app.state.glances  # type: ignore[attr-defined]
    until(lambda: client.get(url_of(job_id)) and glances.again(job_id))


ODD: dict[str, Any] = {
    "name": 'Tasse "blau" \\ ☕, 杯子\n',
    "tags": [],
    "error": None,
    "timings": {"cutout": 0.1 + 0.2},
}


@pytest.mark.parametrize("itself", [ODD, {"mesh": {"faces": 10**12}, "last": "}"}])
@pytest.mark.parametrize(
    "queue",
    [
        {"queue_position": None, "estimate": None, "priority": "normal"},
        {"queue_position": 7, "estimate": {"start": 0.3, "finish": 1e9}, "priority": "low"},
    ],
)
def test_two_parts_make_the_json_of_the_whole(itself: dict[str, Any], queue: dict[str, Any]) -> None:
    assert joined(encode(itself).encode(), queue) == encode({**itself, **queue}).encode()


def test_what_is_told_again_is_byte_for_byte_what_would_be_told_anew(spool: Spool, routed: list[str]) -> None:
    client = client_of(spool.root)
    first, second = submit(spool), submit(spool)
    keep(client, second.id)

    def same() -> bool:
        # The estimate is told by the clock: it may have changed between the two.
        return client.get(url_of(second.id)).content == encode(look(spool, second.id)).encode()

    until(same, 60)
    assert look(spool, second.id)["estimate"]["start"] > 0
    for change in (lambda: spool.claim("inbox", "w"), lambda: spool.prioritise(second.id, "high")):
        routed.clear()
        before = client.get(url_of(second.id))
        change()
        after = client.get(url_of(second.id))
        assert routed == [], "it was not told again"
        assert before.json() != after.json() and before.headers["etag"] != after.headers["etag"]
        until(same, 60)
    assert first.id != second.id


def test_the_short_way_says_what_the_long_way_says(
    spool: Spool, routed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, job = client_of(spool.root, CORS_ORIGINS="https://shop.example"), submit(spool, "done")
    keep(client, job.id)
    glances = client.app.state.glances  # type: ignore[attr-defined]

    def asked(**headers: str) -> list[tuple[int, bytes, dict[str, str]]]:
        told = []
        for known in ("", "*", client.get(url_of(job.id)).headers["etag"], '"other"'):
            sent = {**headers, "If-None-Match": known, "X-Request-ID": "mine"}
            answer = client.get(url_of(job.id), headers=sent)
            told.append((answer.status_code, answer.content, dict(answer.headers)))
        return told

    asking: list[dict[str, str]] = [{}, {"Origin": "https://shop.example"}, {"Host": "stranger.example"}]
    routed.clear()
    short = [asked(**headers) for headers in asking]
    assert routed == []
    monkeypatch.setattr(glances, "again", lambda job_id: None)
    long = [asked(**headers) for headers in asking]
    assert routed, "this was meant to go the long way"
    assert short == long
    assert [code for code, _, _ in short[0]] == [200, 304, 304, 200]
    assert {code for code, _, _ in short[2]} == {400}


def test_what_is_not_that_call_goes_to_the_routes(spool: Spool, routed: list[str]) -> None:
    client, job = client_of(spool.root), submit(spool, "done")
    keep(client, job.id)
    routed.clear()
    url = url_of(job.id)
    assert (client.head(url).status_code, client.head(url).content) == (200, b"")
    assert client.post(url).status_code == 405
    assert client.get(f"/api/jobs/{job.id}").json()["job_id"] == job.id
    assert client.get(url_of("../" + job.id)).status_code == 404
    assert len(routed) == 5
    spool.remove(job.id)
    assert client.get(url).status_code == 404
    assert routed[-1] == url


def test_who_has_no_key_is_told_nothing_of_a_kept_status(spool: Spool) -> None:
    key = keys.create(spool.root, "reader", keys.READ)
    client, job = client_of(spool.root, PROTOSCALE_REQUIRE_KEY="true"), submit(spool, "done")
    glances = client.app.state.glances  # type: ignore[attr-defined]
    until(lambda: glances.status(job.id) and glances.again(job.id))
    assert client.get(url_of(job.id)).status_code == 401
    assert client.get(url_of(job.id), headers={"X-API-Key": key}).status_code == 200
    keys.revoke(spool.root, "reader")
    assert client.get(url_of(job.id), headers={"X-API-Key": key}).status_code == 401


def test_it_is_counted_as_the_call_that_it_is(spool: Spool, routed: list[str]) -> None:
    client, job = client_of(spool.root), submit(spool, "done")
    keep(client, job.id)
    line = 'protoscale_http_requests_total{call="jobs.status",code="200",method="GET"} '

    def count() -> float:
        (found,) = [row for row in client.get("/metrics").text.splitlines() if row.startswith(line)]
        return float(found.removeprefix(line))

    before = count()
    routed.clear()
    client.get(url_of(job.id))
    assert routed == []
    assert count() == before + 1


def test_a_sick_disk_is_told_by_the_route(
    spool: Spool, routed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, job = client_of(spool.root), submit(spool, "done")
    keep(client, job.id)
    routed.clear()

    def sick(path: str) -> None:
        raise PermissionError(13, "no", path)

    monkeypatch.setattr("httpd.glance._times", sick)
    answer = client.get(url_of(job.id))
    assert answer.status_code == 503 and "the spool cannot be used now" in answer.json()["detail"]
    assert routed == [url_of(job.id)]
