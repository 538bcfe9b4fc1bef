"""Whoever of the service dies or freezes is replaced, and the jobs end well."""

from __future__ import annotations

import signal

import pytest

from spool.view import look
from tests.support import until
from tests.systemd.machine import UNDER_SYSTEMD, Machine

pytestmark = UNDER_SYSTEMD


def test_a_frozen_supervisor_is_replaced_by_the_watchdog(machine: Machine) -> None:
    frozen = machine.pid()
    machine.kill(frozen, signal.SIGSTOP)
    until(lambda: machine.pid() not in (0, frozen) and machine.works(), 120)
    assert machine.says("Watchdog timeout", "-u", "protoscale")
    machine.finished(machine.upload())


@pytest.mark.parametrize("post", ["geometry-cpu", "texture-cpu"])
def test_a_killed_worker_is_replaced_and_the_journal_warns(machine: Machine, post: str) -> None:
    supervisor = machine.pid()
    jobs = [machine.upload("ultra")]

    def caught_with_a_job() -> tuple[int, str] | None:
        worker = machine.workers()[post]
        assert worker
        machine.kill(worker, signal.SIGSTOP)  # so that the job cannot move on between the look and the kill
        if held := set(jobs) & set(machine.spool.waiting(f"running/{post}")):
            return worker, held.pop()
        machine.kill(worker, signal.SIGCONT)
        if look(machine.spool, jobs[-1])["status"] == "completed":
            jobs.append(machine.upload("ultra"))  # that one was through before it was met here
        return None

    caught = until(caught_with_a_job, 120)
    assert caught
    killed, struck = caught
    machine.kill(killed, signal.SIGKILL)
    for job_id in jobs:
        machine.finished(job_id)
    until(lambda: machine.workers()[post] not in (None, killed), 60)
    assert machine.pid() == supervisor
    warning = ("-u", "protoscale", "-p", "warning")
    assert machine.says(f"job {struck}: worker {post}: was killed by SIGKILL", *warning)
    assert "took" not in machine.journal(*warning)


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
