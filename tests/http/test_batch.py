"""Many pictures in one form: each becomes a job or says why not, and every limit counts each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from httpd import batch
from spool import keys
from spool.spool import Spool
from tests.client import client_of
from tests.support import picture, submit

GOOD = picture()


def send(client: TestClient, *contents: bytes, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    files = [("file", (f"photo {number}.png", content)) for number, content in enumerate(contents)]
    return client.post("/api/batch", files=files, data=fields, headers=headers or {})


def codes(answer: Any) -> list[int]:
    return [file["code"] for file in answer.json()["files"]]


def nothing_is_left(root: Path) -> bool:
    return list((root / "tmp").iterdir()) == []


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    return client_of(tmp_path / "spool", PROTOSCALE_MAX_UPLOAD="64K")


def test_every_picture_becomes_a_job_with_the_wishes_of_the_form(client: TestClient, spool: Spool) -> None:
    answer = send(client, GOOD, GOOD, GOOD, start="true", quality="draft", tags="chairs, oak", priority="low")
    assert answer.status_code == 201
    files = answer.json()["files"]
    assert [file["file"] for file in files] == ["photo 0.png", "photo 1.png", "photo 2.png"]
    assert [file["job_id"] for file in files] == spool.waiting("inbox")
    for file in files:
        assert (file["code"], file["error"], file["replayed"]) == (201, None, False)
        told = client.get(f"/api/jobs/{file['job_id']}").json()
        assert (told["name"], told["tags"], told["priority"], told["quality"]) == (
            file["file"], ["chairs", "oak"], "low", "draft",
        )  # fmt: skip
        assert (spool.root / "inbox" / file["job_id"] / "input.png").read_bytes() == GOOD
    assert nothing_is_left(spool.root)


def test_a_bad_picture_does_not_refuse_the_others(client: TestClient, spool: Spool) -> None:
    answer = send(client, GOOD, b"no picture", GOOD, b"", GOOD + bytes(70_000), GOOD, start="true")
    assert (answer.status_code, codes(answer)) == (207, [201, 415, 201, 422, 413, 201])
    for file in answer.json()["files"]:
        assert (file["job_id"] is None) == (file["code"] != 201) == bool(file["error"])
    assert len(spool.waiting("inbox")) == 3 and nothing_is_left(spool.root)


def test_a_batch_of_no_picture_is_an_error_that_tells_each(client: TestClient, spool: Spool) -> None:
    answer = send(client, b"no", b"nor this")
    assert (answer.status_code, codes(answer)) == (422, [415, 415])
    assert "not a picture" in answer.json()["detail"]
    assert nothing_is_left(spool.root)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"quality": "best"}, "quality"),
        ({"name": "a chair"}, "name"),
        ({"tags": "a,a"}, "twice"),
        ({"priority": "urgent"}, "priority"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_field_that_is_not_understood_refuses_the_form(
    client: TestClient, spool: Spool, fields: dict[str, Any], word: str
) -> None:
    answer = send(client, GOOD, GOOD, **fields)
    assert answer.status_code == 422 and word in str(answer.json())
    assert spool.newest(9) == [] and nothing_is_left(spool.root)


def test_one_picture_may_be_named(client: TestClient) -> None:
    answer = send(client, GOOD, name="a chair")
    assert client.get(f"/api/jobs/{answer.json()['files'][0]['job_id']}").json()["name"] == "a chair"


def test_too_many_no_file_and_no_form(client: TestClient, spool: Spool) -> None:
    assert client.post("/api/batch", files={"seed": (None, "1")}).status_code == 422
    assert client.post("/api/batch", content=b"x").status_code == 415
    assert send(client, *[GOOD] * (batch.MAX_FILES + 1)).status_code == 422
    assert spool.newest(9) == [] and nothing_is_left(spool.root)


def test_the_same_batch_again_is_the_same_jobs(client: TestClient, spool: Spool) -> None:
    once = {"Idempotency-Key": "batch-1"}
    first = send(client, GOOD, b"no picture", picture((60, 60)), headers=once)
    again = send(client, GOOD, picture((70, 70)), picture((60, 60)), headers=once)
    assert codes(first) == [201, 415, 201] and codes(again) == [201, 201, 201]
    (one, _, three), (same, new, too) = first.json()["files"], again.json()["files"]
    assert (one["job_id"], three["job_id"]) == (same["job_id"], too["job_id"])
    assert [file["replayed"] for file in (same, new, too)] == [True, False, True]
    assert len(spool.waiting("held")) == 3
    spool.remove(one["job_id"])
    remade = send(client, GOOD, picture((70, 70)), headers=once).json()["files"]
    assert [file["replayed"] for file in remade] == [False, True]
    other = send(client, picture((61, 60)), headers=once)
    assert codes(other) == [422] and "another picture" in other.json()["files"][0]["error"]
    assert send(client, GOOD, headers={"Idempotency-Key": "x" * 256}).status_code == 422
    assert nothing_is_left(spool.root)


def test_the_queues_limits_count_each_picture(tmp_path: Path) -> None:
    client = client_of(tmp_path / "spool", PROTOSCALE_MAX_QUEUE="3")
    submit(Spool(tmp_path / "spool"))
    answer = send(client, *[GOOD] * 4, start="true")
    assert (answer.status_code, codes(answer)) == (207, [201, 201, 503, 503])
    assert send(client, GOOD).status_code == 503
    assert nothing_is_left(tmp_path / "spool")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({"PROTOSCALE_CLIENT_QUEUE": "2"}, [201, 201, 429]),
        ({"PROTOSCALE_CLIENT_UPLOADS": "2"}, [201, 201, 429]),
        ({"PROTOSCALE_CLIENT_BYTES": str(len(GOOD) * 2 + 10)}, [201, 201, 429]),
    ],
)
def test_a_callers_limits_count_each_picture(
    tmp_path: Path, limit: dict[str, str], expected: list[int]
) -> None:
    client = client_of(tmp_path / "spool", PROTOSCALE_REQUIRE_KEY="true", **limit)
    token = keys.create(tmp_path / "spool", "web", "submit")
    answer = send(client, *[GOOD] * 3, headers={"X-API-Key": token})
    assert (answer.status_code, codes(answer)) == (207, expected)
    assert nothing_is_left(tmp_path / "spool")


def test_a_body_larger_than_a_callers_minute_is_refused_before_it_is_read(tmp_path: Path) -> None:
    client = client_of(tmp_path / "spool", PROTOSCALE_REQUIRE_KEY="true", PROTOSCALE_CLIENT_BYTES="1K")
    token = keys.create(tmp_path / "spool", "web", "submit")
    assert send(client, bytes(100_000), headers={"X-API-Key": token}).status_code == 413


def test_each_is_refused_below_the_reserve(tmp_path: Path) -> None:
    client = client_of(tmp_path / "spool", PROTOSCALE_RESERVE="900000T")
    answer = send(client, GOOD, GOOD)
    assert (answer.status_code, codes(answer)) == (422, [507, 507])
