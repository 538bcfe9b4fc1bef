"""POST /api/upload: what it takes, what it makes of it, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from spool.spool import Spool
from tests.client import client_of, upload
from tests.support import picture


def test_an_upload_waits_for_the_client_to_say_what_it_wants(client: TestClient, spool: Spool) -> None:
    answer = upload(client, name="ünï code.png", seed="7", quality="draft", remove_bg="false")
    assert answer.status_code == 201
    told = answer.json()
    assert (told["status"], told["stage"], told["name"]) == ("pending", "uploaded", "ünï code.png")
    found = spool.find(told["job_id"])
    assert found.folder == "held"
    request = found.job.request
    assert (request.seed, request.quality, request.remove_bg, request.views) == (7, "draft", False, False)
    assert found.job.input.read_bytes() == picture()
    assert list((spool.root / "tmp").iterdir()) == []


def test_an_upload_may_start_at_once(client: TestClient, spool: Spool) -> None:
    told = upload(client, start="true", enhanced_detail="true").json()
    found = spool.find(told["job_id"])
    assert (found.folder, found.job.request.quality) == ("inbox", "ultra")
    assert found.job.request.views and found.job.request.model
    assert told["queue_position"] == 1


def test_fields_may_come_after_the_file(client: TestClient, spool: Spool) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        + picture()
        + b'\r\n--b\r\nContent-Disposition: form-data; name="quality"\r\n\r\nultra\r\n--b--\r\n'
    )
    answer = client.post(
        "/api/upload", content=body, headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 201
    assert answer.json()["quality"] == "ultra"


@pytest.mark.parametrize(
    ("fields", "allowed"), [({}, False), ({"allow_lower": "false"}, False), ({"allow_lower": "true"}, True)]
)
def test_lower_settings_are_allowed_by_asking(
    client: TestClient, spool: Spool, fields: dict[str, Any], allowed: bool
) -> None:
    told = upload(client, **fields).json()
    assert spool.find(told["job_id"]).job.request.allow_lower is allowed


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"quality": "best"}, "quality"),
        ({"allow_lower": "perhaps"}, "allow_lower"),
        ({"seed": "x"}, "seed"),
        ({"seed": "-1"}, "seed"),
        ({"remove_bg": "perhaps"}, "remove_bg"),
        ({"enhanced_detail": "true", "quality": "draft"}, "enhanced_detail"),
        ({"steps": "50"}, "steps"),
        ({"quality": "x" * 5000}, "quality"),
    ],
)
def test_fields_that_would_be_ignored_are_refused(
    client: TestClient, spool: Spool, fields: dict[str, Any], word: str
) -> None:
    answer = upload(client, **fields)
    assert answer.status_code == 422
    assert word in answer.json()["detail"]
    assert list((spool.root / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", 422),
        (b"hello, this is text", 415),
        (b"\0\0\0\x18ftypisom" + b"\0" * 40, 415),
        (b"%PDF-1.4", 415),
    ],
)
def test_what_is_no_picture_is_refused(client: TestClient, spool: Spool, content: bytes, code: int) -> None:
    answer = upload(client, content)
    assert answer.status_code == code
    assert len(answer.json()["detail"]) > 15
    assert spool.waiting("held") == [] and list((spool.root / "tmp").iterdir()) == []


def test_bodies_that_are_no_upload_are_refused(client: TestClient, spool: Spool) -> None:
    assert client.post("/api/upload", json={"file": "x"}).status_code == 415
    assert client.post("/api/upload").status_code == 415
    form = {"content-type": "multipart/form-data; boundary=b"}
    assert client.post("/api/upload", content=b"nonsense", headers=form).status_code == 400
    early = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + picture()
    assert client.post("/api/upload", content=early, headers=form).status_code == 400
    assert client.post("/api/upload", data={"start": "true"}, files={"seed": (None, "3")}).status_code == 422
    twice = [("file", ("a.png", picture())), ("file", ("b.png", picture()))]
    assert client.post("/api/upload", files=twice).status_code == 422
    assert list((spool.root / "tmp").iterdir()) == []


def test_an_upload_over_the_limit_is_cut_off(tmp_path: Path) -> None:
    client = client_of(tmp_path / "spool", PROTOSCALE_MAX_UPLOAD="10K")
    assert upload(client, picture() + b"x" * 20_000).status_code == 413

    def pieces() -> Any:  # no Content-Length: counted as it arrives
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(30):
            yield b"x" * 1000

    answer = client.post(
        "/api/upload", content=pieces(), headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 413
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []


def test_uploads_are_refused_below_the_disk_reserve(tmp_path: Path) -> None:
    client = client_of(tmp_path / "spool", PROTOSCALE_RESERVE="900000T")
    answer = upload(client)
    assert answer.status_code == 507
    assert client.get("/health").json()["accepting_uploads"] is False


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("a %22big%22 cup.png", 'a "big" cup.png'),
        ("two%0D%0Alines.png", "two\r\nlines.png"),
        ("100%25 %2f %22.png", '100%25 %2f ".png'),
        ("%2522.png", "%2522.png"),
    ],
)
def test_the_name_of_a_file_is_the_one_it_had_in_the_browser(
    client: TestClient, sent: str, name: str
) -> None:
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{sent}"\r\n\r\n'
    answer = client.post(
        "/api/upload",
        content=head.encode() + picture() + b"\r\n--b--\r\n",
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert (answer.status_code, answer.json()["name"]) == (201, name)


def test_what_is_too_large_is_told_as_people_say_it_and_known_before(tmp_path: Path) -> None:
    client = client_of(tmp_path / "spool", PROTOSCALE_MAX_UPLOAD="1M")
    assert client.get("/health").json()["max_upload_bytes"] == 1 << 20
    answer = upload(client, bytes(1 << 20))
    assert (answer.status_code, "larger than 1 MiB" in answer.json()["detail"]) == (413, True)
