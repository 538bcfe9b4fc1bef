"""What the supervisor tells of itself, and when: `supervisor.json` for readers, a real socket for systemd."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon import bulletin
from daemon.bulletin import Bulletin
from daemon.child import Crew
from daemon.config import Config
from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
from daemon.service_record import ServiceRecord
from daemon.status_board import board
from spool import lock
from spool.board import BOARD, OUT, Board
from spool.notify import Systemd
from spool.spool import Spool
from tests.clock import Clock
from tests.crash.shim import Call, Shim
from tests.ear import Ear
from tests.support import submit

READY = f"READY=1\nMAINPID={os.getpid()}"
WAITING = "geometry-cpu restarting, texture-cpu restarting; engine sphere"


class Told:
    """A bulletin of two crews that never run, and those who hear it."""

    def __init__(self, spool: Spool, settings: Config, ear: Ear) -> None:
        self.spool = spool
        self.file = spool.root / BOARD
        posts = (Post("geometry-cpu", "cpu", GEOMETRY_STAGES), Post("texture-cpu", "cpu", TEXTURE_STAGES))
        self.crews = [Crew(settings, post, 1, ServiceRecord(post.device)) for post in posts]
        self._bulletin = Bulletin(settings, "sphere", Systemd(ear.environ))

    def tell(self, *notes: str) -> None:
        self._bulletin.tell(self.spool, self.crews, False, notes)

    def postpone(self) -> None:
        self._bulletin.postpone()

    def withdraw(self) -> None:
        self._bulletin.withdraw(self.spool)

    def board(self) -> Board | None:
        """What a reader believes while the supervisor runs."""
        held = lock.take(self.spool.root)
        try:
            return Board.read(self.spool.root)
        finally:
            os.close(held)

    def version(self) -> tuple[int, int]:
        """Another one each time that the file is replaced."""
        now = self.file.stat()
        return now.st_ino, now.st_mtime_ns


class FullForTheBoard:
    """A watcher: there is no space for a new `supervisor.json`."""

    def before(self, call: Call) -> None:
        if call.name == "creat" and Path(call.path).name.startswith(f".{BOARD}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), call.path)

    def after(self, call: Call) -> None:
        pass


@pytest.fixture
def told(spool: Spool, settings: Config, ear: Ear) -> Told:
    return Told(spool, settings, ear)


def test_readers_learn_who_there_is_and_what_people_should_know(told: Told) -> None:
    told.tell("a machine of the cluster is away")
    board = told.board()
    assert board is not None
    assert (board.pid, board.engine) == (os.getpid(), "sphere")
    assert [slot.name for slot in board.workers] == ["geometry-cpu", "texture-cpu"]
    # Beside what the board itself has to say: here, that there is no model.
    assert "models pull" in board.notes[0] and board.notes[-1] == "a machine of the cluster is away"


def test_an_idle_service_writes_nothing(told: Told) -> None:
    told.tell("a note")
    before = told.version()
    for _ in range(3):
        told.tell("a note")
    assert told.version() == before


def test_what_changed_is_written_and_the_start_stays_the_same(told: Told) -> None:
    told.tell()
    first, before = told.board(), told.version()
    told.crews[0].record.due = time.monotonic() + 100
    told.tell()
    second = told.board()
    assert first is not None and second is not None
    assert told.version() != before
    assert second.workers[0].state == OUT and "out of service" in second.notes[-1]
    told.tell("a note")
    assert told.board() == replace(second, notes=(*second.notes, "a note"))
    told.crews[0].record.due = 0.0
    told.tell()
    assert told.board() == first


def test_after_a_drop_it_waits_until_a_worker_has_the_job_and_no_longer(
    told: Told, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(bulletin, "time", clock)
    told.tell()
    ear.heard()
    before = told.version()
    told.postpone()
    clock.now += bulletin.GATHERED - 0.01
    told.postpone()  # the next drop, on the heels of the first
    told.tell("a note")
    assert (told.version(), ear.heard()) == (before, [])
    clock.now += 0.02
    told.tell("a note")
    assert told.version() != before
    told.tell()  # postponed once only
    board = told.board()
    assert board is not None and "a note" not in board.notes


def test_a_board_that_finds_no_space_is_written_when_there_is_some(told: Told, ear: Ear) -> None:
    with Shim(told.spool.root, FullForTheBoard()).installed():
        told.tell()
        assert not told.file.exists()
    assert ear.heard() == [f"STATUS=0 waiting; {WAITING}"]  # systemd is told all the same
    told.tell()
    assert told.board() is not None


def test_at_the_end_it_is_taken_away(told: Told) -> None:
    told.tell()
    told.withdraw()
    assert not told.file.exists()
    told.withdraw()  # nor does it matter whether there was one


def test_a_board_that_cannot_be_taken_away_holds_up_nobody(told: Told) -> None:
    told.file.mkdir()
    told.withdraw()
    assert told.file.is_dir()


def test_the_service_is_ready_once_when_its_last_worker_is(told: Told, ear: Ear) -> None:
    told.tell()
    told.crews[0].pulse.ready()
    told.tell()
    assert READY not in ear.heard()
    told.crews[1].pulse.ready()
    told.tell()
    assert ear.heard() == [READY]
    told.crews[1].pulse.reset()  # it died, and another starts
    told.tell()
    told.crews[1].pulse.ready()
    told.tell()
    assert ear.heard() == []


def test_a_service_is_not_ready_before_its_line_says_so(
    told: Told, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waited for READY=1 looks at the line next: no worker in it may still be starting."""
    monkeypatch.setattr(Crew, "pid", os.getpid())

    def drawn_up_an_instant_too_early(*told_of: Any) -> Board:
        current = board(*told_of)
        for crew in told.crews:
            crew.pulse.ready()
        return current

    monkeypatch.setattr(bulletin, "board", drawn_up_an_instant_too_early)
    told.tell()
    assert ear.heard() == [f"STATUS=0 waiting; {WAITING.replace('restarting', 'starting')}"]
    told.tell()
    assert ear.heard() == [f"STATUS=0 waiting; {WAITING.replace('restarting', 'idle')}", READY]


def test_a_service_whose_ready_was_not_heard_says_it_again(told: Told, ear: Ear) -> None:
    """systemd would wait for it until the start's time is over, and end a service that works."""
    for crew in told.crews:
        crew.pulse.ready()
    ear.close()
    told.tell()
    ear.open()
    told.tell()
    assert READY in ear.heard()
    told.tell()
    assert READY not in ear.heard()


def test_a_service_whose_one_device_is_out_is_ready_with_the_other(told: Told, ear: Ear) -> None:
    told.crews[0].pulse.ready()
    told.crews[1].record.due = time.monotonic() + 100
    told.tell()
    assert ear.heard()[-1] == READY


def test_a_service_that_only_feeds_a_cluster_is_ready_at_once(told: Told, ear: Ear) -> None:
    told.crews.clear()
    told.tell()
    assert ear.heard()[-1] == READY


def test_systemd_has_a_line_for_people_and_hears_it_when_it_changes(told: Told, ear: Ear) -> None:
    told.tell()
    told.tell()
    assert ear.heard() == [f"STATUS=0 waiting; {WAITING}"]
    before = told.version()
    submit(told.spool)
    told.tell()
    told.tell()
    assert ear.heard() == [f"STATUS=1 waiting; {WAITING}"]
    assert told.version() == before  # readers count the folders themselves
