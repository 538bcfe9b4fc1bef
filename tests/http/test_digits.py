"""Whole numbers that a client writes: what is none is refused by the route, and no mistake of ours."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from httpd.digits import natural
from spool.spool import Spool
from tests.client import ALL, make, upload

NO_NUMBERS = ("9" * 5000, "१२", "1_0", "+1", "-1", "1.0", "0x1", "²", " 1")


@pytest.mark.parametrize("text", ["", *NO_NUMBERS, "100"])
def test_what_is_no_number_up_to_the_bound(text: str) -> None:
    assert natural(text, 99) is None


def test_numbers_up_to_the_bound() -> None:
    assert [natural(text, 99) for text in ("0", "00", "7", "99", "0" * 5000 + "42")] == [0, 0, 7, 99, 42]


@pytest.mark.parametrize("text", NO_NUMBERS)
@pytest.mark.parametrize(("path", "name"), [("/api/jobs", "limit"), ("/api/queue", "first")])
def test_a_query(client: TestClient, path: str, name: str, text: str) -> None:
    answer = client.get(path, params={name: text})
    assert answer.status_code == 422
    assert name in answer.json()["detail"] and len(answer.json()["detail"]) < 200


@pytest.mark.parametrize("text", ["9" * 5000, "1_0", "²"])
def test_the_last_event(client: TestClient, text: str) -> None:
    answer = client.get("/api/events", headers={b"last-event-id": text.encode("latin-1")})
    assert answer.status_code == 422 and "Last-Event-ID" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["9" * 900, "१२", "1_0", "-1", "4294967296"])
def test_a_seed(client: TestClient, text: str) -> None:
    answer = upload(client, seed=text)
    assert answer.status_code == 422 and "seed" in answer.json()["detail"]
    assert upload(client, seed="4294967295").status_code == 201


@pytest.mark.parametrize("path", ["/api/upload", "/api/batch", "/send", "/api/queue/pause"])
@pytest.mark.parametrize("text", ["9" * 5000, "1_0"])
def test_a_length(client: TestClient, path: str, text: str) -> None:
    kind = "application/json" if path in ("/send", "/api/queue/pause") else "multipart/form-data; boundary=b"
    answer = client.post(path, content=b"{}", headers={"content-length": text, "content-type": kind})
    assert answer.status_code == 400 and "Content-Length" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["9" * 5000, "१२", "1_0"])
def test_a_size_of_an_export(client: TestClient, text: str) -> None:
    job = upload(client).json()["job_id"]
    answer = client.get(f"/api/jobs/{job}/report", params={"height_mm": text})
    assert answer.status_code == 422 and "height_mm" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["bytes=" + "9" * 5000 + "-", "bytes=-" + "9" * 5000, "bytes=1_0-"])
def test_a_range(client: TestClient, spool: Spool, text: str) -> None:
    job = upload(client, start="true").json()["job_id"]
    make(spool, *ALL)
    answer = client.get(f"/api/jobs/{job}/result/model.glb", headers={"range": text})
    assert answer.status_code in (206, 400)
