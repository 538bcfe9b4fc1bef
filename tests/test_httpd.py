"""Every path, field and code of the API, over real spools; a worker is played by the spool's own moves."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from spool import layout
from spool.ids import new_id
from spool.spool import Spool
from tests.client import ALL, client_of, make, upload
from tests.support import picture, submit


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


def test_the_two_step_flow_of_existing_clients(client: TestClient, spool: Spool) -> None:
    job = upload(client).json()["job_id"]
    answer = client.post(f"/api/jobs/{job}/generate-multiangle")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    again = client.post(f"/api/jobs/{job}/generate-multiangle")
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    assert client.post(f"/api/jobs/{job}/generate-3d").status_code == 409
    assert make(spool, layout.CUTOUT_PNG, layout.GEOMETRY_GLB, *layout.VIEWS) == "held"
    told = client.get(f"/api/jobs/{job}/status").json()
    assert (told["status"], told["progress"], told["has_views"], told["has_model"]) == (
        "completed",
        100,
        True,
        False,
    )
    assert client.get(f"/api/jobs/{job}/result/view_3.png").headers["content-type"] == "image/png"
    answer = client.post(f"/api/jobs/{job}/generate-3d")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    missing = client.get(f"/api/jobs/{job}/result/model.glb")
    assert missing.status_code == 404 and "yet" in missing.json()["detail"]
    make(spool)
    assert client.get(f"/api/jobs/{job}/status").json()["status"] == "processing"
    assert make(spool, layout.ANALYSIS, layout.MODEL_GLB, folder="texture") == "done"
    told = client.get(f"/api/jobs/{job}/status").json()
    assert (told["status"], told["error"], told["has_model"]) == ("completed", None, True)
    assert client.post(f"/api/jobs/{job}/generate-3d").json()["status"] == "completed"
    model = client.get(f"/api/jobs/{job}/result/model.glb")
    assert model.content == b"bytes of model.glb"
    assert model.headers["content-type"] == "model/gltf-binary"
    assert "photo.glb" in model.headers["content-disposition"]


def test_downloads_have_ranges_etags_and_heads(client: TestClient, spool: Spool) -> None:
    job = upload(client, start="true", name="we'ird ü.png").json()["job_id"]
    make(spool, *ALL)
    path = f"/api/jobs/{job}/result/model.glb"
    whole = client.get(path)
    assert "filename*=UTF-8''we%27ird%20%C3%BC.glb" in whole.headers["content-disposition"]
    assert client.head(path).headers["content-length"] == str(len(whole.content))
    part = client.get(path, headers={"range": "bytes=0-4"})
    assert (part.status_code, part.content) == (206, whole.content[:5])
    same = client.get(path, headers={"if-none-match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    for name in ("request.json", "status.json", "input.png", "nothing.glb"):
        assert client.get(f"/api/jobs/{job}/result/{name}").status_code == 404


def test_a_failed_job_says_why_and_can_be_retried(client: TestClient, spool: Spool) -> None:
    job = upload(client, start="true").json()["job_id"]
    claimed = spool.claim("inbox", "w")
    assert claimed
    spool.fail(claimed.path, "there is no object in this photo")
    told = client.get(f"/api/jobs/{job}").json()
    assert (told["status"], told["error"]) == ("failed", "there is no object in this photo")
    assert client.post(f"/api/jobs/{job}/generate-3d").status_code == 409
    assert "no object" in client.get(f"/api/jobs/{job}/result/model.glb").json()["detail"]
    answer = client.post(f"/api/jobs/{job}/retry")
    assert (answer.status_code, answer.json()["status"], answer.json()["error"]) == (202, "pending", None)
    assert client.post(f"/api/jobs/{job}/retry").status_code == 409


def test_cancel_and_delete(client: TestClient, spool: Spool) -> None:
    job = upload(client, start="true").json()["job_id"]
    assert client.delete(f"/api/jobs/{job}").status_code == 409
    answer = client.post(f"/api/jobs/{job}/cancel")
    assert (answer.status_code, answer.json()["status"], answer.json()["error"]) == (
        202,
        "failed",
        "cancelled",
    )
    assert client.delete(f"/api/jobs/{job}").status_code == 204
    assert client.get(f"/api/jobs/{job}/status").status_code == 404
    done = submit(spool, "done").id
    assert client.post(f"/api/jobs/{done}/cancel").status_code == 409


@pytest.mark.parametrize("job", [new_id(), "x", "..", "0190b5a0-0000-4000-8000-000000000000", "%2e%2e%2fetc"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/status"),
        ("GET", "/result/model.glb"),
        ("GET", "/thumbnail"),
        ("POST", "/generate-multiangle"),
        ("POST", "/generate-3d"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ],
)
def test_an_unknown_job_is_404_everywhere(client: TestClient, method: str, path: str, job: str) -> None:
    answer = client.request(method, f"/api/jobs/{job}{path}")
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)


def test_the_list_is_newest_first_in_pages(client: TestClient, spool: Spool) -> None:
    made = [upload(client).json()["job_id"] for _ in range(5)]
    first = client.get("/api/jobs?limit=2")
    assert [row["job_id"] for row in first.json()] == made[:2:-1]
    assert {"job_id", "has_model", "created_at"} <= set(first.json()[0])
    following = first.links["next"]["url"]
    assert [row["job_id"] for row in client.get(following).json()] == made[2:0:-1]
    last = client.get("/api/jobs?limit=50")
    assert len(last.json()) == 5 and "next" not in last.links
    for query in ("limit=0", "limit=x", "limit=501", "before=x", "page=2"):
        assert client.get(f"/api/jobs?{query}").status_code == 422


def test_thumbnails_of_every_stage(client: TestClient, spool: Spool) -> None:
    job = upload(client, picture((900, 600), "JPEG", "RGB"), name="big.jpg").json()["job_id"]
    for products in ((), (layout.CUTOUT_PNG,), (layout.GEOMETRY_GLB, *layout.VIEWS)):
        for product in products:
            Image.new("RGBA", (300, 200), (200, 30, 30, 255)).save(spool.root / "held" / job / product, "PNG")
        answer = client.get(f"/api/jobs/{job}/thumbnail")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        path = spool.root / "thumbnail.png"
        path.write_bytes(answer.content)
        with Image.open(path) as image:
            assert max(image.size) == 256
    broken = upload(client, picture()[:300]).json()["job_id"]
    assert client.get(f"/api/jobs/{broken}/thumbnail").status_code == 422


def test_health_says_plainly_that_nobody_works(client: TestClient) -> None:
    told = client.get("/health").json()
    assert (told["status"], told["supervisor"], told["devices"]) == ("degraded", False, [])
    assert "protoscale run" in told["notes"][0]
    assert client.get("/api/jobs/metrics/gpu").json() == {"devices": []}


def test_paths_and_methods_that_do_not_exist(client: TestClient) -> None:
    assert client.get("/nothing").json()["detail"]
    answer = client.put("/api/upload")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert {route["path"] for route in client.get("/").json()["routes"]} >= {"/api/upload", "/health"}


def test_cors_is_off_until_origins_are_named(client: TestClient, tmp_path: Path) -> None:
    origin = {"origin": "https://app.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in client.options("/api/upload", headers=origin).headers
    named = client_of(tmp_path / "other", CORS_ORIGINS="https://app.example, https://b.example")
    answer = named.options("/api/upload", headers=origin)
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    stranger = named.get("/health", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in stranger.headers


def test_a_page_of_another_origin_may_read_every_header_that_is_sent(tmp_path: Path) -> None:
    client = client_of(tmp_path / "spool", CORS_ORIGINS="https://app.example")
    client.headers.update(
        {"origin": "https://app.example", "idempotency-key": "k", "prefer": "respond-async"}
    )
    upload(client)
    answer = upload(client)
    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    own = {"idempotency-replayed", "preference-applied", "location", "x-request-id"}
    assert own <= set(answer.headers) and own <= exposed


def stumble(*_: object) -> None:
    raise ZeroDivisionError("a bug of ours")


def test_a_bug_is_told_to_a_page_of_another_origin_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(tmp_path / "spool", CORS_ORIGINS="https://app.example")
    job = upload(client).json()["job_id"]
    monkeypatch.setattr(Spool, "find", stumble)
    sent = {"origin": "https://app.example", "x-request-id": "mine"}
    answer = client.get(f"/api/jobs/{job}/status", headers=sent)
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "mine")
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert 'code="500"' in client.get("/metrics").text


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


def test_a_bug_is_a_short_500(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    job = upload(client).json()["job_id"]
    monkeypatch.setattr(Spool, "find", stumble)
    answer = client.get(f"/api/jobs/{job}/status")
    assert answer.status_code == 500
    assert "log" in answer.json()["detail"] and "Traceback" not in answer.text


def test_a_moving_job_is_never_a_404(client: TestClient, spool: Spool) -> None:
    job_id = submit(spool).id
    over = threading.Event()

    def move() -> None:
        path = spool.root / "inbox" / job_id
        places = ["running/w", "geometry", "running/w", "texture", "running/w", "done", "inbox"]
        while not over.is_set():
            for place in places:
                path = path.rename(spool.root / place / job_id)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        codes = {client.get(f"/api/jobs/{job_id}/status").status_code for _ in range(500)}
    finally:
        over.set()
        mover.join()
    assert codes == {200}
