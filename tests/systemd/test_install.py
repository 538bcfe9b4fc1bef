"""The service as it is installed: who may use it and how, what it may not see, and how it goes again."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support import picture, until
from tests.systemd.machine import COMMAND, UNDER_SYSTEMD, Machine

pytestmark = UNDER_SYSTEMD


def test_start_brings_everything_up(machine: Machine) -> None:
    assert machine.run("systemctl", "is-enabled", "protoscale.target").stdout.strip() == "enabled"
    assert machine.call("/health")["status"] == "ok"
    status = ("systemctl", "--no-pager", "status", "protoscale")
    line = re.compile(r"Status: \"0 waiting; .*geometry-cpu idle.*engine silhouette\"")
    until(lambda: line.search(machine.run(*status).stdout), 60)
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
    for stage in ("geometry", "texture"):
        assert machine.says(f"job {job_id}: {stage} took", f"JOB_ID={job_id}")
    # By the unit and by the field alike: it is one journal.
    assert machine.says(f"job {job_id}: texture took", "-u", "protoscale", f"JOB_ID={job_id}")


def test_the_models_unit_finds_and_verifies_the_model(machine: Machine) -> None:
    machine.run("systemctl", "start", "protoscale-models")
    assert machine.show("protoscale-models.service", "Result") == "success"
    assert machine.says("u2netp is here and verified", "-u", "protoscale-models")


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
