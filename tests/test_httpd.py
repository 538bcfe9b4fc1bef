"""Every path, field and code of the API, over real spools; a worker is played by the spool's own moves."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from spool import layout
from spool.ids import new_id
from spool.spool import Spool
from tests.client import ALL, client_of, make, upload
from tests.support import picture, submit


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
