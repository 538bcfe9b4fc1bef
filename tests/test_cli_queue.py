"""Folders, tags, names, priorities and the queue paused, on the command line; and a pause before the real service."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from daemon.cli import exits
from daemon.cli.__main__ import main
from daemon.cli.submit import photos
from spool import pause
from spool.line import line_in
from spool.spool import Spool
from tests.http.live import answers
from tests.service import running
from tests.support import picture, until

Told = pytest.CaptureFixture[str]


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spool]:
    monkeypatch.setenv("PROTOSCALE_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("PROTOSCALE_RESERVE", "1M")
    yield Spool.open(tmp_path / "spool")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, two of them with one name, among what else lies in people's folders."""
    made = tmp_path / "photos"
    for name in ("b.png", "a.JPG", "chairs/b.png"):
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(kind="JPEG", mode="RGB") if name.endswith("JPG") else picture())
    (made / "chairs" / "notes.txt").write_text("no picture")
    (made / ".DS_Store").write_bytes(b"\0")
    (made / ".trash").mkdir()
    (made / ".trash" / "old.png").write_bytes(picture())
    (made / "gone.png").symlink_to(made / "nowhere")
    return made


def test_a_folder_is_submitted_and_what_is_no_picture_is_told(
    spool: Spool, folder: Path, capsys: Told
) -> None:
    assert main(["submit", str(folder), "--no-wait", "--tag", "oak", "--tag", "set 1"]) == exits.OK
    told = capsys.readouterr()
    assert told.out.split() == spool.waiting("inbox")
    requests = [spool.find(job).job.request for job in spool.waiting("inbox")]
    assert [request.name for request in requests] == ["a.JPG", "b.png", "b.png"]
    assert all(request.tags == ("oak", "set 1") for request in requests)
    skipped = told.err.splitlines()
    assert len(skipped) == 2 and all(line.startswith("skipped ") for line in skipped)
    assert "notes.txt: not a picture" in told.err and "gone.png: No such file" in told.err


def test_strict_fails_at_the_end_and_a_folder_without_pictures_at_once(
    spool: Spool, folder: Path, tmp_path: Path, capsys: Told
) -> None:
    assert main(["submit", str(folder), "--no-wait", "--strict"]) == exits.FAILED
    assert len(spool.waiting("inbox")) == 3
    (tmp_path / "empty").mkdir()
    assert main(["submit", str(tmp_path / "empty"), "--no-wait"]) == exits.USAGE
    assert "no picture lies in" in capsys.readouterr().err
    assert len(spool.waiting("inbox")) == 3


def test_photos_of_one_name_are_told_apart_by_their_folders(folder: Path) -> None:
    found = [(photo.path.name, str(photo.below)) for photo in photos([folder]) if photo.is_one]
    assert found == [("a.JPG", "."), ("b.png", "."), ("b.png", "chairs")]


def test_one_photo_is_named_and_several_are_not(spool: Spool, folder: Path, capsys: Told) -> None:
    one = str(folder / "b.png")
    assert main(["submit", one, "--no-wait", "--name", "the oak chair", "--priority", "high"]) == exits.OK
    (job,) = spool.waiting("inbox")
    assert spool.find(job).job.request.name == "the oak chair"
    assert main(["submit", one, one, "--no-wait", "--name", "x"]) == exits.USAGE
    assert main(["submit", one, "--no-wait", "--name", "../x"]) == exits.USAGE
    assert main(["submit", one, "--no-wait", "--tag", "a,b"]) == exits.USAGE
    capsys.readouterr()
    assert main(["submit", one, "--no-wait", "--json"]) == exits.OK
    (told,) = json.loads(capsys.readouterr().out)
    assert list(line_in(spool.root, "inbox")) == [job, told["job_id"]]
    assert main(["prioritise", "low", job[-8:]]) == exits.OK
    assert list(line_in(spool.root, "inbox")) == [told["job_id"], job]
    assert main(["status", job]) == exits.OK
    assert "priority low" in capsys.readouterr().out
    spool.cancel(job)
    assert main(["prioritise", "high", job]) == exits.WRONG_STATE


def test_ls_by_tag(spool: Spool, folder: Path, capsys: Told) -> None:
    for tag in ("oak", "ash", "oak"):
        assert main(["submit", str(folder / "b.png"), "--no-wait", "--tag", tag]) == exits.OK
    first, second, third = capsys.readouterr().out.split()
    assert main(["ls", "--tag", "oak", "--json"]) == exits.OK
    assert [row["job_id"] for row in json.loads(capsys.readouterr().out)] == [third, first]
    assert main(["ls", "--tag", "oak", "--json", "--limit", "1"]) == exits.OK
    assert [row["job_id"] for row in json.loads(capsys.readouterr().out)] == [third]
    assert main(["ls", "--tag", "elm"]) == exits.OK
    assert "no jobs with the tag 'elm'" in capsys.readouterr().out
    assert second not in capsys.readouterr().out


def test_the_queue_in_words_and_as_json(spool: Spool, folder: Path, capsys: Told) -> None:
    for options in (["--tag", "oak"], ["--priority", "high", "--name", "the chair"]):
        assert main(["submit", str(folder / "b.png"), "--no-wait", *options]) == exits.OK
    usual, urgent = capsys.readouterr().out.split()
    assert main(["pause", "--reason", "a new card"]) == exits.OK
    capsys.readouterr()
    assert main(["queue"]) == exits.OK
    told, counts, _, first, second = capsys.readouterr().out.splitlines()
    assert "a new card" in told and counts == "cutout 2, geometry 0, texture 0, running 0, held 0"
    assert (first.split()[0], second.split()[0]) == (urgent[-8:], usual[-8:])
    assert "number 1" in first and "high" in first and first.endswith("the chair")
    assert main(["queue", "--json", "--first", "1"]) == exits.OK
    seen = json.loads(capsys.readouterr().out)
    assert [row["job_id"] for row in seen["waiting"]] == [urgent] and seen["all_done"] is None


def test_pause_and_resume_say_what_they_did(spool: Spool, capsys: Told) -> None:
    assert main(["pause", "--reason", "a new card"]) == exits.OK
    assert "the queue is paused since" in capsys.readouterr().out
    held = pause.paused(spool.root)
    assert held and held.reason == "a new card" and held.by.startswith("cli")
    assert main(["pause", "--reason", "another"]) == exits.OK
    assert "already" in capsys.readouterr().out and pause.paused(spool.root) == held
    assert main(["status"]) == exits.NO_SERVICE
    assert "a new card" in capsys.readouterr().out
    assert main(["status", "--json"]) == exits.NO_SERVICE
    assert json.loads(capsys.readouterr().out)["paused"]["reason"] == "a new card"
    assert main(["resume"]) == exits.OK
    assert main(["resume"]) == exits.OK
    assert capsys.readouterr().out.splitlines() == ["the queue goes on", "the queue was not paused"]


@pytest.mark.service
def test_a_paused_service_takes_photos_in_and_goes_on_when_told(
    tmp_path: Path, u2net_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Woken by the file event: the scan comes only every ten minutes here. The pause outlives a restart."""
    with running(tmp_path / "spool", u2net_home, PROTOSCALE_SCAN_EVERY="600") as service:
        until(lambda: answers(service.port), 60)
        url = f"http://127.0.0.1:{service.port}"
        held = httpx.post(f"{url}/api/queue/pause", json={"reason": "a new card"}, timeout=60).json()[
            "paused"
        ]
        form = {"files": {"file": ("a.png", picture())}, "data": {"start": "true", "quality": "draft"}}
        job = httpx.post(f"{url}/api/upload", timeout=60, **form).json()["job_id"]  # type: ignore[arg-type]
        service.drop(picture())
        until(lambda: len(service.spool.waiting("inbox")) == 2, 60)
        assert service.stop() == 0
        service.start()
        until(lambda: answers(service.port), 60)
        assert httpx.get(f"{url}/health", timeout=60).json()["paused"] == held
        assert len(service.spool.waiting("inbox")) == 2
        assert service.spool.find(job).status.attempts == {}
        monkeypatch.setenv("PROTOSCALE_SPOOL", str(service.spool.root))
        assert main(["resume"]) == exits.OK
        assert service.finished(job, 120)["status"] == "completed"
        until(lambda: len(service.spool.waiting("done")) == 2, 120)
        assert os.listdir(service.spool.root / "queue") == [".resumed"]
