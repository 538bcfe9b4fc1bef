"""Webhooks with the units as they are shipped, turned on as docs/http.md says: the HTTP server has no network."""

from __future__ import annotations

import json

from spool import callbacks
from tests.http.receiver import receiving
from tests.support import until
from tests.systemd.machine import UNDER_SYSTEMD, Machine

pytestmark = UNDER_SYSTEMD
UNIT = "protoscale-webhooks.service"
SETTINGS = "etc/protoscale/protoscale.env"
ON = """
PROTOSCALE_CALLBACK_HOSTS=127.0.0.1
PROTOSCALE_CALLBACK_SECRET=a secret of sixteen
PROTOSCALE_CALLBACK_PRIVATE=true
"""


def test_the_unit_says_what_is_missing_where_webhooks_are_off(machine: Machine) -> None:
    assert machine.run("systemctl", "start", UNIT, check=False).returncode != 0
    assert machine.show(UNIT, "ExecMainStatus") == "78"
    assert "PROTOSCALE_CALLBACK_HOSTS" in machine.journal("-u", UNIT, "-p", "err")
    machine.run("systemctl", "reset-failed", UNIT)


def test_a_server_that_nobody_delivers_for_says_so(machine: Machine) -> None:
    with (machine.root / SETTINGS).open("a") as settings:
        settings.write(ON)
    machine.run("systemctl", "restart", "protoscale.target")
    until(machine.works, 120)
    missing = (
        "webhooks are on, and no process delivers them: run `sudo systemctl enable --now protoscale-webhooks`"
    )
    until(lambda: missing in machine.journal("-u", "protoscale-httpd", "-p", "warning"), 60)
    assert any(note.startswith(missing) for note in machine.call("/health")["notes"])
    assert missing.partition(": ")[2].removeprefix("run ") in machine.run("protoscale", "doctor").stdout


def test_a_webhook_is_delivered(machine: Machine) -> None:
    with receiving() as receiver:
        # One waits already when the unit is enabled: it is not lost.
        early = machine.upload(callback_url=receiver.url)
        machine.finished(early)
        assert [promise.job_id for promise in callbacks.owed(machine.spool.root)] == [early]
        machine.run("systemctl", "enable", "--now", UNIT)
        until(lambda: len(receiver.got) == 1, 60)
        late = machine.upload(callback_url=receiver.url)
        until(lambda: len(receiver.got) == 2, 120)
        told = [json.loads(body)["data"]["job_id"] for _, body in receiver.got]
        assert told == [early, late]
        until(lambda: not callbacks.owed(machine.spool.root))
    assert not any("webhooks" in note for note in machine.call("/health")["notes"])


def test_it_comes_and_goes_with_the_target(machine: Machine) -> None:
    before = machine.pid(UNIT)
    machine.run("systemctl", "restart", "protoscale.target")
    until(lambda: machine.pid(UNIT) not in (0, before) and machine.works(), 120)
    assert machine.show(UNIT, "Result") == "success"
    assert "no process delivers" not in machine.journal(
        "-u", "protoscale-httpd", f"_PID={machine.pid('protoscale-httpd.service')}"
    )
