"""`protoscale submit` waits as long as somebody works, and says why nothing moves."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from daemon.cli import exits, waiting
from daemon.cli.__main__ import main
from daemon.cli.progress import Line
from spool import lock, pause
from spool.spool import Spool
from tests.support import picture, submit, until

Told = pytest.CaptureFixture[str]


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setenv("PROTOSCALE_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("PROTOSCALE_RESERVE", "1M")
    monkeypatch.setattr(waiting, "ASK_EVERY", 0.02)
    return Spool.open(tmp_path / "spool")


@pytest.fixture
def threads(spool: Spool) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as made:
        yield made
        for job_id in spool.waiting("inbox"):
            spool.cancel(job_id)  # nobody waits for ever, whatever the test found


@pytest.fixture
def said() -> io.StringIO:
    """What a command writes to stderr, to be read while it writes more."""
    return io.StringIO()


def submitting(
    threads: ThreadPoolExecutor, spool: Spool, tmp_path: Path, *options: str, jobs: int = 1
) -> Future[int]:
    """A `protoscale submit` that waits for its jobs."""
    photos = [tmp_path / f"{number}.png" for number in range(jobs)]
    for photo in photos:
        photo.write_bytes(picture())
    running = threads.submit(main, ["submit", *map(str, photos), *options])
    until(lambda: len(spool.waiting("inbox")) == jobs, 60)
    return running


def test_a_service_that_stopped_is_told_and_not_waited_for_for_ever(
    spool: Spool,
    threads: ThreadPoolExecutor,
    tmp_path: Path,
    said: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stderr", said)
    monkeypatch.setattr(waiting, "GRACE", 0.1)
    held = lock.take(spool.root)
    running = submitting(threads, spool, tmp_path, jobs=2)
    until(lambda: "0 % cutout" in said.getvalue(), 60)
    os.close(held)
    assert running.result(60) == exits.NO_SERVICE
    *_, stopped, end = [line for line in said.getvalue().splitlines() if "%" not in line]
    assert "the service stopped" in stopped and "start `protoscale run`" in end
    assert all(job[-8:] in end for job in spool.waiting("inbox"))


def test_what_was_finished_before_the_service_stopped_is_told(
    spool: Spool, threads: ThreadPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    monkeypatch.setattr(waiting, "GRACE", 0.1)
    held = lock.take(spool.root)
    running = submitting(threads, spool, tmp_path, "--json", jobs=2)
    waits, done = spool.waiting("inbox")
    (spool.root / "inbox" / done).rename(spool.root / "done" / done)
    os.close(held)
    assert running.result(60) == exits.NO_SERVICE
    told = {row["job_id"]: row["status"] for row in json.loads(capsys.readouterr().out)}
    assert told == {waits: "pending", done: "completed"}


def test_a_service_that_comes_back_is_waited_for(
    spool: Spool,
    threads: ThreadPoolExecutor,
    tmp_path: Path,
    said: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stderr", said)
    held = lock.take(spool.root)
    running = submitting(threads, spool, tmp_path)
    os.close(held)
    until(lambda: "the service stopped" in said.getvalue() or running.done(), 60)
    held = lock.take(spool.root)
    until(lambda: "the service is back" in said.getvalue() or running.done(), 60)
    (job_id,) = spool.waiting("inbox")
    spool.cancel(job_id)
    assert running.result(60) == exits.FAILED
    assert "cancelled" in said.getvalue()
    os.close(held)


def test_a_pause_is_told_to_who_waits(
    spool: Spool,
    threads: ThreadPoolExecutor,
    tmp_path: Path,
    said: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stderr", said)
    held = lock.take(spool.root)
    pause.pause(spool.root, "cli:ada", "a new card")
    running = submitting(threads, spool, tmp_path)
    until(lambda: "`protoscale resume` goes on" in said.getvalue() or running.done(), 60)
    assert re.search(r"the queue is paused since .* by cli:ada: a new card", said.getvalue())
    pause.resume(spool.root)
    until(lambda: "the queue goes on\n" in said.getvalue() or running.done(), 60)
    (job_id,) = spool.waiting("inbox")
    spool.cancel(job_id)
    assert running.result(60) == exits.FAILED
    os.close(held)


def test_without_a_service_json_is_told_all_the_same(spool: Spool, tmp_path: Path, capsys: Told) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    assert main(["submit", str(tmp_path / "a.png"), "--json"]) == exits.NO_SERVICE
    told = capsys.readouterr()
    assert [row["job_id"] for row in json.loads(told.out)] == spool.waiting("inbox")
    assert "start `protoscale run`" in told.err


class Terminal(io.StringIO):
    """A stream that people watch."""

    def isatty(self) -> bool:
        return True


def test_the_line_is_left_before_anything_else_is_written(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    line = Line(screen)
    line.show(10, "geometry", "cup.png: step 3")
    line.note("the queue is paused")
    line.end()
    assert screen.getvalue().endswith(" \n") and screen.getvalue().count("\n") == 1

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("time.sleep", interrupt)
    held = lock.take(spool.root)
    with pytest.raises(KeyboardInterrupt):
        waiting.wait(spool, submit(spool).id, waiting.Vigil(spool.root))
    assert screen.getvalue().endswith("\n")
    os.close(held)
