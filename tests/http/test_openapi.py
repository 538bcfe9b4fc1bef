"""The document of the API, held against the routes both ways, and the running server held against the document."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Route

from httpd import batch, form, tencent
from httpd.app import ROUTES
from httpd.openapi.document import PATHS, SCHEMAS, document
from spool import keys, layout, lock
from spool.board import Board, Slot
from spool.spool import Spool
from tests.client import ALL, client_of, make, upload
from tests.http.live import server
from tests.service import free_port
from tests.support import submit

CONFIG = Path(__file__).parent / "schemathesis.toml"
EXAMPLES = int(os.environ.get("PROTOSCALE_TEST_FUZZ", "2"))
"""Requests that schemathesis invents per operation; `make fuzz-http` invents many more."""


def test_every_route_is_in_the_document_and_none_else() -> None:
    routes = {
        (route.path.replace(":path}", "}"), method.lower())
        for route in ROUTES
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {(path, method) for path, methods in PATHS.items() for method in methods} == routes
    for path, methods in PATHS.items():
        for told in methods.values():
            named = {one["name"] for one in told.get("parameters", ()) if one["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), path


def test_every_field_is_in_the_document_and_none_else() -> None:
    for name in ("Upload", "Batch"):
        assert set(SCHEMAS[name]["properties"]) == {"file", *form.FIELDS}
    assert SCHEMAS["Batch"]["properties"]["file"]["maxItems"] == batch.MAX_FILES
    assert set(SCHEMAS["GenerationRequest"]["properties"]) == set(tencent.FIELDS)


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    text = json.dumps(document("1", require_key=True))
    used = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert used == set(SCHEMAS)
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)


def resolved(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}})


def test_answers_are_what_the_document_says_in_every_state(tmp_path: Path) -> None:
    client = client_of(tmp_path / "spool")
    spool = Spool(tmp_path / "spool")
    spool.enlist("w")
    job = upload(client).json()["job_id"]
    for step in range(4):
        told = client.get(f"/api/jobs/{job}/status").json()
        resolved("Status").validate(told)
        assert set(told) == set(SCHEMAS["Status"]["properties"])
        row = client.get("/api/jobs").json()[0]
        resolved("Summary").validate(row)
        assert set(row) == set(SCHEMAS["Summary"]["properties"])
        if step == 0:
            client.post(f"/api/jobs/{job}/generate-3d")
        elif step == 1:
            make(spool, *ALL)
    for path, name in (("/health", "Health"), ("/ready", "Ready"), ("/api/jobs/metrics/gpu", "Devices")):
        told = client.get(path).json()
        resolved(name).validate(told)
        assert set(told) == set(SCHEMAS[name]["properties"])


def test_the_page_for_people_is_whole_and_fetches_nothing(tmp_path: Path) -> None:
    answer = client_of(tmp_path / "spool").get("/docs")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for path in PATHS:
        assert path in answer.text
    for name in SCHEMAS:
        assert f"id='{name}'" in answer.text
    assert not re.search(r"<(script|link|img)|https?://(?!127\.0\.0\.1)", answer.text)


def test_keys_are_demanded_in_the_document_where_they_are(tmp_path: Path) -> None:
    open_server = client_of(tmp_path / "spool").get("/openapi.json").json()
    guarded = client_of(tmp_path / "spool", PROTOSCALE_REQUIRE_KEY="true").get("/openapi.json").json()
    assert (open_server["security"], guarded["security"]) == ([], [{"key": []}, {"bearer": []}])


def with_real_jobs(told: dict[str, Any], ids: list[str]) -> dict[str, Any]:
    """The document with ids of jobs that exist as examples: random ones would only ever find 404s."""
    for methods in told["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in ("job_id", "uid"):
                    parameter["examples"] = {job_id[-6:]: {"value": job_id} for job_id in ids}
    return told


@pytest.mark.service
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    spool, port = Spool.open(tmp_path / "spool"), free_port()
    spool.enlist("w")
    done = submit(spool).id
    make(spool, *ALL)
    ids = [done, submit(spool).id, submit(spool, "held", views=False, model=False).id, submit(spool).id]
    spool.cancel(ids[-1])
    token = keys.create(spool.root, "schemathesis", "admin")
    # A supervisor and an idle worker, so that /ready has a 200 to give.
    held = lock.take(spool.root)
    slot = Slot("w", "all", "cpu", ("cutout",), "idle", None, None, 1, 0, 0.0, None, 0)
    Board(1, "2026-01-01T00:00:00+00:00", "sphere", None, (), (slot,)).write(spool.root)
    environ = {
        "PROTOSCALE_REQUIRE_KEY": "true",
        "PROTOSCALE_CLIENT_QUEUE": "0",
        "PROTOSCALE_CLIENT_UPLOADS": "0",
    }
    with server(spool.root, port, environ=environ, stderr=subprocess.DEVNULL):
        url = f"http://127.0.0.1:{port}"
        told = with_real_jobs(httpx.get(f"{url}/openapi.json", timeout=60).json(), ids[:2])
        (tmp_path / "openapi.json").write_text(json.dumps(told))
        command = [
            str(Path(sys.executable).parent / "schemathesis"),
            *("--config-file", str(CONFIG), "run", str(tmp_path / "openapi.json"), "--url", url),
            *("--header", f"X-API-Key: {token}", "--header", "Prefer: respond-async"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES)),
            *("--generation-deterministic", "--no-color", "--request-timeout", "60"),
            # They never end; tests/http/test_events.py follows them.
            *("--exclude-path", "/api/events", "--exclude-path", "/api/jobs/{job_id}/events"),
        ]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    os.close(held)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert "Tested: 29" in run.stdout and "Failures:" not in run.stdout
    assert all(spool.find(job_id) for job_id in spool.waiting(layout.HELD))
    assert all(isinstance(route, Route) for route in ROUTES)
