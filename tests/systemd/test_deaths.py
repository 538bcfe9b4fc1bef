"""Whoever of the service dies or freezes is replaced, and the jobs end well."""

from __future__ import annotations

import signal

import pytest

from tests.support import until
from tests.systemd.machine import UNDER_SYSTEMD, Machine

pytestmark = UNDER_SYSTEMD


def test_a_frozen_supervisor_is_replaced_by_the_watchdog(machine: Machine) -> None:
    frozen = machine.pid()
    machine.kill(frozen, signal.SIGSTOP)
    until(lambda: machine.pid() not in (0, frozen) and machine.works(), 120)
    assert "Watchdog timeout" in machine.journal("-u", "protoscale")
    machine.finished(machine.upload())


@pytest.mark.parametrize("post", ["geometry-cpu", "texture-cpu"])
def test_a_killed_worker_is_replaced_and_the_journal_warns(machine: Machine, post: str) -> None:
    job_id = machine.upload("ultra")
    supervisor = machine.pid()

    def caught_with_the_job() -> int:
        worker = machine.workers()[post]
        machine.kill(worker, signal.SIGSTOP)  # so that the job cannot move on between the look and the kill
        if job_id in machine.spool.waiting(f"running/{post}"):
            return worker
        machine.kill(worker, signal.SIGCONT)
        return 0

    killed = until(caught_with_the_job, 60)
    machine.kill(killed, signal.SIGKILL)
    machine.finished(job_id)
    assert until(lambda: machine.workers()[post]) != killed
    assert machine.pid() == supervisor
    warnings = machine.journal("-u", "protoscale", "-p", "warning")
    assert f"job {job_id}: worker {post}: was killed by SIGKILL" in warnings
    assert "took" not in warnings


def test_a_killed_supervisor_comes_back_and_its_job_ends_once(machine: Machine) -> None:
    job_id = machine.upload("ultra")
    until(lambda: job_id in machine.spool.waiting("running/geometry-cpu"), 60)
    killed = machine.pid()
    machine.kill(killed, signal.SIGKILL)
    until(lambda: machine.pid() not in (0, killed), 60)
    machine.finished(job_id)
    assert machine.spool.waiting("done").count(job_id) == 1
    until(machine.works, 120)


def test_a_killed_server_comes_back_by_itself(machine: Machine) -> None:
    killed = machine.pid("protoscale-httpd.service")
    machine.kill(killed, signal.SIGKILL)
    # Asked at once: the connection waits in the socket's queue for the next server.
    assert machine.call("/health")["status"] == "ok"
    assert machine.pid("protoscale-httpd.service") not in (0, killed)
