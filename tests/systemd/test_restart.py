"""Restart, reload, stop and start, while there is work to lose."""

from __future__ import annotations

import threading
from http.client import HTTPConnection

from tests.support import until
from tests.systemd.machine import UNDER_SYSTEMD, Machine

pytestmark = UNDER_SYSTEMD


def test_restart_with_a_job_running_loses_nothing(machine: Machine) -> None:
    job_id = machine.upload("ultra")
    until(lambda: job_id in machine.spool.waiting("running/geometry-cpu"), 60)
    before = machine.pid()
    machine.run("systemctl", "restart", "protoscale")
    assert machine.pid() != before
    assert sum(machine.finished(job_id)["attempts"].values()) == 3  # a restart is not the job's fault
    assert "killed" not in machine.show("protoscale.service", "Result")


def test_reload_replaces_the_workers_and_not_the_supervisor(machine: Machine) -> None:
    until(machine.works, 60)
    supervisor, workers = machine.pid(), machine.workers()
    machine.run("systemctl", "reload", "protoscale")
    until(lambda: not set(machine.workers().values()) & {*workers.values(), None}, 60)
    assert machine.pid() == supervisor
    machine.finished(machine.upload())


def test_a_server_restarted_under_load_drops_no_connection(machine: Machine) -> None:
    answered, failures, over = [0, 0], list[str](), threading.Event()

    def ask(keep_alive: bool) -> None:
        connection = HTTPConnection("127.0.0.1", machine.port, timeout=60)
        while not over.is_set():
            try:
                connection.request("GET", "/health")
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    failures.append(f"{answer.status} {answer.reason}")
                answered[keep_alive] += 1
            except OSError as error:
                failures.append(repr(error))
            # http.client closes the connection itself where the server said so.
            if not keep_alive:
                connection.close()
        connection.close()

    clients = [threading.Thread(target=ask, args=(at % 2 == 0,)) for at in range(6)]
    servers = {machine.pid("protoscale-httpd.service")}
    for client in clients:
        client.start()
    try:
        for _ in range(5):
            many = sum(answered) + 20
            until(lambda many=many: sum(answered) > many, 60)  # type: ignore[misc]
            machine.run("systemctl", "restart", "protoscale-httpd")
            servers.add(machine.pid("protoscale-httpd.service"))
    finally:
        over.set()
        for client in clients:
            client.join()
    print(
        f"{answered[0]} new connections and {answered[1]} requests on kept ones over {len(servers) - 1} restarts"
    )
    assert failures == []
    assert len(servers) == 6 and min(answered) > 20


def test_stop_drains_and_start_goes_on(machine: Machine) -> None:
    job_id = machine.upload("ultra")
    until(lambda: job_id in machine.spool.waiting("running/geometry-cpu"), 60)
    # `stop protoscale.target` alone returns while the services drain; naming the service waits for it.
    machine.run("systemctl", "stop", "protoscale.target", "protoscale.service", "protoscale-httpd.service")
    for unit in ("protoscale.service", "protoscale-httpd.service"):
        assert (machine.show(unit, "ActiveState"), machine.show(unit, "Result")) == ("inactive", "success")
    assert not (machine.spool.root / "supervisor.json").exists()
    assert machine.run("pgrep", "-u", "protoscale", check=False).stdout == ""
    assert not any(machine.spool.waiting(f"running/{worker}") for worker in machine.spool.workers())
    machine.run("systemctl", "start", "protoscale.target")
    until(machine.works, 120)
    machine.finished(job_id)


def test_a_wrong_setting_stops_the_start_and_says_why(machine: Machine) -> None:
    settings = machine.root / "etc/protoscale/protoscale.env"
    good = settings.read_text()
    settings.write_text(good + "ENGINE=steam\n")
    assert machine.run("systemctl", "restart", "protoscale", check=False).returncode != 0
    assert machine.show("protoscale.service", "ExecMainStatus") == "78"
    assert machine.show("protoscale.service", "NRestarts") == "0"  # RestartPreventExitStatus
    assert machine.says("ENGINE='steam' is not accepted", "-u", "protoscale", "-p", "err")
    settings.write_text(good)
    machine.run("systemctl", "restart", "protoscale")
    until(machine.works, 120)
