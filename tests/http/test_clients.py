"""Clients that exist: Tencent's API, older two-step web clients, and programs that retry, resume and cache."""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from spool import idempotency, keys, layout
from spool.draft import Draft
from spool.spool import Spool
from tests.client import ALL, client_of, make, upload
from tests.crash.shim import Call, Shim
from tests.http.live import server
from tests.service import free_port
from tests.support import picture, until

PHOTO = base64.b64encode(picture()).decode()
BLENDER = {
    "image": PHOTO,
    "octree_resolution": 256,
    "num_inference_steps": 20,
    "guidance_scale": 5.5,
    "texture": True,
}
"""What the add-on of Hunyuan3D-2 sends, field by field."""
MODELS_21 = {
    "image": PHOTO,
    "prompt": None,
    "remove_background": True,
    "texture": False,
    "seed": 1234,
    "octree_resolution": 256,
    "num_inference_steps": 5,
    "guidance_scale": 5.0,
    "num_chunks": 8000,
    "face_count": 40000,
}
"""All fields of Hunyuan3D-2.1's GenerationRequest with their defaults."""


@pytest.mark.parametrize(
    ("fields", "quality"),
    [
        (BLENDER, "high"),
        (MODELS_21, "balanced"),
        ({**BLENDER, "octree_resolution": 512}, "ultra"),
        ({"image": PHOTO, "octree_resolution": 128}, "draft"),
        ({"image": "data:image/png;base64," + PHOTO, "texture": True}, "high"),
    ],
)
def test_send_and_status(client: TestClient, spool: Spool, fields: dict[str, Any], quality: str) -> None:
    answer = client.post("/send", json=fields)
    assert answer.status_code == 200
    uid = answer.json()["uid"]
    assert answer.json()["quality"] == quality
    request = spool.find(uid).job.request
    assert (request.quality, request.seed, request.model) == (quality, 1234, True)
    assert client.get(f"/status/{uid}").json() == {"status": "processing"}
    make(spool, layout.CUTOUT_PNG, layout.GEOMETRY_GLB)
    assert client.get(f"/status/{uid}").json() == {"status": "texturing"}
    make(spool, *layout.VIEWS, layout.ANALYSIS, layout.MODEL_GLB, folder="texture")
    told = client.get(f"/status/{uid}")
    assert told.json()["status"] == "completed"
    assert base64.b64decode(told.json()["model_base64"]) == b"bytes of model.glb"
    assert int(told.headers["content-length"]) == len(told.content)


def test_a_failed_job_is_an_error_with_its_reason(client: TestClient, spool: Spool) -> None:
    uid = client.post("/send", json={"image": PHOTO}).json()["uid"]
    spool.cancel(uid)
    assert client.get(f"/status/{uid}").json() == {"status": "error", "message": "cancelled"}
    assert client.get("/status/nothing").status_code == 404


def test_a_large_model_is_told_in_pieces_that_join(client: TestClient, spool: Spool) -> None:
    uid = client.post("/send", json={"image": PHOTO}).json()["uid"]
    make(spool, layout.CUTOUT_PNG)
    make(spool, layout.GEOMETRY_GLB, folder="geometry")
    model = bytes(range(256)) * 3001 + b"?"
    (spool.root / "texture" / uid / layout.MODEL_GLB).write_bytes(model)
    make(spool, folder="texture")
    assert base64.b64decode(client.get(f"/status/{uid}").json()["model_base64"]) == model


@pytest.mark.parametrize(
    ("fields", "code", "word"),
    [
        ({"text": "a cup"}, 422, "image"),
        ({"prompt": "a cup", "image": None}, 422, "image"),
        ({"image": PHOTO, "mesh": "AAAA"}, 422, "mesh"),
        ({"image": "%%%"}, 422, "base64"),
        ({"image": base64.b64encode(b"some text, no picture").decode()}, 415, "picture"),
        ({"image": ""}, 422, "empty"),
        ({"image": PHOTO, "texture": "yes"}, 422, "texture"),
        ({"image": PHOTO, "octree_resolution": "many"}, 422, "octree_resolution"),
        ({"image": PHOTO, "seed": -1}, 422, "seed"),
        ({"image": PHOTO, "type": "obj"}, 422, "glb"),
        ({"image": PHOTO, "unheard_of": 1}, 422, "unheard_of"),
        ([], 422, "object"),
    ],
)
def test_what_would_be_ignored_is_refused(
    client: TestClient, spool: Spool, fields: Any, code: int, word: str
) -> None:
    answer = client.post("/send", json=fields)
    assert (answer.status_code, word in answer.json()["detail"]) == (code, True)
    assert spool.waiting("inbox") == [] and list((spool.root / "tmp").iterdir()) == []


def test_bodies_that_are_no_json(client: TestClient) -> None:
    assert client.post("/send", content=b"{", headers={"content-type": "application/json"}).status_code == 400
    assert (
        client.post("/send", content=b"[" * 100_000, headers={"content-type": "application/json"}).status_code
        == 400
    )
    assert client.post("/send", data={"image": PHOTO}).status_code == 415


def test_json_bodies_are_counted(tmp_path: Path) -> None:
    client = client_of(tmp_path / "spool", PROTOSCALE_MAX_UPLOAD="1K")
    assert client.post("/send", json={"image": "A" * 2000}).status_code == 413
    assert client.post("/send", json={"image": "A" * 100_000}).status_code == 413


@pytest.mark.service
def test_generate_waits_for_the_model_as_blender_does(tmp_path: Path) -> None:
    port, spool = free_port(), Spool.open(tmp_path / "spool")
    spool.enlist("w")
    url = f"http://127.0.0.1:{port}/generate"
    with server(spool.root, port):
        worked = threading.Thread(
            target=lambda: (until(lambda: spool.waiting("inbox"), 60), make(spool, *ALL))
        )
        worked.start()
        answer = httpx.post(url, json=BLENDER, timeout=60)
        worked.join()
        assert (answer.status_code, answer.content) == (200, b"bytes of model.glb")
        assert answer.headers["content-type"] == "model/gltf-binary"
        later = httpx.post(url, json=BLENDER, headers={"prefer": "respond-async"}, timeout=60)
        assert (later.status_code, later.headers["preference-applied"]) == (202, "respond-async")
        assert later.headers["location"] == f"/status/{later.json()['uid']}"
        later = httpx.post(url, json=BLENDER, headers={"prefer": "respond-async, wait=1"}, timeout=60)
        assert (later.status_code, later.headers["preference-applied"]) == (202, "wait=1")
        failed = threading.Thread(
            target=lambda: spool.cancel(until(lambda: spool.waiting("inbox")[2:], 60)[0])
        )
        failed.start()
        answer = httpx.post(url, json=BLENDER, timeout=60)
        failed.join()
        assert (answer.status_code, answer.json()["error_code"], answer.json()["text"]) == (
            404,
            1,
            "cancelled",
        )


def test_an_older_web_client(tmp_path: Path) -> None:
    root = Spool.open(tmp_path / "spool").root
    Spool(root).enlist("w")
    client = client_of(root, PROTOSCALE_REQUIRE_KEY="true")
    client.headers["x-api-key"] = keys.create(root, "web", "submit")
    answer = client.post(
        "/api/upload",
        files={"files": ("cup.png", picture())},
        data={"remove_bg": "true", "quality_preset": "balanced", "enable_pbr": "true"},
    )
    told = answer.json()
    assert (answer.status_code, told["status"], told["quality"]) == (201, "pending", "balanced")
    assert client.post(f"/api/jobs/{told['job_id']}/generate-3d").status_code == 202
    make(Spool(root), *ALL)
    assert client.get(f"/api/jobs/{told['job_id']}/result/model.glb").status_code == 200
    assert upload(client, quality="draft", quality_preset="high").status_code == 422
    assert upload(client, enable_pbr="false").status_code == 422
    both = [("file", ("a.png", picture())), ("files", ("b.png", picture()))]
    assert client.post("/api/upload", files=both).status_code == 422


def send(client: TestClient, key: str, content: bytes | None = None, **fields: str) -> Any:
    return client.post(
        "/api/upload",
        files={"file": ("a.png", content or picture())},
        data=fields,
        headers={"idempotency-key": key},
    )


def test_a_key_whose_job_was_deleted_makes_one_that_is_new(client: TestClient, spool: Spool) -> None:
    first = send(client, "k1")
    spool.remove(first.json()["job_id"])
    answer = send(client, "k1")
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert "idempotency-replayed" not in answer.headers
    assert send(client, "k1").headers["idempotency-replayed"] == "true"


def test_the_same_key_is_the_same_job(client: TestClient, spool: Spool) -> None:
    first, again, other = send(client, "k1"), send(client, "k1"), send(client, "k2")
    assert [answer.status_code for answer in (first, again, other)] == [201] * 3
    assert first.json()["job_id"] == again.json()["job_id"] != other.json()["job_id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len(spool.waiting("held")) == 2 and list((spool.root / "tmp").iterdir()) == []
    assert send(client, "k1", quality="ultra").status_code == 422
    assert send(client, "k1", picture((50, 50))).status_code == 422
    assert send(client, "x" * 256).status_code == 422


@pytest.mark.parametrize(("path", "code"), [("/send", 200), ("/generate", 202)])
def test_the_same_key_is_the_same_job_in_tencents_calls_too(client: TestClient, path: str, code: int) -> None:
    headers = {"idempotency-key": "k1", "prefer": "respond-async"}
    first, again = (client.post(path, json={"image": PHOTO}, headers=headers) for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.status_code == code and "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


def test_a_crash_between_the_key_and_the_job_makes_no_second_job(
    client: TestClient, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Draft.publish

    def crash(draft: Draft, folder: str) -> None:
        raise OSError("the machine goes down here")

    monkeypatch.setattr(Draft, "publish", crash)
    assert send(client, "k").status_code == 500
    (entry,) = (spool.root / idempotency.FOLDER).glob("*.json")
    promised = entry.read_text()
    monkeypatch.setattr(Draft, "publish", real)
    answer = send(client, "k")
    assert answer.status_code == 201 and answer.json()["job_id"] in promised
    assert spool.waiting("held") == [answer.json()["job_id"]]


def test_a_key_is_on_the_disk_before_its_job_is(client: TestClient, spool: Spool) -> None:
    calls: list[str] = []

    class Listener:
        def before(self, call: Call) -> None:
            if call.name in ("fsync", "rename"):
                calls.append(f"{call.name} {Path(call.target or call.path).relative_to(spool.root)}")

        def after(self, call: Call) -> None:
            pass

    with Shim(spool.root, Listener()).installed():
        job = send(client, "k").json()["job_id"]
    (entry,) = (spool.root / idempotency.FOLDER).glob("*.json")
    appears = calls.index(f"rename held/{job}")
    for place in (entry.relative_to(spool.root), idempotency.FOLDER):
        assert calls.index(f"fsync {place}") < appears


def test_many_at_once_with_one_key_are_one_job(client: TestClient, spool: Spool) -> None:
    found: list[str] = []
    crowd = [
        threading.Thread(target=lambda: found.append(send(client, "k").json()["job_id"])) for _ in range(8)
    ]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert len(found) == 8 and len(set(found)) == 1
    assert spool.waiting("held") == [found[0]]


def test_keys_are_forgotten_after_a_day(client: TestClient, spool: Spool) -> None:
    first = send(client, "k").json()["job_id"]
    idempotency.sweep(spool.root)
    assert send(client, "k").json()["job_id"] == first
    (entry,) = (spool.root / idempotency.FOLDER).glob("*.json")
    idempotency.sweep(spool.root, entry.stat().st_mtime + idempotency.KEEP + 1)
    assert send(client, "k").json()["job_id"] != first


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"job_id": "0190b5a0',
        b'{"job_id": "x"}',
        b'{"job_id": "../x", "fingerprint": "f"}',
        b"[]",
        b"3",
    ],
)
def test_a_torn_or_damaged_entry_is_a_new_one(client: TestClient, spool: Spool, content: bytes) -> None:
    first = send(client, "k").json()["job_id"]
    (path,) = (spool.root / idempotency.FOLDER).glob("*.json")
    path.write_bytes(content)
    answer = send(client, "k")
    assert answer.status_code == 201 and answer.json()["job_id"] != first
    assert list((spool.root / idempotency.FOLDER).glob("*.json")) == [path]
    assert send(client, "k").json()["job_id"] == answer.json()["job_id"]


def test_an_unchanged_status_travels_once(client: TestClient, spool: Spool) -> None:
    job = upload(client, start="true").json()["job_id"]
    for path in (f"/api/jobs/{job}/status", "/api/jobs"):
        answer = client.get(path)
        same = client.get(path, headers={"if-none-match": f'"x", {answer.headers["etag"]}'})
        assert (same.status_code, same.content) == (304, b"")
        head = client.head(path)
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", answer.headers["etag"])
    make(spool, layout.CUTOUT_PNG)
    assert client.get(path, headers={"if-none-match": answer.headers["etag"]}).status_code == 200


def test_long_lists_are_gzipped_and_models_are_not(client: TestClient, spool: Spool) -> None:
    jobs = [upload(client, start="true").json()["job_id"] for _ in range(10)]
    assert client.get("/api/jobs").headers["content-encoding"] == "gzip"
    make(spool, *ALL)
    path = f"/api/jobs/{jobs[0]}/result/model.glb"
    assert "content-encoding" not in client.get(path).headers
    several = client.get(path, headers={"range": "bytes=0-1,3-4"})
    assert (several.status_code, several.content) == (200, b"bytes of model.glb")
    past = client.get(path, headers={"range": "bytes=900-"})
    assert past.status_code == 416
    etag = client.get(path).headers["etag"]
    stale = client.get(path, headers={"range": "bytes=0-4", "if-range": '"other"'})
    fresh = client.get(path, headers={"range": "bytes=0-4", "if-range": etag})
    assert (stale.status_code, fresh.status_code) == (200, 206)


def test_asking_for_an_answer_at_once_is_acknowledged(client: TestClient) -> None:
    client.headers["prefer"] = "handling=lenient, respond-async"
    answer = upload(client)
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["location"] == f"/api/jobs/{answer.json()['job_id']}/status"
