"""Telling systemd at its socket, and going on where it does not hear."""

from __future__ import annotations

import logging
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from spool.notify import Systemd
from tests.ear import Ear


@contextmanager
def no_descriptor() -> Iterator[None]:
    """The process has as many open as it may, as a server under load."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_systemd_hears_what_it_is_told(ear: Ear) -> None:
    systemd = Systemd({**ear.environ, "WATCHDOG_USEC": "3000000"})
    assert systemd.watchdog_seconds == 3
    systemd.tell("READY=1")
    systemd.status("2 waiting")
    systemd.status("2 waiting")  # said once
    systemd.alive()
    assert ear.heard() == ["READY=1", "STATUS=2 waiting", "WATCHDOG=1"]


def test_without_systemd_nothing_is_said() -> None:
    systemd = Systemd({})
    systemd.tell("READY=1")
    systemd.alive()
    assert systemd.watchdog_seconds == 0
    assert Systemd({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}).watchdog_seconds == 0


def test_a_systemd_that_is_away_is_no_error_and_hears_the_next(
    ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    systemd = Systemd(ear.environ)
    ear.close()
    with caplog.at_level(logging.WARNING):
        assert not systemd.tell("READY=1")
        systemd.stopping(40)
        assert caplog.messages == [
            "systemd did not hear READY=1: [Errno 2] No such file or directory"
        ]  # once
        ear.open()
        assert systemd.tell("READY=1")
        assert ear.heard() == ["READY=1"]
        ear.close()
        systemd.stopping(40)
        assert len(caplog.messages) == 2  # it was back in between: that is news


def test_a_lack_of_descriptors_is_no_error(ear: Ear) -> None:
    systemd = Systemd({**ear.environ, "WATCHDOG_USEC": "3000000"})
    with no_descriptor():
        systemd.alive()
    assert ear.heard() == []
    systemd.alive()
    assert ear.heard() == ["WATCHDOG=1"]


def test_a_status_that_was_not_heard_is_said_again(ear: Ear) -> None:
    systemd = Systemd(ear.environ)
    ear.close()
    systemd.status("2 waiting")
    ear.open()
    systemd.status("2 waiting")
    systemd.status("2 waiting")
    assert ear.heard() == ["STATUS=2 waiting"]


def test_where_there_is_no_systemd_everything_counts_as_heard() -> None:
    assert Systemd({}).tell("READY=1")  # or it would be said again and again
