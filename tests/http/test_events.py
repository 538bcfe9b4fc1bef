"""Server-Sent Events, from a real server: states as they change, from any process, across connections."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from httpd.scan import Scan
from spool import layout, pause
from spool.spool import Spool
from spool.status import Status
from tests.client import client_of, make
from tests.http.live import server
from tests.service import free_port
from tests.support import submit, until

pytestmark = pytest.mark.service
LONG = httpx.Timeout(60)


@dataclass
class Event:
    kind: str
    id: str
    told: dict[str, Any]


def parse(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif "data" in fields:
            yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}


@contextmanager
def stream(port: int, path: str, last: str | None = None) -> Iterator[Iterator[Event]]:
    headers = {"last-event-id": last} if last else {}
    with httpx.stream("GET", f"http://127.0.0.1:{port}{path}", headers=headers, timeout=LONG) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield parse(answer.iter_lines())


def test_a_job_is_followed_to_its_end(spool: Spool) -> None:
    port = free_port()
    job = submit(spool)
    with server(spool.root, port), stream(port, f"/api/jobs/{job.id}/events") as told:
        first = next(told)
        assert (first.kind, first.told["status"], first.told["queue_position"]) == ("status", "pending", 1)
        claimed = spool.claim("inbox", "w")
        assert claimed
        spool.begin(claimed, "cutout")
        assert next(told).told["status"] == "processing"
        Status(stage="cutout", progress=3.0).write(claimed.path)
        event = next(told)
        while event.told["progress"] != 3.0:
            event = next(told)
        for product in (layout.CUTOUT_PNG, layout.GEOMETRY_GLB, layout.MODEL_GLB):
            (claimed.path / product).write_bytes(b"x")
        spool.advance(claimed)
        *_, last = told  # the stream ends by itself
        assert (last.told["status"], last.told["progress"]) == ("completed", 100.0)
        again = httpx.get(
            f"http://127.0.0.1:{port}/api/jobs/{job.id}/events",
            headers={"last-event-id": last.id},
            timeout=LONG,
        )
        assert again.status_code == 204
        with stream(port, f"/api/jobs/{job.id}/events") as told:
            assert [event.told["status"] for event in told] == ["completed"]


def test_the_state_a_client_knows_is_not_told_again(spool: Spool) -> None:
    port = free_port()
    job = submit(spool)
    path = f"/api/jobs/{job.id}/events"
    with server(spool.root, port):
        with stream(port, path) as told:
            first = next(told)
        with stream(port, path, first.id) as told:
            spool.cancel(job.id)
            (event,) = told
        assert (event.told["status"], event.told["error"]) == ("failed", "cancelled")


def test_all_jobs_are_told_by_every_server_and_again_to_those_who_were_away(spool: Spool) -> None:
    one, other = free_port(), free_port()
    with server(spool.root, one), server(spool.root, other):
        with stream(one, "/api/events") as told, stream(other, "/api/events") as told_too:
            assert (next(told).kind, next(told_too).kind) == ("open", "open")
            job = submit(spool)
            event, event_too = next(told), next(told_too)
            assert event.kind == event_too.kind == "job"
            assert event.told == event_too.told
            assert (event.told["job_id"], event.told["status"]) == (job.id, "pending")
        missed = submit(spool, "held")
        assert make(spool, layout.CUTOUT_PNG) == "geometry"
        with stream(other, "/api/events", event.id) as told:
            assert [next(told).kind, next(told).kind] == ["open", "queue"]
            found = {event.told["job_id"]: event.told["stage"] for event in (next(told), next(told))}
            assert found == {job.id: "geometry", missed.id: "uploaded"}
            spool.cancel(job.id)
            # A state may be told twice to whoever comes back: those of before are passed over.
            assert (
                next(event for event in told if event.told.get("status") == "failed").told["job_id"] == job.id
            )
            spool.remove(job.id)
            assert next(event for event in told if event.kind == "deleted").told == {"job_id": job.id}


def test_a_pause_is_told_to_those_who_listen_to_all(spool: Spool) -> None:
    port = free_port()
    with server(spool.root, port):
        with stream(port, "/api/events") as told:
            opened = next(told)
            for reason in ("heat", "noise"):  # the second time its folder is there already
                pause.pause(spool.root, reason=reason)
                event = next(told)
                assert (event.kind, event.told["paused"]["reason"]) == ("queue", reason)
                pause.resume(spool.root)
                event = next(told)
                assert (event.kind, event.told) == ("queue", {"paused": None})
        pause.pause(spool.root)
        with stream(port, "/api/events", opened.id) as told:
            assert next(told).kind == "open"
            assert next(told).told["paused"]["since"]


def test_a_server_with_open_streams_stops_at_once(spool: Spool) -> None:
    port = free_port()
    with server(spool.root, port) as process, stream(port, "/api/events") as told:
        next(told)
        process.send_signal(signal.SIGTERM)
        assert list(told) == []  # ended properly, not cut off
        process.wait(60)


def test_streams_that_end_leave_nothing_behind(spool: Spool) -> None:
    port = free_port()
    with server(spool.root, port) as process:
        watched = psutil.Process(process.pid)
        for _ in range(2):
            with stream(port, "/api/events") as told:
                next(told)
        until(lambda: not [file for file in _links(watched.pid) if "inotify" in file], 60)


def _links(pid: int) -> list[str]:
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since we listed it
            found.append(str(path.readlink()))
    return found


def test_a_head_of_a_stream_ends(spool: Spool) -> None:
    client, job = client_of(spool.root), submit(spool)
    for path in ("/api/events", f"/api/jobs/{job.id}/events"):
        answer = client.head(path)
        assert (answer.status_code, answer.headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )


def test_refusals(tmp_path: Path) -> None:
    client = client_of(tmp_path / "spool")
    assert client.get("/api/jobs/0190b5a0-0000-7000-8000-000000000000/events").status_code == 404
    assert client.get("/api/events", headers={"last-event-id": "x"}).status_code == 422
    none = client_of(tmp_path / "spool", PROTOSCALE_MAX_STREAMS="1")
    none.app.state.feed._listeners.add(object())  # type: ignore[attr-defined]
    answer = none.get("/api/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


def test_a_scan_sees_every_move(spool: Spool) -> None:
    scan = Scan(spool)
    assert scan.changed() == set()
    first, second = submit(spool), submit(spool, "held")
    assert scan.changed() == {first.id, second.id}
    assert scan.changed() == set()
    third = submit(spool)
    assert scan.changed() == {third.id}
    assert make(spool, layout.CUTOUT_PNG) == "geometry"
    assert scan.changed() == {first.id, third.id}  # the third moved up
    assert scan.shifted == {third.id}
    spool.cancel(second.id)
    assert scan.changed() == {second.id}
    spool.remove(second.id)
    assert scan.changed() == {second.id}
    assert scan.since(0) == {first.id, third.id}
