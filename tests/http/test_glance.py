"""A status that is told again is the one that would be read anew, whatever happened to the job meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from httpd.glance import KEPT, Glances
from spool import durable, layout
from spool.errors import NoSuchJob
from spool.job import Job
from spool.spool import Spool
from spool.status import Status
from spool.view import look
from tests.client import client_of
from tests.support import submit, until


def told(glances: Glances, job_id: str) -> dict[str, object]:
    value: dict[str, object] = json.loads(bytes(glances.status(job_id).body))
    return value


def keep(glances: Glances, job_id: str) -> None:
    """Ask until the answer is one that is told again."""
    until(lambda: glances.status(job_id) and job_id in glances._kept)


def test_every_change_of_a_job_is_told_at_once(spool: Spool) -> None:
    glances, job = Glances(spool), submit(spool, "held", views=False, model=False)
    running: list[Job] = []

    def claim(folder: str) -> None:
        found = spool.claim(folder, "w")
        assert found
        running[:] = [found]

    def publish(name: str) -> None:
        durable.replace(running[0].path / name, b"{}")

    changes: tuple[Callable[[], object], ...] = (
        lambda: spool.release(job.id, model=True),
        lambda: spool.prioritise(job.id, "low"),
        lambda: spool.prioritise(job.id, "high"),
        lambda: claim("inbox"),
        lambda: spool.begin(running[0], "cutout"),
        lambda: replace(Status.read(running[0].path), stage="cutout", progress=3.0).write(running[0].path),
        lambda: replace(Status.read(running[0].path), progress=4.0).write(running[0].path),
        lambda: publish(layout.CUTOUT_PNG),
        lambda: spool.advance(running[0]),
        lambda: claim("geometry"),
        lambda: publish(layout.VIEWS[-1]),
        lambda: spool.cancel(job.id),
        lambda: spool.fail(running[0].path, "cancelled"),
        lambda: spool.retry(job.id),
        lambda: spool.cancel(job.id),
    )
    before = None
    for change in changes:
        keep(glances, job.id)
        change()
        now = told(glances, job.id)
        assert now == look(spool, job.id)
        assert now != before or now["status"] == "processing"  # a product or a mark alone may change nothing
        before = now
    keep(glances, job.id)
    spool.remove(job.id)
    with pytest.raises(NoSuchJob):
        glances.status(job.id)


def test_a_job_that_moves_up_in_its_queue_is_told_so_though_nothing_of_it_changed(spool: Spool) -> None:
    glances, first, second = Glances(spool), submit(spool), submit(spool)
    keep(glances, second.id)
    assert told(glances, second.id)["queue_position"] == 2
    assert spool.claim("inbox", "w")
    assert told(glances, second.id)["queue_position"] == 1
    assert first.id != second.id


def test_an_unchanged_job_is_told_in_the_same_words_without_opening_a_file(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    glances, job = Glances(spool), submit(spool, "done")
    keep(glances, job.id)
    answer = glances.status(job.id)

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr("spool.small.os.open", opened)
    assert glances.status(job.id) is answer


def test_no_more_is_kept_than_said(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("httpd.glance.KEPT", 3)
    assert KEPT > 3
    glances = Glances(spool)
    jobs = [submit(spool, "done").id for _ in range(5)]
    for job_id in jobs:
        keep(glances, job_id)
    assert list(glances._kept) == jobs[-3:]


def test_what_one_request_adds_to_the_headers_is_not_told_to_the_next(spool: Spool) -> None:
    client = client_of(spool.root, CORS_ORIGINS="https://shop.example")
    job = submit(spool, "done")
    url = f"/api/jobs/{job.id}/status"
    keep(client.app.state.glances, job.id)  # type: ignore[attr-defined]
    for _ in range(2):
        theirs = client.get(url, headers={"Origin": "https://shop.example"})
        assert theirs.headers["access-control-allow-origin"] == "https://shop.example"
        own = client.get(url)
        assert "access-control-allow-origin" not in own.headers and own.json() == theirs.json()
        assert own.headers["x-request-id"] != theirs.headers["x-request-id"]
    assert client.get(url, headers={"If-None-Match": own.headers["etag"]}).status_code == 304
