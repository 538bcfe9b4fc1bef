"""The service on a real Ray cluster: three nodes on this machine, the head and two that work.

Each node is in a network namespace of its own where that can be had, else on a loopback address of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool import layout
from spool.board import Board
from spool.job import Job
from spool.spool import Spool
from spool.status import Status, read_attempts
from spool.trouble import Trouble
from spool.view import look
from tests.cluster.kills import Head, Kills
from tests.cluster.machines import Machine, Rig, ray_missing, rig
from tests.cluster.sleepy import SLEEP
from tests.service import ROOT
from tests.support import submit, until

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(ray_missing() is not None, reason=ray_missing() or ""),
]
PHOTO = ROOT / "examples" / "coffee.png"


@pytest.fixture(scope="module")
def cluster(u2net_home: Path) -> Iterator[Rig]:
    """A head, and two machines with one device each; what a test does to them it undoes."""
    with rig(environ={SLEEP: "0.5", "U2NET_HOME": str(u2net_home)}) as made:
        for _ in range(2):
            made.add({"protoscale_all": 1}).start()
        yield made


@pytest.fixture(scope="module")
def serving(cluster: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A head whose outposts sleep."""
    made = Head(cluster, tmp_path_factory.mktemp("head"))
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def head(serving: Head) -> Head:
    """The same, with both machines ready and nothing to do."""
    serving.keep_running()
    until(lambda: states(serving) == {"box2": "idle", "box3": "idle"}, 120)
    return serving


def states(head: Head) -> dict[str, str]:
    """What each machine does now, by what the supervisor tells."""
    assert head.process and head.process.poll() is None, head.log.read_text()
    board = Board.read(head.spool.root)
    return {slot.node: slot.state for slot in board.workers} if board else {}


def busy(head: Head, machine: Machine) -> Job:
    """Wait until that machine works on a job, and say on which."""
    folder = f"{layout.RUNNING}/all-{machine.name}-cpu"

    def found() -> Job | None:
        for job_id in head.spool.waiting(folder):
            job = Job.read(head.spool.root / folder / job_id)
            if Status.read(job.path).stage and read_attempts(job.path):
                return job
        return None

    return until(lambda: _despite_moves(found), 60)


def stopped_at_work(head: Head, machine: Machine) -> Job:
    """Stop that machine's outposts at a job that has more to come, so that it is not done before they are killed."""

    def caught() -> Job | None:
        working = busy(head, machine)
        for outpost in (outposts := machine.outposts()):
            outpost.suspend()
        held = head.spool.find(working.id)
        # What a stopped outpost has said may still be on its way, and end the stage, but not the last one.
        if outposts and held.worker == f"all-{machine.name}-cpu" and held.status.stage != "texture":
            return working
        for outpost in outposts:
            outpost.resume()
        return None

    found = until(caught, 120)
    assert found
    return found


def _despite_moves(found: object) -> Job:
    try:
        return found()  # type: ignore[operator, no-any-return]
    except FileNotFoundError:
        return None  # type: ignore[return-value]


def finished(spool: Spool, *jobs: Job) -> list[str]:
    """Wait until they are at rest; the folders they rest in."""
    until(lambda: all(look(spool, job.id)["status"] in ("completed", "failed") for job in jobs), 180)
    return [spool.find(job.id).folder for job in jobs]


def is_measured(spool: Spool) -> bool:
    """Whether the board tells the memory of every worker; what an outpost takes is told a moment after its work."""
    board = Board.read(spool.root)
    return board is not None and all((slot.memory_bytes or 0) > 2**25 for slot in board.workers)


def published(head: Head, job: Job) -> int:
    """How often a worker said that it brought this job to its end."""
    return sum(job.id in line and "on to done/" in line for line in head.log.read_text().splitlines())


def test_a_photo_is_made_elsewhere_byte_for_byte(cluster: Rig, tmp_path: Path, u2net_home: Path) -> None:
    environ = {
        **Head(cluster, tmp_path).environ,
        "REMBG_MODEL": "u2netp",
        "U2NET_HOME": str(u2net_home),
        "PROTOSCALE_QUALITY": "high",
    }
    command = [sys.executable, "-m", "daemon.cli"]
    log = tmp_path / "service.log"
    with log.open("wb") as out:
        service = subprocess.Popen(
            [*command, "run", "--no-http"], env=environ, cwd=ROOT, stdout=out, stderr=out
        )
    try:
        spool = Spool(tmp_path / "spool")
        until(lambda: (tmp_path / "spool" / "inbox").is_dir(), 60)
        job = submit(spool, content=PHOTO.read_bytes(), quality="high")
        here = {"PROTOSCALE_SPOOL": str(tmp_path / "unused"), "CLUSTER": ""}
        made = [*command, "make", str(PHOTO), "--quality", "high", "--out", str(tmp_path / "local")]
        own = {**environ, **here, "GEOMETRY_DEVICE": "cpu", "TEXTURE_DEVICE": "cpu"}
        subprocess.run(made, env=own, cwd=ROOT, check=True, timeout=240, capture_output=True)
        assert finished(spool, job) == [layout.DONE], log.read_text()
        done = spool.find(job.id)
        for name in layout.PRODUCTS:
            assert (done.job.path / name).read_bytes() == (tmp_path / "local" / name).read_bytes(), name
        status = Status.read(done.job.path)
        assert status.progress == 100.0 and set(status.timings) == {"cutout", "geometry", "texture"}
        board = Board.read(spool.root)
        assert board and {slot.node for slot in board.workers} == {"box2", "box3"}
        until(lambda: is_measured(spool), 60)
        told = subprocess.run(
            [*command, "cluster", "ls", "--json"], env=environ, cwd=ROOT, check=True, capture_output=True
        )
        machines = json.loads(told.stdout)["machines"]
        assert [machine["node"] for machine in machines] == ["box1", "box2", "box3"]
        assert machines[0]["devices"] == [] and machines[1]["devices"][0]["name"] == "all-box2-cpu"
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(60)
    until(lambda: not any(machine.outposts() for machine in cluster.machines), 60)  # none outlives its envoy


def test_work_survives_whatever_dies(cluster: Rig, head: Head) -> None:
    """The actor at its work, then its whole machine; each job is finished once, and charged for what it did."""
    two, three = cluster.machines[1:]
    jobs = [submit(head.spool, views=False) for _ in range(6)]
    struck = stopped_at_work(head, two)
    for outpost in two.outposts():
        outpost.kill()
    until(lambda: Trouble.read(head.spool.find(struck.id).job.path).killed == 1, 60)
    with head.spool.open_file(struck.id, layout.LOG) as log:
        assert b"died" in log.read()

    jobs += [submit(head.spool, views=False) for _ in range(6)]
    lost = stopped_at_work(head, three)
    three.kill()
    until(lambda: Trouble.read(head.spool.find(lost.id).job.path).spared == 1, 120)
    until(lambda: states(head).get("box3") != "busy", 60)
    three.start()
    until(lambda: states(head).get("box3") in ("idle", "busy"), 120)
    jobs += [submit(head.spool, views=False) for _ in range(4)]
    busy(head, three)  # it is back, and works
    assert set(finished(head.spool, *jobs)) == {layout.DONE}
    until(lambda: all(published(head, job) for job in jobs), 60)  # told a moment after it is so
    assert [published(head, job) for job in jobs] == [1] * 16
    attempts = read_attempts(head.spool.find(lost.id).job.path).values()
    assert max(attempts) == 1 or lost.id == struck.id  # it was not its fault


def test_a_cut_network_costs_nobody_an_attempt(cluster: Rig, head: Head) -> None:
    if not cluster.net.namespaces:
        pytest.skip("a network is cut between namespaces, which take root and the command `ip`")
    two = cluster.machines[1]
    jobs = [submit(head.spool, views=False) for _ in range(4)]
    lost = busy(head, two)
    two.cut()
    try:
        until(lambda: Trouble.read(head.spool.find(lost.id).job.path).spared == 1, 120)
        assert set(finished(head.spool, *jobs)) == {layout.DONE}  # the other machine does it all
    finally:
        two.mend()
    # Ray ends a node that was given up; whoever keeps it running (systemd, `restart: always`) starts it again.
    until(lambda: not two.running, 120)
    two.kill()
    two.start()
    until(lambda: states(head) == {"box2": "idle", "box3": "idle"}, 120)
    until(lambda: all(published(head, job) for job in jobs), 60)
    assert [published(head, job) for job in jobs] == [1] * 4


def test_a_drained_machine_finishes_and_gets_no_more(cluster: Rig, head: Head) -> None:
    two = cluster.machines[1]
    command = [sys.executable, "-m", "daemon.cli", "cluster"]

    def told(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], env=head.environ, cwd=ROOT, capture_output=True, text=True)

    jobs = [submit(head.spool, views=False) for _ in range(3)]
    busy(head, two)
    assert told("drain", "nobody").returncode != 0
    assert told("drain", "box2").returncode == 0
    until(lambda: "box2" not in states(head), 60)
    assert set(finished(head.spool, *jobs)) == {layout.DONE}
    worker = head.spool.root / layout.RUNNING / "all-box2-cpu"
    assert not [path for path in worker.iterdir() if path.is_dir()]
    before = head.log.read_text().count("all-box2-cpu: job")
    later = [submit(head.spool, views=False) for _ in range(2)]
    assert set(finished(head.spool, *later)) == {layout.DONE}
    assert head.log.read_text().count("all-box2-cpu: job") == before
    assert "box2" in told("ls").stdout and "drained" in told("ls").stdout
    assert told("undrain", "box2").returncode == 0
    until(lambda: states(head).get("box2") == "idle", 120)
    assert all(max(read_attempts(head.spool.find(job.id).job.path).values()) == 1 for job in jobs)


def test_a_running_job_is_cancelled_over_there(cluster: Rig, head: Head) -> None:
    job = submit(head.spool, views=False)
    until(lambda: head.spool.find(job.id).folder == layout.RUNNING, 60)
    head.spool.cancel(job.id)
    assert finished(head.spool, job) == [layout.FAILED]
    assert head.spool.find(job.id).status.error == "cancelled"
    again = submit(head.spool, views=False)  # and the device is free for the next
    assert finished(head.spool, again) == [layout.DONE]


def test_random_kills_lose_nothing(cluster: Rig, serving: Head, tmp_path: Path) -> None:
    """The short form of `python -m tests.cluster.kills`."""
    serving.stop()  # it holds the devices
    print(Kills(cluster, tmp_path, jobs=8, kills=3, seed=11).run(600), os.getloadavg())
