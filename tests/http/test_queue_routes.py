"""Priorities, tags, and the queue paused: who may, what is told, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from spool import keys, pause, reader
from spool.ids import new_id
from spool.line import line_in
from spool.spool import Spool
from tests.client import client_of
from tests.support import picture, submit


def sent(client: TestClient, headers: dict[str, str] | None = None, **fields: str) -> Any:
    return client.post(
        "/api/upload", files={"file": ("a.png", picture())}, data=fields, headers=headers or {}
    )


def started(client: TestClient, **fields: str) -> str:
    answer = sent(client, {}, start="true", **fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job_id"])


def test_an_upload_is_named_tagged_and_put_in_front(client: TestClient, spool: Spool) -> None:
    first = started(client)
    urgent = started(client, priority="high", tags=" chairs ,, oak", name="the oak chair")
    assert list(line_in(spool.root, "inbox")) == [urgent, first]
    told = client.get(f"/api/jobs/{urgent}").json()
    assert (told["priority"], told["tags"], told["name"]) == ("high", ["chairs", "oak"], "the oak chair")
    assert (told["queue_position"], client.get(f"/api/jobs/{first}").json()["queue_position"]) == (1, 2)


@pytest.mark.parametrize(
    "field",
    [
        {"priority": "urgent"},
        {"tags": "x" * 51},
        {"tags": ",".join(map(str, range(21)))},
        {"name": "a/b"},
        {"name": ".."},
        {"name": "x" * 201},
    ],
)
def test_names_tags_and_priorities_that_are_none(
    client: TestClient, spool: Spool, field: dict[str, Any]
) -> None:
    answer = sent(client, **field)
    assert answer.status_code == 422 and next(iter(field)).rstrip("s") in answer.json()["detail"]
    assert spool.newest(9) == [] and list((spool.root / "tmp").iterdir()) == []


def test_the_same_key_with_another_priority_is_another_wish(client: TestClient, spool: Spool) -> None:
    once = {"Idempotency-Key": "k"}
    assert sent(client, once).status_code == sent(client, once).status_code == 201
    assert sent(client, once, priority="high").status_code == 422
    assert sent(client, once, name="other").status_code == 422
    assert len(spool.waiting("held")) == 1


def test_a_priority_changes_while_the_job_waits(client: TestClient, spool: Spool) -> None:
    first, second = started(client), started(client)

    def ask(job: str, value: Any) -> Any:
        return client.post(f"/api/jobs/{job}/priority", json=value)

    answer = ask(second, {"priority": "high"})
    assert (answer.status_code, answer.json()["priority"], answer.json()["queue_position"]) == (
        200,
        "high",
        1,
    )
    assert list(line_in(spool.root, "inbox")) == [second, first]
    assert ask(second, {"priority": "low"}).json()["queue_position"] == 2
    assert ask(first, {"priority": "best"}).status_code == 422
    assert ask(first, {"level": "low"}).status_code == 422
    assert ask(first, ["low"]).status_code == 422
    assert client.post(f"/api/jobs/{first}/priority", content=b"{").status_code == 400
    assert client.post(f"/api/jobs/{first}/priority").status_code == 422
    assert ask(new_id(), {"priority": "low"}).status_code == 404
    spool.cancel(first)
    assert ask(first, {"priority": "high"}).status_code == 409


def test_who_may_go_first_and_who_may_pause(tmp_path: Path) -> None:
    client = client_of(tmp_path / "spool", PROTOSCALE_REQUIRE_KEY="true")
    own, other, admin, reads = (
        {"X-API-Key": keys.create(tmp_path / "spool", name, role)}
        for name, role in (("own", "submit"), ("other", "submit"), ("boss", "admin"), ("eyes", "read"))
    )

    def ask(who: dict[str, str], job: str, priority: str) -> int:
        answer = client.post(f"/api/jobs/{job}/priority", json={"priority": priority}, headers=who)
        return answer.status_code

    assert sent(client, own, priority="high").status_code == 403
    assert sent(client, admin, priority="high").status_code == 201
    job = sent(client, own, priority="low").json()["job_id"]
    assert [ask(own, job, level) for level in ("normal", "low", "high")] == [200, 200, 403]
    assert [ask(other, job, "normal"), ask(reads, job, "normal"), ask(admin, job, "high")] == [403, 403, 200]
    for route in ("/api/queue/pause", "/api/queue/resume"):
        assert [client.post(route, headers=who).status_code for who in (reads, own, admin)] == [403, 403, 200]
    held = client.post("/api/queue/pause", headers=admin).json()["paused"]
    assert held["by"] == "key:boss"


def test_pause_and_resume_are_told_everywhere(client: TestClient, spool: Spool) -> None:
    assert client.get("/health").json()["paused"] is None
    assert "protoscale_queue_paused 0.0" in client.get("/metrics").text
    answer = client.post("/api/queue/pause", json={"reason": "a new\ncard"})
    assert answer.status_code == 200
    held = answer.json()["paused"]
    assert (held["by"], held["reason"]) == ("testclient", "a new card") and held["since"]
    assert client.post("/api/queue/pause", json={"reason": "another"}).json()["paused"] == held
    assert client.get("/health").json()["paused"] == held
    assert "protoscale_queue_paused 1.0" in client.get("/metrics").text
    started(client)  # uploads are taken
    assert client.post("/api/queue/resume").json() == {"paused": None}
    assert client.post("/api/queue/resume").status_code == 200
    assert client.get("/health").json()["paused"] is None and not pause.is_paused(spool.root)
    assert client.post("/api/queue/pause", json={"reason": "x" * 501}).status_code == 422
    assert client.post("/api/queue/pause", json={"why": "x"}).status_code == 422
    assert (
        client.post(
            "/api/queue/pause", content="reason=x", headers={"content-type": "text/plain"}
        ).status_code
        == 415
    )
    assert client.post("/api/queue/pause", content=bytes(5000)).status_code == 413
    assert not pause.is_paused(spool.root)


def pages(client: TestClient, path: str) -> list[list[str]]:
    """Every page, by the Link header."""
    found = []
    while path:
        answer = client.get(path)
        assert answer.status_code == 200
        found.append([row["job_id"] for row in answer.json()])
        path = answer.headers.get("link", "").partition(">")[0].lstrip("<")
    return found


def test_the_list_by_tag_in_pages(client: TestClient, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    oak = [submit(spool, folder, tags=("chairs", "oak")).id for folder in ("done", "inbox", "held")]
    for _ in range(7):
        submit(spool, tags=("chairs",))
    oak.append(submit(spool, "failed", tags=("oak",)).id)
    newest = list(reversed(oak))
    assert pages(client, "/api/jobs?tag=oak") == [newest]
    assert pages(client, "/api/jobs?tag=oak&limit=3") == [newest[:3], newest[3:]]
    assert pages(client, "/api/jobs?tag=Oak") == [[]]
    assert [len(page) for page in pages(client, "/api/jobs?tag=chairs&limit=5")] == [5, 5]
    # However few have the tag, no page looks at more than so many jobs, and none is missed or told twice.
    monkeypatch.setattr(reader, "LOOKED_THROUGH", 4)
    found = pages(client, "/api/jobs?tag=oak")
    assert [job for page in found for job in page] == newest and [] in found
    assert client.get("/api/jobs?tag=").status_code == 422
    row = client.get("/api/jobs?tag=oak").json()[0]
    assert json.dumps(row["tags"]) == '["oak"]'
