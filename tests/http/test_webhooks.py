"""Webhooks: signed, tried again across restarts, only to where they may go, and off unless turned on."""

from __future__ import annotations

import base64
import errno
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from httpd import webhooks
from httpd.config import HttpConfig
from httpd.delivery import signed
from httpd.webhooks import Postman
from spool import callbacks, layout
from spool.callbacks import PAUSES, Promise
from spool.job import Request
from spool.settings import read
from spool.spool import Spool
from tests.client import ALL, client_of, make, upload
from tests.ear import Ear
from tests.http.live import send, server
from tests.http.receiver import ON, SECRET, Receiver
from tests.service import ROOT, free_port
from tests.support import picture, submit, until


def postman(spool: Spool, **environ: str) -> Postman:
    return Postman(spool, read(HttpConfig, {"PROTOSCALE_SPOOL": str(spool.root), **ON, **environ}))


def test_a_job_s_end_is_told_and_signed(spool: Spool, receiver: Receiver) -> None:
    client = client_of(spool.root, **ON)
    job = upload(client, start="true", callback_url=receiver.url).json()["job_id"]
    man = postman(spool)
    man.round()
    assert receiver.got == []  # nothing has ended yet
    make(spool, *ALL)
    man.round()
    man.round()
    ((headers, body),) = receiver.got
    told = json.loads(body)
    assert (told["type"], told["data"]["job_id"]) == ("job.completed", job)
    signature = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET.encode(), signature, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 300
    assert callbacks.owed(spool.root) == []


def test_views_and_model_are_told_each_and_a_retry_again(spool: Spool, receiver: Receiver) -> None:
    client, man = client_of(spool.root, **ON), postman(spool)
    job = upload(client, callback_url=receiver.url).json()["job_id"]
    client.post(f"/api/jobs/{job}/generate-multiangle")
    make(spool, layout.CUTOUT_PNG, layout.GEOMETRY_GLB, *layout.VIEWS)
    man.round()
    man.round()
    client.post(f"/api/jobs/{job}/generate-3d")
    client.post(f"/api/jobs/{job}/cancel")
    man.round()
    client.post(f"/api/jobs/{job}/retry")
    make(spool)
    make(spool, layout.ANALYSIS, layout.MODEL_GLB, folder="texture")
    man.round()
    told = [json.loads(body) for _, body in receiver.got]
    assert [(one["type"], one["data"]["stage"] == "done") for one in told] == [
        ("job.completed", False),
        ("job.failed", False),
        ("job.completed", True),
    ]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 3


@contextmanager
def delivery(spool: Path, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m httpd.postman`, the process of its own; told to stop at the end."""
    told = {"PATH": os.environ["PATH"], "PROTOSCALE_SPOOL": str(spool), **environ}
    process = subprocess.Popen(
        [sys.executable, "-m", "httpd.postman"], cwd=ROOT, env=told, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
        process.terminate()
        process.wait(60)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.service
def test_a_server_without_a_network_leaves_webhooks_to_a_process_of_its_own(
    tmp_path: Path, receiver: Receiver, ear: Ear
) -> None:
    spool, port = Spool.open(tmp_path / "spool"), free_port()
    spool.enlist("w")
    with server(spool.root, port, "--no-webhooks", environ=ON):
        job = send(port, picture(), start="true", callback_url=receiver.url)["job_id"]
        make(spool, *ALL)
        notes = httpx.get(f"http://127.0.0.1:{port}/health").json()["notes"]
        assert any("no process delivers them: run `protoscale webhooks`" in note for note in notes)
        with delivery(spool.root, **ON, **ear.environ) as process:
            until(lambda: not callbacks.owed(spool.root), 60)
            notes = httpx.get(f"http://127.0.0.1:{port}/health").json()["notes"]
            assert not any("webhooks" in note for note in notes)
        assert process.returncode == 0
    assert [json.loads(body)["data"]["job_id"] for _, body in receiver.got] == [job]
    assert [lines.splitlines()[0] for lines in ear.heard()] == ["READY=1", "STOPPING=1"]


@pytest.mark.service
def test_delivering_where_webhooks_are_off_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    with delivery(tmp_path / "spool") as process:
        _, told = process.communicate(timeout=60)
    assert process.returncode == 78
    assert "PROTOSCALE_CALLBACK_HOSTS" in told


@pytest.mark.service
def test_a_failed_delivery_is_tried_again_by_another_process(tmp_path: Path, receiver: Receiver) -> None:
    spool, port = Spool.open(tmp_path / "spool"), free_port()
    spool.enlist("w")
    receiver.codes = [500]
    with server(spool.root, port, environ=ON):
        send(port, picture(), start="true", callback_url=receiver.url)
        make(spool, *ALL)
        until(lambda: [one for one in callbacks.owed(spool.root) if one.tries == 1], 60)
    (promise,) = callbacks.owed(spool.root)
    assert 0 < promise.due - time.time() <= PAUSES[0]
    Promise(promise.job_id, promise.url, tries=1, due=0.0).write(spool.root)  # the pause is over
    with server(spool.root, port, environ=ON):
        until(lambda: not callbacks.owed(spool.root), 60)
    first, second = (headers["webhook-id"] for headers, _ in receiver.got)
    assert first == second


def test_pauses_grow_and_end(spool: Spool) -> None:
    promise = Promise("0190b5a0-0000-7000-8000-000000000000", "http://x/")
    pauses = []
    while later := promise.postponed(now=0.0):
        promise = later
        pauses.append(promise.due)
    assert pauses == list(PAUSES) == sorted(PAUSES)
    before, later = time.time(), Promise(promise.job_id, promise.url).postponed()
    assert later and before <= later.due - PAUSES[0] <= time.time()


def test_it_is_given_up_at_last(spool: Spool, receiver: Receiver) -> None:
    receiver.codes = [302]  # redirects are not followed: where they lead was not looked at
    job = submit(spool)
    make(spool, *ALL)
    Promise(job.id, receiver.url, tries=len(PAUSES)).write(spool.root)
    postman(spool).round()
    assert len(receiver.got) == 1 and callbacks.owed(spool.root) == []


def test_what_is_no_promise_is_left_alone_and_the_others_are_kept(spool: Spool) -> None:
    assert callbacks.owed(spool.root) == []
    promise = Promise(submit(spool).id, "http://127.0.0.1/")
    promise.write(spool.root)
    folder = spool.root / callbacks.CALLBACKS
    for name, content in (("torn", b"{"), ("empty", b""), ("foreign", b'{"x": 1}'), ("list", b"[]")):
        (folder / f"{name}.json").write_bytes(content)
    (folder / "odd.json").write_text(json.dumps({"job_id": "../x", "url": "http://127.0.0.1/"}))
    assert callbacks.owed(spool.root) == [promise]


def test_one_process_delivers(spool: Spool) -> None:
    with callbacks.postman(spool.root) as first, callbacks.postman(spool.root) as second:
        assert (first, second) == (True, False)
    with callbacks.postman(spool.root) as third:
        assert third


def test_a_promise_that_meets_an_error_rests_and_the_others_are_kept(
    spool: Spool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sick, sound = submit(spool).id, submit(spool).id
    receiver.codes = [500]  # to be tried again, which cannot be written down
    for job_id in (sick, sound):
        make(spool, *ALL)
        Promise(job_id, receiver.url).write(spool.root)

    def full(promise: Promise, root: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    man = postman(spool)
    monkeypatch.setattr(Promise, "write", full)
    man.round()
    man.round()
    assert [json.loads(body)["data"]["job_id"] for _, body in receiver.got] == [sick, sound]
    assert [promise.job_id for promise in callbacks.owed(spool.root)] == [sick]
    (line,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert sick in line.getMessage() and "trying again in 30 s" in line.getMessage()


def test_no_error_ends_the_postman(spool: Spool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TURN", 0.05)
    monkeypatch.setattr(webhooks, "PATIENCE", 0.05)
    (spool.root / callbacks.CALLBACKS).write_text("")  # no folder of promises can be made
    man = postman(spool)
    man.start()
    try:
        until(lambda: man._rests)
        (spool.root / callbacks.CALLBACKS).unlink()
        job = submit(spool)
        make(spool, *ALL)
        Promise(job.id, receiver.url).write(spool.root)
        until(lambda: receiver.got, 60)
    finally:
        man.stop()
        man.join(60)
    assert not man.is_alive()


def test_a_configured_webhook_hears_of_every_job(spool: Spool, receiver: Receiver) -> None:
    environ = {**ON, "PROTOSCALE_CALLBACK_URL": receiver.url}
    man = postman(spool, PROTOSCALE_CALLBACK_URL=receiver.url)
    man.round()
    jobs = {submit(spool).id, upload(client_of(spool.root, **environ), start="true").json()["job_id"]}
    man.round()
    for _ in jobs:
        make(spool, *ALL)
    man.round()
    man.round()
    assert {json.loads(body)["data"]["job_id"] for _, body in receiver.got} == jobs
    assert len(receiver.got) == 2


def test_jobs_that_appear_out_of_order_are_each_promised_once(spool: Spool) -> None:
    """The id is made before the picture is copied: a large picture's job comes after a younger one."""
    url = "http://127.0.0.1:1/"
    older = spool.draft(Request.new(source="cli", name="large.png", suffix=".png"))
    there = submit(spool)
    man = postman(spool, PROTOSCALE_CALLBACK_URL=url)
    man.round()  # the younger of them was there before; the older one comes only now
    younger = submit(spool)
    man.round()
    older.input.write_bytes(picture())
    late = older.publish("inbox")
    man.round()
    assert {promise.job_id for promise in callbacks.owed(spool.root)} == {younger.id, late.id}
    for promise in callbacks.owed(spool.root):
        promise.drop(spool.root)
    for _ in (there, younger, late):
        make(spool, *ALL)
    man.round()
    assert callbacks.owed(spool.root) == []  # they moved, and are known


def test_a_job_whose_promise_cannot_be_written_is_promised_later(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    man = postman(spool, PROTOSCALE_CALLBACK_URL="http://127.0.0.1:1/")
    man.round()
    job = submit(spool)

    def full(promise: Promise, root: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as sick:
        sick.setattr(Promise, "write", full)
        sick.setattr(webhooks, "PATIENCE", 0.0)
        man.round()
    man.round()
    assert [promise.job_id for promise in callbacks.owed(spool.root)] == [job.id]


def test_a_deleted_job_is_owed_nothing(spool: Spool) -> None:
    promise = Promise(submit(spool, "held").id, "http://127.0.0.1/")
    promise.write(spool.root)
    spool.remove(promise.job_id)
    man = postman(spool)
    man.round()
    assert callbacks.owed(spool.root) == [promise]  # as young as this, its job may be about to appear
    path = spool.root / callbacks.CALLBACKS / f"{promise.job_id}.json"
    os.utime(path, (1, 1))
    man.round()
    assert callbacks.owed(spool.root) == []


def test_the_signature_does_not_change_with_the_try() -> None:
    one, other = (signed(SECRET, "job", "done", b"{}", 1) for _ in range(2))
    assert one == other
