"""What operators see: metrics, readiness, logs that programs read, and the dashboard that shows it."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from spool import keys, layout, lock, tally
from spool.board import Board, Slot
from spool.ids import made_at, new_id
from spool.logs import REQUEST, to_stderr
from spool.spool import Spool
from tests.client import client_of, make, upload
from tests.http.live import send, server
from tests.service import ROOT, free_port, running
from tests.support import picture, submit, until

Sample = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(client: TestClient | httpx.Client) -> Sample:
    """Every sample of /metrics, read by Prometheus' own parser."""
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith(
        "text/plain; version=0.0.4"
    )
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(sample: Sample, name: str, **labels: str) -> float:
    return sample[(name, frozenset(labels.items()))]


def test_the_queue_is_told_by_depth_and_age(spool: Spool) -> None:
    client = client_of(spool.root)
    before = scraped(client)
    assert value(before, "protoscale_queue_jobs", stage="cutout") == 0
    assert value(before, "protoscale_queue_oldest_seconds", stage="cutout") == 0
    job = submit(spool)
    submit(spool)
    make(spool, layout.CUTOUT_PNG)
    path = spool.root / "inbox" / new_id().replace(job.id[:8], f"{int(job.id[:8], 16) - 1000:08x}")
    path.mkdir()  # a job of 1000 * 65.5 s ago, by its id
    told = scraped(client)
    assert value(told, "protoscale_queue_jobs", stage="cutout") == 2
    assert value(told, "protoscale_queue_jobs", stage="geometry") == 1
    assert 65_000 < value(told, "protoscale_queue_oldest_seconds", stage="cutout") < 66_500
    assert value(told, "protoscale_jobs", folder="held") == 0
    assert value(told, "protoscale_disk_free_bytes") > 0
    assert value(told, "protoscale_supervisor_up") == 0


def test_ids_say_when_they_were_made() -> None:
    import time

    assert abs(made_at(new_id()) - time.time()) < 5


def test_workers_counts_are_added_up_and_survive(spool: Spool) -> None:
    one, other = tally.Tally(spool.root, "one"), tally.Tally(spool.root, "other")
    one.stage("cutout", 0.2)
    other.stage("cutout", 700.0)
    other.failure(tally.ENGINE)
    tally.Tally(spool.root, "one").stage("cutout", 0.2)  # the process was replaced
    told = scraped(client_of(spool.root))
    assert value(told, "protoscale_stage_seconds_count", stage="cutout") == 3
    assert value(told, "protoscale_stage_seconds_sum", stage="cutout") == pytest.approx(700.4)
    assert value(told, "protoscale_stage_seconds_bucket", stage="cutout", le="0.25") == 2
    assert value(told, "protoscale_stage_seconds_bucket", stage="cutout", le="600.0") == 2
    assert value(told, "protoscale_failures_total", kind="engine") == 1
    (spool.root / "tally" / "one.json").write_text("torn{")
    assert value(scraped(client_of(spool.root)), "protoscale_stage_seconds_count", stage="cutout") == 1


def test_requests_are_counted_by_call_and_not_by_path(spool: Spool) -> None:
    client = client_of(spool.root)
    for at in range(3):
        client.get(f"/api/jobs/{at}/status")
    client.get("/nothing/at/all")
    client.request("BREW", "/health")
    told = scraped(client)
    assert value(told, "protoscale_http_requests_total", method="GET", call="jobs.status", code="404") == 3
    assert value(told, "protoscale_http_requests_total", method="GET", call="none", code="404") == 1
    assert (
        value(told, "protoscale_http_requests_total", method="other", call="health.health", code="405") == 1
    )
    assert value(told, "protoscale_http_request_seconds_count", call="jobs.status") == 3


@pytest.fixture
def board(spool: Spool) -> Iterator[Board]:
    held = lock.take(spool.root)
    slot = Slot("geometry-cpu", "geometry", "cpu", ("geometry",), "idle", None, None, 1, 7, 0.5, 1000, 2)
    made = Board(1, "2026-01-01T00:00:00+00:00", "sphere", None, (), (slot,))
    made.write(spool.root)
    yield made
    os.close(held)


def test_devices_are_told(spool: Spool, board: Board) -> None:
    told = scraped(client_of(spool.root))
    at = {"worker": "geometry-cpu", "device": "cpu", "node": ""}
    assert value(told, "protoscale_supervisor_up") == 1
    names = ("up", "busy_share", "memory_bytes", "jobs_done", "restarts")
    assert [value(told, f"protoscale_device_{name}", **at) for name in names] == [1, 0.5, 1000, 7, 2]


def test_ready_says_why_not(spool: Spool, board: Board) -> None:
    from dataclasses import replace

    client = client_of(spool.root)
    assert (client.get("/ready").status_code, client.get("/health").status_code) == (200, 200)
    starting = replace(board, workers=(replace(board.workers[0], state="starting"),))
    starting.write(spool.root)
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["no worker is ready"])
    full = client_of(spool.root, PROTOSCALE_RESERVE="900000T").get("/ready")
    assert full.status_code == 503 and "PROTOSCALE_RESERVE" in full.json()["reasons"][1]


def test_ready_without_a_supervisor(spool: Spool) -> None:
    answer = client_of(spool.root).get("/ready")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)


def test_metrics_need_a_key_where_keys_are_needed(spool: Spool) -> None:
    client = client_of(spool.root, PROTOSCALE_REQUIRE_KEY="true")
    assert client.get("/metrics").status_code == 401
    key = keys.create(spool.root, "prometheus", "read")
    assert client.get("/metrics", headers={"authorization": f"Bearer {key}"}).status_code == 200


def test_request_ids_come_back(spool: Spool) -> None:
    client = client_of(spool.root)
    assert client.get("/health", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = client.get("/health", headers={"x-request-id": "not one\x7f"}).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{16}", made)
    assert client.get("/health", headers={"host": "evil.example"}).headers["x-request-id"]


@pytest.fixture
def loggers() -> Iterator[None]:
    """As they were, after the test."""
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = kept, level


def test_no_path_makes_a_line_of_its_own_or_names_a_job(
    spool: Spool, loggers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    to_stderr("info", "httpd")
    client = client_of(spool.root)
    client.get(f"/nope%0A12:00:00%20httpd:%20key%20admin%20revoked%20job%20{new_id()}/\u00fc")
    client.get("/plain,path")
    # Starlette's client for tests writes lines too, of the kind that httpx does.
    first, second = (line for line in capsys.readouterr().err.splitlines() if "HTTP Request" not in line)
    assert re.match(r"\d\d:\d\d:\d\d httpd: GET /nope%0A12:00:00%20httpd:%20key%20", first)
    assert first.endswith("/%C3%BC 404") and " job " not in first
    assert second.endswith("GET /plain,path 404")


def test_no_name_makes_a_line_of_its_own(loggers: None, capsys: pytest.CaptureFixture[str]) -> None:
    to_stderr("info", "supervisor")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("x").exception("took %s", "a\n12:00:00 supervisor: b\x1b[2J.png")
    first, *trace = capsys.readouterr().err.splitlines()
    assert first.endswith(r"supervisor: took a\n12:00:00 supervisor: b\x1b[2J.png")
    assert trace[-1] == "ValueError: broken"


def test_a_json_line_has_the_ids(loggers: None, capsys: pytest.CaptureFixture[str]) -> None:
    to_stderr("info", "httpd", "json")
    token = REQUEST.set("r1")
    job = new_id()
    try:
        raise ValueError("broken\nin two lines")
    except ValueError:
        logging.getLogger("x").exception("job %s: it broke", job)
    REQUEST.reset(token)
    logging.getLogger("x").info("nothing special")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["job"], first["request"], first["level"], first["process"]) == (job, "r1", "error", "httpd")
    assert "ValueError" in first["exception"]
    assert "job" not in second and "request" not in second


@pytest.mark.service
def test_the_server_logs_json(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    environ = {"PROTOSCALE_LOG_FORMAT": "json"}
    with log.open("wb") as file, server(tmp_path / "spool", port, environ=environ, stderr=file) as process:
        send(port, picture())
        httpx.get(f"http://127.0.0.1:{port}/api/jobs", timeout=60)
        httpx.get(f"http://127.0.0.1:{port}/nothing", headers={"x-request-id": "r-2"}, timeout=60)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told = [(one["method"], one["path"], one["status"]) for one in lines if "path" in one]
    assert told == [("POST", "/api/upload", 201), ("GET", "/nothing", 404)]  # reads that succeed are not told
    assert [one["request"] for one in lines if one.get("path") == "/nothing"] == ["r-2"]


@pytest.mark.service
def test_the_whole_service_logs_json_and_counts_its_work(tmp_path: Path, u2net_home: Path) -> None:
    with running(tmp_path / "spool", u2net_home, "--log-format", "json") as service:
        client = httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=60)
        until(lambda: _answers(client), 60)
        until(lambda: client.get("/ready").status_code == 200, 60)
        job = send(service.port, picture(), start="true", quality="draft")["job_id"]
        assert service.finished(job)["status"] == "completed"

        def counted() -> bool:
            told, stages = scraped(client), ("cutout", "geometry", "texture")
            return all(value(told, "protoscale_stage_seconds_count", stage=stage) == 1 for stage in stages)

        until(counted)  # a worker that wrote less than a second ago writes again when it rests
        bad = send(service.port, picture()[:300], start="true")["job_id"]
        assert service.finished(bad)["status"] == "failed"
        assert value(scraped(client), "protoscale_failures_total", kind="bad_job") == 1
        client.close()
        assert service.stop() == 0
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    about = {line["process"] for line in lines if line.get("job") == job}
    assert {"texture-cpu", "geometry-cpu"} <= about
    assert {"supervisor", "httpd"} <= {line["process"] for line in lines}


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_the_dashboard_asks_for_metrics_that_exist(spool: Spool, board: Board) -> None:
    client = client_of(spool.root)
    upload(client)
    answer = client.get("/metrics")
    named = {
        sample.name
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    assert answer.status_code == 200
    dashboard = json.loads((ROOT / "docs" / "grafana.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"protoscale_\w+", target["expr"])
    }
    assert asked and asked <= named
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_an_unreachable_audit_is_said_and_passed_over(tmp_path: Path) -> None:
    """`make check` must not fail for a service that cannot be asked, and must fail for what it finds."""
    finding = (
        '{"dependencies": [{"name": "x", "version": "1", "vulns": [{"id": "V-1", "fix_versions": ["2"]}]}]}'
    )
    for report, code, word in (("", 0, "NOT AUDITED"), (finding, 1, "x 1: V-1, fixed in 2")):
        binary = tmp_path / "bin"
        binary.mkdir(exist_ok=True)
        (binary / "python").write_text(
            f'#!/bin/sh\n[ "$1" = -m ] && exec echo x==1\nexec {sys.executable} "$@"\n'
        )
        (binary / "pip-audit").write_text(
            f'#!/bin/sh\nwhile [ $# -gt 1 ]; do [ "$1" = --output ] && printf %s \'{report}\' > "$2"; shift; done\n'
            "echo 'connection refused' >&2; exit 1\n"
        )
        for file in binary.iterdir():
            file.chmod(0o755)
        run = subprocess.run(
            [ROOT / ".ci" / "audit", str(binary)], capture_output=True, text=True, timeout=60, check=False
        )
        assert (run.returncode, word in run.stderr) == (code, True), run.stderr
