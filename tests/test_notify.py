"""Telling systemd at its socket, and going on where it does not hear."""

from __future__ import annotations

from spool.notify import Systemd
from tests.ear import Ear


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
