"""The service under a real systemd, managed with the real systemctl.

One box serves all tests of this file, in their order; each leaves the service running. ProtoScale itself is installed
into it with pip, from a wheel, and its dependencies are borrowed from the environment that runs the tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from spool.spool import Spool
from spool.view import look
from tests.service import ROOT, free_port
from tests.support import picture, until
from tests.systemd.box import Box, why_not

WHY_NOT = why_not()
# CI asks for a failure where the tests could not run: a skip would be overlooked.
REQUIRED = os.environ.get("PROTOSCALE_TEST_SYSTEMD") == "required"
pytestmark = [pytest.mark.service, pytest.mark.skipif(bool(WHY_NOT) and not REQUIRED, reason=WHY_NOT or "")]

COMMAND = "/opt/protoscale/bin/protoscale"
INSIDE = {name: Path(f"/opt/{name}") for name in ("python", "dependencies", "models", "wheel")}
"""Where the box shows what it borrows: the service's user could not get at a checkout in somebody's home."""
SETTINGS = f"""
REMBG_MODEL=u2netp
PROTOSCALE_QUALITY=draft
PROTOSCALE_RESERVE=1M
PROTOSCALE_SETTLE=0.5
PROTOSCALE_DRAIN_LIMIT=60
U2NET_HOME={INSIDE["models"]}
"""


class Machine(Box):
    """A box with the service installed. Its network is this machine's, so the tests can call it."""

    def __init__(self, folder: Path, shares: dict[Path, Path]) -> None:
        super().__init__(folder, shares)
        self.port = free_port()

    @property
    def spool(self) -> Spool:
        return Spool(self.root / "var/lib/protoscale/spool")

    def install(self) -> None:
        """As the README says, but for the dependencies, which are lent."""
        (self.root / "etc/ld.so.conf.d/lent.conf").write_text(f"{INSIDE['python']}/lib\n")
        self.run("ldconfig")  # an interpreter with a shared library looks for it where it was built
        self.run(f"{INSIDE['python']}/bin/python3", "-m", "venv", "--without-pip", "/opt/protoscale")
        (packages,) = (self.root / "opt/protoscale/lib").glob("python3*/site-packages")
        (packages / "lent.pth").write_text(f"{INSIDE['dependencies']}\n")
        (wheel,) = (self.root / "opt/wheel").iterdir()
        pip = ("/opt/protoscale/bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
        self.run(*pip, "--ignore-installed", "--root-user-action=ignore", str(INSIDE["wheel"] / wheel.name))
        self.run(COMMAND, "install-systemd")
        with (self.root / "etc/protoscale/protoscale.env").open("a") as settings:
            settings.write(SETTINGS)
        self.change(
            "protoscale-httpd.socket", f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{self.port}\n"
        )
        # Short, so that the test is; far above what a turn of the supervisor's loop takes.
        self.change("protoscale.service", "[Service]\nWatchdogSec=8\n")
        self.run("systemctl", "daemon-reload")

    def change(self, unit: str, text: str) -> None:
        """What `systemctl edit` does."""
        folder = self.root / f"etc/systemd/system/{unit}.d"
        folder.mkdir(parents=True)
        (folder / "override.conf").write_text(text)

    def pid(self, unit: str = "protoscale.service") -> int:
        return int(self.show(unit, "MainPID"))

    def kill(self, pid: int, number: signal.Signals) -> None:
        self.run("kill", f"-{number.name[3:]}", str(pid))

    def works(self) -> bool:
        """Whether the service and its server are up, by their own account."""
        states = {
            self.show(unit, "ActiveState") for unit in ("protoscale.service", "protoscale-httpd.service")
        }
        return states == {"active"} and bool(
            re.search("idle|busy", self.show("protoscale.service", "StatusText"))
        )

    def workers(self) -> dict[str, int]:
        """Who fills which post, as the box numbers processes."""
        board = json.loads((self.spool.root / "supervisor.json").read_text())
        return {slot["name"]: slot["pid"] for slot in board["workers"]}

    def drop(self, name: str) -> None:
        (self.spool.root / "inbox" / name).write_bytes(picture())

    def call(self, path: str, body: bytes | None = None, kind: str = "") -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST" if body else "GET", path, body, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        assert answer.status < 300, told
        return told

    def upload(self, quality: str = "draft") -> str:
        fields = {"start": b"true", "quality": quality.encode(), 'file"; filename="cup.png': picture()}
        body = b"".join(
            b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
            for name, value in fields.items()
        )
        job_id = self.call("/api/upload", body + b"--x--\r\n", "multipart/form-data; boundary=x")["job_id"]
        return str(job_id)

    def finished(self, job_id: str) -> dict[str, Any]:
        """Wait for the end of a job; it must be a good one."""
        until(lambda: look(self.spool, job_id)["status"] in ("completed", "failed"), 120)
        told = look(self.spool, job_id)
        assert told["status"] == "completed", told
        return told


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of this very source. Built from a copy: building writes into the source."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("daemon", "spool", "httpd", "systemd"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(folder / "built"), str(source)], check=True)
    return folder / "built"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, wheel: Path, u2net_home: Path) -> Iterator[Machine]:
    assert WHY_NOT is None, f"PROTOSCALE_TEST_SYSTEMD=required, but {WHY_NOT}"
    machine = Machine(
        tmp_path_factory.mktemp("systemd") / "box",
        {
            Path(sys.base_prefix): INSIDE["python"],
            Path(sysconfig.get_path("purelib")): INSIDE["dependencies"],
            u2net_home: INSIDE["models"],
            wheel: INSIDE["wheel"],
        },
    )
    try:
        machine.boot()
        machine.install()
        machine.run("systemctl", "enable", "--now", "protoscale.target")
        until(machine.works, 120)
        yield machine
    finally:
        machine.halt()


def test_start_brings_everything_up(machine: Machine) -> None:
    assert machine.run("systemctl", "is-enabled", "protoscale.target").stdout.strip() == "enabled"
    assert machine.call("/health")["status"] == "ok"
    told = machine.run("systemctl", "--no-pager", "status", "protoscale").stdout
    assert re.search(r"Status: \"0 waiting; .*geometry-cpu idle.*engine silhouette\"", told), told
    user = machine.run("ps", "-o", "user:20=", "-p", str(machine.pid())).stdout.strip()
    assert user == "protoscale"


def test_a_photo_dropped_into_the_inbox_becomes_a_model(machine: Machine) -> None:
    before = set(machine.spool.waiting("done"))
    machine.drop("cup.png")
    (job_id,) = until(lambda: set(machine.spool.waiting("done")) - before, 120)
    assert (machine.spool.root / "done" / job_id / "model.glb").stat().st_size > 10_000


def test_a_member_of_the_group_drops_a_photo_and_reads_the_model(machine: Machine) -> None:
    machine.run("useradd", "--groups", "protoscale", "ada")
    (machine.root / "opt/photo.png").write_bytes(picture())
    before = set(machine.spool.waiting("done"))
    as_ada = ("setpriv", "--reuid=ada", "--regid=ada", "--init-groups", "--")
    machine.run(*as_ada, "cp", "/opt/photo.png", "/var/lib/protoscale/spool/inbox/")
    (job_id,) = until(lambda: set(machine.spool.waiting("done")) - before, 120)
    machine.run(*as_ada, "cp", f"/var/lib/protoscale/spool/done/{job_id}/model.glb", "/dev/null")
    assert machine.run(
        *as_ada, "rm", "-r", f"/var/lib/protoscale/spool/done/{job_id}", check=False
    ).returncode


def test_the_command_line_works_as_the_services_user(machine: Machine) -> None:
    as_service = ("setpriv", "--reuid=protoscale", "--regid=protoscale", "--init-groups", "--")
    told = machine.run(*as_service, COMMAND, "--spool", "/var/lib/protoscale/spool", "ls").stdout
    assert machine.spool.waiting("done")[0][-8:] in told


def test_a_photo_sent_over_the_socket_becomes_a_model(machine: Machine) -> None:
    job_id = machine.upload()
    machine.finished(job_id)
    told = machine.journal(f"JOB_ID={job_id}")
    assert f"job {job_id}: geometry took" in told and f"job {job_id}: texture took" in told
    # By the unit and by the field alike: it is one journal.
    assert f"job {job_id}: texture took" in machine.journal("-u", "protoscale", f"JOB_ID={job_id}")


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
    assert "ENGINE='steam' is not accepted" in machine.journal("-u", "protoscale", "-p", "err")
    settings.write_text(good)
    machine.run("systemctl", "restart", "protoscale")
    until(machine.works, 120)


def test_the_models_unit_finds_and_verifies_the_model(machine: Machine) -> None:
    machine.run("systemctl", "start", "protoscale-models")
    assert machine.show("protoscale-models.service", "Result") == "success"
    assert "u2netp is here and verified" in machine.journal("-u", "protoscale-models")


def test_what_the_sandbox_hides(machine: Machine) -> None:
    inside = ("nsenter", f"--target={machine.pid()}", "--mount", "--net", "--")
    assert machine.run(*inside, "ls", "/root", check=False).stdout == ""
    assert machine.run(*inside, "touch", "/usr/x", check=False).returncode != 0
    assert "NoNewPrivs:\t1" in Path(f"{machine.root}/proc/{machine.pid()}/status").read_text()
    assert machine.show("protoscale.service", "OOMPolicy") == "continue"
    assert machine.show("protoscale.service", "KillMode") == "mixed"


def test_uninstall_takes_the_units_and_leaves_the_jobs(machine: Machine) -> None:
    jobs = machine.spool.waiting("done")
    machine.run(COMMAND, "install-systemd", "--uninstall")
    assert machine.show("protoscale.service", "LoadState") == "not-found"
    assert machine.run("pgrep", "-u", "protoscale", check=False).stdout == ""
    assert machine.spool.waiting("done") == jobs
    assert (machine.root / "etc/protoscale/protoscale.env").exists()
