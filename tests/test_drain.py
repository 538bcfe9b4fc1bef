"""A service's way to its end: when it begins, how long it may take, and what it tells."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config import Config
from daemon.drain import Drain
from daemon.stall import KILL_AFTER
from daemon.supervisor import Supervisor
from spool.notify import Systemd
from tests import idlers
from tests.clock import DAY, Clock
from tests.ear import Ear
from tests.support import until

LIMIT = 30.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("daemon.drain.time", clock)
    return clock


@pytest.fixture
def supervisor(settings: Config, ear: Ear) -> Iterator[Supervisor]:
    supervisor = Supervisor(settings, Systemd(ear.environ), with_http=False)
    yield supervisor
    supervisor.wake.close()


def test_a_service_that_nobody_stops_goes_on(clock: Clock) -> None:
    drain = Drain(LIMIT)
    assert not drain.begin()
    clock.now += 365 * DAY
    assert not drain.is_on and not drain.is_overdue


def test_it_begins_at_the_turn_after_the_wish_and_once(clock: Clock) -> None:
    drain = Drain(LIMIT)
    drain.ask()
    assert not drain.is_on  # the loop is in the middle of a turn, and acts at the next
    assert drain.begin() and drain.is_on
    drain.ask()
    assert not drain.begin() and drain.is_on


def test_a_signal_handler_may_ask(clock: Clock) -> None:
    drain = Drain(LIMIT)
    before = signal.signal(signal.SIGUSR1, lambda *_: drain.ask())
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert drain.begin()


@pytest.mark.parametrize("limit", [0.0, LIMIT])
def test_stages_have_their_time_from_the_begin_and_a_little_grace(clock: Clock, limit: float) -> None:
    drain = Drain(limit)
    drain.ask()
    clock.now += DAY  # a turn that took long takes nothing from the stages
    drain.begin()
    clock.now += limit + KILL_AFTER - 0.5
    assert not drain.is_overdue
    clock.now += 1.0
    assert drain.is_overdue


def test_who_asks_again_gives_no_more_time(clock: Clock) -> None:
    drain = Drain(LIMIT)
    drain.ask()
    drain.begin()
    clock.now += LIMIT
    drain.ask()
    drain.begin()
    clock.now += KILL_AFTER + 0.5
    assert drain.is_overdue


def test_the_time_it_asks_for_is_enough_to_abort_and_then_to_kill(clock: Clock) -> None:
    drain = Drain(LIMIT)
    drain.ask()
    drain.begin()
    end = clock.now + drain.longest
    clock.now = end - KILL_AFTER - 0.5
    assert not drain.is_overdue
    clock.now = end - KILL_AFTER + 0.5
    assert drain.is_overdue


def test_systemd_is_told_once_and_how_long_it_may_take(supervisor: Supervisor, ear: Ear) -> None:
    supervisor.begin_drain()
    assert ear.heard() == []
    for _ in range(2):  # an impatient person, say, and then the machine that goes down
        supervisor.ask_drain()
        supervisor.begin_drain()
    seconds = supervisor.config.drain_limit + 2 * KILL_AFTER
    assert ear.heard() == [f"STOPPING=1\nEXTEND_TIMEOUT_USEC={seconds * 1e6:.0f}"]


def test_no_post_is_filled_any_more_and_with_nobody_running_it_is_over(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    for crew in supervisor.crews:
        monkeypatch.setattr(crew, "start", lambda name=crew.post.name: started.append(name))
    supervisor.start_due()
    assert started == [crew.post.name for crew in supervisor.crews]
    assert not supervisor.finished  # nobody runs, and the service goes on
    supervisor.ask_drain()
    supervisor.begin_drain()
    supervisor.start_due()
    assert len(started) == len(supervisor.crews)
    assert supervisor.finished


def test_a_service_that_systemd_does_not_hear_ends_its_workers_all_the_same(
    supervisor: Supervisor, ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose NOTIFY_SOCKET is a leftover of the shell that it was started in."""
    idlers.take_their_place(monkeypatch, tmp_path)
    supervisor.recover()
    supervisor.start_due()
    ear.close()
    supervisor.ask_drain()

    def over() -> bool:
        supervisor.step()
        return supervisor.finished

    try:
        until(over)
    finally:
        supervisor.children.signal(signal.SIGKILL)
