"""When the spool is swept and the ballast made whole, and that trouble with the one leaves the other."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from daemon.almanac import SETTLING
from daemon.config import Config
from daemon.upkeep import SWEEP_EVERY, Upkeep
from spool import ballast
from spool.spool import Spool
from tests.clock import DAY, Clock
from tests.crash.shim import Call, Shim
from tests.support import config, submit


class AtTheBallast:
    """A watcher: counts how often the ballast is opened to be filled; with `full`, that meets a full disk."""

    def __init__(self, *, full: bool = False) -> None:
        self.opened = 0
        self._full = full

    def before(self, call: Call) -> None:
        if call.name == "creat" and Path(call.path).name == ballast.BALLAST:
            self.opened += 1
            if self._full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), call.path)

    def after(self, call: Call) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("daemon.upkeep.time", clock)
    monkeypatch.setattr("daemon.almanac.time", clock)
    return clock


@pytest.fixture
def upkeep(settings: Config, clock: Clock) -> Upkeep:
    return Upkeep(settings)


def leftover(spool: Spool) -> Path:
    """What a cut-off deletion leaves, and any sweep takes away."""
    path = spool.root / "tmp" / "gone-x"
    path.mkdir()
    return path


def test_a_service_that_starts_sweeps_at_once(spool: Spool, upkeep: Upkeep) -> None:
    left = leftover(spool)
    upkeep.look(spool)
    assert not left.exists()


def test_then_it_sweeps_when_the_time_is_over_and_not_at_every_turn(
    spool: Spool, upkeep: Upkeep, clock: Clock
) -> None:
    for _ in range(3):
        upkeep.look(spool)
        left = leftover(spool)
        upkeep.look(spool)
        clock.now += SWEEP_EVERY - 1
        upkeep.look(spool)
        assert left.exists()
        clock.now += 1
        upkeep.look(spool)
        assert not left.exists()


def test_jobs_are_judged_by_age_once_the_service_has_run_for_a_while(
    spool: Spool, upkeep: Upkeep, clock: Clock
) -> None:
    """Not anew at each sweep: a machine that boots with a wrong clock gets it set."""
    job = submit(spool, "failed")
    then = clock.time() - 100 * DAY
    os.utime(job.path, (then, then))
    upkeep.look(spool)
    clock.now += SETTLING - 1
    upkeep.look(spool)
    assert job.path.exists()
    clock.now += SWEEP_EVERY
    upkeep.look(spool)
    assert not job.path.exists()


def test_a_sweep_that_failed_is_told_and_comes_again_at_its_time(
    spool: Spool, upkeep: Upkeep, clock: Clock
) -> None:
    """At each turn it would say the same, and walk a sick disk once a second."""
    left = leftover(spool)
    (spool.root / "tmp").rename(spool.root / "away")
    with pytest.raises(FileNotFoundError):
        upkeep.look(spool)
    upkeep.look(spool)
    (spool.root / "away").rename(spool.root / "tmp")
    upkeep.look(spool)
    assert left.exists()
    clock.now += SWEEP_EVERY
    upkeep.look(spool)
    assert not left.exists()


def test_a_sweep_that_failed_costs_the_ballast_one_turn_only(spool: Spool, upkeep: Upkeep) -> None:
    (spool.root / "tmp").rename(spool.root / "away")
    with pytest.raises(FileNotFoundError):
        upkeep.look(spool)
    upkeep.look(spool)
    assert ballast.left(spool.root) == ballast.SIZE


def test_what_was_spent_of_the_ballast_is_there_again_at_the_next_turn(
    spool: Spool, upkeep: Upkeep, clock: Clock
) -> None:
    upkeep.look(spool)
    assert ballast.left(spool.root) == ballast.SIZE
    os.truncate(spool.root / ballast.BALLAST, ballast.SIZE - ballast.SLICE)
    clock.now += 1  # no sweep is due
    upkeep.look(spool)
    assert ballast.left(spool.root) == ballast.SIZE


def test_a_whole_ballast_is_left_alone(spool: Spool, upkeep: Upkeep) -> None:
    watcher = AtTheBallast()
    with Shim(spool.root, watcher).installed():
        for _ in range(3):
            upkeep.look(spool)
    assert watcher.opened == 1


def test_where_there_is_no_room_above_the_reserve_there_is_no_ballast(spool: Spool, clock: Clock) -> None:
    """It would take what uploads and jobs were refused for."""
    left = leftover(spool)
    Upkeep(config(spool.root, PROTOSCALE_RESERVE="9000T")).look(spool)
    assert ballast.left(spool.root) == 0
    assert not left.exists()  # but what a sweep can free, it frees


def test_a_disk_that_fills_up_under_the_ballast_is_no_error(spool: Spool, upkeep: Upkeep) -> None:
    left = leftover(spool)
    full = AtTheBallast(full=True)
    with Shim(spool.root, full).installed():
        upkeep.look(spool)
    assert full.opened == 1
    assert ballast.left(spool.root) == 0
    assert not left.exists()
    upkeep.look(spool)
    assert ballast.left(spool.root) == ballast.SIZE
