"""Who is in the cluster, which posts that makes, and crews that come and go with them; Ray is told, not run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon import process
from daemon.child import Crew
from daemon.cluster import fleet as fleets
from daemon.cluster import lookout, roster
from daemon.cluster.fleet import Fleet
from daemon.cluster.roster import Machine, Roster, UnknownNode, Vitals, machines
from daemon.devices import Berth, Post, posts
from daemon.errors import EngineUnavailable
from daemon.inquest import Ending, Inquest
from daemon.process import EX_SOFTWARE, EX_UNAVAILABLE
from daemon.service_record import ServiceRecord
from daemon.status_board import board
from daemon.supervisor import Supervisor
from spool import lock
from spool.errors import SpoolUnusable
from spool.notify import Systemd
from spool.spool import Spool
from spool.status import read_attempts
from spool.trouble import Trouble
from tests.support import config, submit, until


def node(number: int, *, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {
        "NodeID": f"{number:056x}",
        "NodeName": f"box{number}",
        "NodeManagerAddress": f"10.0.0.{number}",
        "Alive": alive,
        "Resources": {"CPU": 8.0, "memory": 1e9, **resources},
    }


def names(machine: Machine) -> list[str]:
    return [post.name for post in machine.posts()]


def test_what_machines_offer() -> None:
    (one, two, three, four, five) = machines(
        [
            node(1, GPU=1.0),
            node(2, GPU=2.0),
            node(3, protoscale_geometry=2.0),
            node(4, GPU=4.0, protoscale_texture=1.0),
            node(5),
            node(6, alive=False, GPU=1.0),
        ]
    )
    assert names(one) == ["all-box1-cuda0"]
    assert names(two) == ["texture-box2-cuda0", "geometry-box2-cuda1"]
    assert names(three) == ["geometry-box3-cpu0", "geometry-box3-cpu1"]
    assert names(four) == ["texture-box4-cuda0"]  # what it names is what it gets
    assert names(five) == []
    (post,) = four.posts()
    assert post.stages == ("cutout", "texture") and post.role == "texture" and post.node == "box4"
    assert post.berth == Berth("box4", f"{4:056x}", "protoscale_texture", 1)


def test_cards_of_this_machine_are_its_own_workers() -> None:
    here = node(1, GPU=2.0)["NodeID"]
    assert names(machines([node(1, GPU=2.0)], without_gpus=[here])[0]) == []
    assert names(machines([node(1, GPU=1.0, protoscale_all=1.0)], without_gpus=[here])[0]) == [
        "all-box1-cuda0"
    ]


def test_two_machines_of_one_name_are_told_apart() -> None:
    twin = {**node(2, GPU=1.0), "NodeName": "box1"}
    assert [machine.name for machine in machines([node(1, GPU=1.0), twin])] == ["box1", "box1.000000"]


def test_a_name_is_made_fit_for_a_folder() -> None:
    assert names(Machine("gpu/../box 1", "id", "10.0.0.1", gpus=1)) == ["all-gpu_.._box_1-cuda0"]


def test_drained_machines_stay_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownNode, match="there: none"):
        roster.drain(_root(tmp_path), "box1")
    Roster((Machine("box1", "id", "10.0.0.1", gpus=1),)).write(tmp_path)
    roster.drain(tmp_path, "box1")
    assert roster.drained(tmp_path) == {"box1"}
    roster.undrain(tmp_path, "box1")
    assert not roster.drained(tmp_path)
    with pytest.raises(UnknownNode, match="not drained"):
        roster.undrain(tmp_path, "box1")


def _root(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def test_no_worker_here_takes_a_cluster(tmp_path: Path) -> None:
    none = {"GEOMETRY_DEVICE": "none", "TEXTURE_DEVICE": "none"}
    assert posts(config(tmp_path, CLUSTER="ray", **none), ("cpu",)) == []
    with pytest.raises(EngineUnavailable, match="CLUSTER"):
        posts(config(tmp_path, **none), ("cpu",))
    with pytest.raises(EngineUnavailable, match="GEOMETRY_DEVICE=none"):
        posts(config(tmp_path, CLUSTER="ray", GEOMETRY_DEVICE="none"), ("cpu",))


# --- crews ---------------------------------------------------------------------------------------------


class Fleeting:
    """A fleet whose lookout sees what the test says, with envoys that only wait."""

    def __init__(self, root: Path) -> None:
        self.config = config(root, CLUSTER="ray")
        self.spool = Spool.open(root)
        self.crews: list[Crew] = []
        self.fleet = Fleet(self.config, self.spool, self.crews)
        self.fleet.begin()
        self.open: set[str] = set()

    def see(self, *seen: Machine) -> None:
        Roster(seen).write(self.spool.root)
        self.look()

    def look(self) -> None:
        self.fleet.look(lambda worker: worker in self.open, draining=False)

    def start(self) -> None:
        for crew in self.crews:
            if crew.pid is None and time.monotonic() >= crew.due:
                crew.start()

    def reaped(self, crew: Crew) -> int:
        codes: list[int] = []

        def ended() -> bool:
            code = crew.reap()
            codes.extend(() if code is None else (code,))
            return bool(codes)

        until(ended, 60)
        return codes[0]


def _wait(parent: int, *_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(600)


def _spawned(*_: object) -> Any:
    waiting = multiprocessing.get_context("spawn").Process(target=_wait, args=(0,))
    waiting.start()
    return waiting


@pytest.fixture
def fleeting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleeting]:
    monkeypatch.setattr(fleets, "require", lambda: None)
    monkeypatch.setattr(lookout, "spawn", _spawned)
    monkeypatch.setattr(process, "spawn", _spawned)
    made = Fleeting(tmp_path)
    yield made
    for crew in made.crews:
        crew.signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while made.fleet.running and time.monotonic() < deadline:
        made.fleet.look(lambda _: False, draining=True)


BOX = Machine("box2", "first life", "10.0.0.2", gpus=2)


def test_crews_come_and_go_with_their_machines(fleeting: Fleeting) -> None:
    fleeting.see(BOX)
    assert [crew.post.name for crew in fleeting.crews] == names(BOX)
    assert (fleeting.spool.root / "running" / "all-box3-cuda0").exists() is False
    assert (fleeting.spool.root / "running" / "geometry-box2-cuda1").is_dir()
    fleeting.start()
    crew, other = fleeting.crews
    fleeting.see()
    assert crew.retired and crew.due == float("inf")
    assert fleeting.reaped(crew) == -signal.SIGTERM
    fleeting.open.add(crew.post.name)
    fleeting.look()
    assert crew in fleeting.crews  # its jobs are still to be put back
    fleeting.open.clear()
    fleeting.look()
    assert crew not in fleeting.crews
    assert fleeting.reaped(other) == -signal.SIGTERM
    fleeting.look()
    assert not fleeting.crews


def test_a_machine_that_came_back_gets_a_new_envoy(fleeting: Fleeting) -> None:
    fleeting.see(BOX)
    fleeting.start()
    crew = fleeting.crews[0]
    again = replace(BOX, node_id="second life")
    fleeting.see(again)
    assert crew.retired
    fleeting.reaped(crew)
    fleeting.look()
    assert not crew.retired and crew.post.berth and crew.post.berth.node_id == "second life"


def test_drain_and_undrain_one_machine(fleeting: Fleeting) -> None:
    other = Machine("box3", "id3", "10.0.0.3", gpus=1)
    fleeting.see(BOX, other)
    fleeting.start()
    roster.drain(fleeting.spool.root, "box2")
    fleeting.look()
    assert [crew.post.node for crew in fleeting.crews if not crew.retired] == ["box3"]
    assert any("box2 is drained" in note for note in fleeting.fleet.notes)
    for crew in [crew for crew in fleeting.crews if crew.retired]:
        fleeting.reaped(crew)
    fleeting.look()
    assert [crew.post.node for crew in fleeting.crews] == ["box3"]
    roster.undrain(fleeting.spool.root, "box2")
    fleeting.look()
    assert len(fleeting.crews) == 3


def test_the_board_tells_machines(fleeting: Fleeting) -> None:
    fleeting.see(BOX)
    Vitals("cuda:1", "hunyuan", 7, 2**20, None, "no weights there").write(
        fleeting.spool.root, "texture-box2-cuda0"
    )
    told = board(fleeting.spool, fleeting.config, "sphere", "now", fleeting.crews, False)
    assert [(slot.node, slot.device) for slot in told.workers] == [("box2", "cuda:1"), ("box2", "cuda:1")]
    assert told.workers[0].memory_bytes == 2**20
    assert fleeting.fleet.notes == ["texture-box2-cuda0: no weights there"]


def test_trouble_of_the_lookout_is_told(fleeting: Fleeting) -> None:
    Roster(trouble="no Ray cluster answers").write(fleeting.spool.root)
    assert fleeting.fleet.notes == ["no Ray cluster answers"]


def test_a_cluster_takes_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineUnavailable, match=r"pip install '\.\[cluster\]'"):
        Fleet(config(tmp_path, CLUSTER="ray"), Spool.open(tmp_path), [])


def test_a_supervisor_that_the_lock_refuses_leaves_the_roster_of_the_other(fleeting: Fleeting) -> None:
    root = fleeting.spool.root
    (machine,) = machines([node(1, GPU=1.0)])
    fleeting.see(machine)
    held = lock.take(root)
    second = Supervisor(fleeting.config, Systemd({}), with_http=False)
    try:
        with pytest.raises(SpoolUnusable, match="another supervisor"):
            second.run()
        assert Roster.read(root).machines == (machine,)
        fleeting.look()
        assert [crew.retired for crew in fleeting.crews] == [False]
    finally:
        os.close(held)
        second.wake.close()


def test_the_next_supervisor_forgets_who_was_there(fleeting: Fleeting) -> None:
    fleeting.see(*machines([node(1, GPU=1.0)]))
    following = Supervisor(fleeting.config, Systemd({}), with_http=False)
    try:
        following.recover()
        assert Roster.read(fleeting.spool.root).machines == ()
    finally:
        following.wake.close()


# --- whose fault ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "attempts", "killed", "spared"),
    [
        (Ending(EX_UNAVAILABLE), 0, 0, 1),  # the machine is gone
        (Ending(-signal.SIGKILL), 0, 0, 1),  # the envoy itself: it runs nothing of the job
        (Ending(1), 0, 0, 1),  # Ray ended it
        (Ending(EX_SOFTWARE), 1, 1, 0),  # the job took the outpost down
        (Ending(-signal.SIGKILL, "no progress"), 1, 1, 0),  # it hung over there
    ],
)
def test_whose_fault_the_end_of_an_envoy_is(
    tmp_path: Path, ending: Ending, attempts: int, killed: int, spared: int
) -> None:
    spool, settings = Spool.open(tmp_path), config(tmp_path)
    post = Post("geometry-box2-cpu", "cpu", ("geometry",), Berth("box2", "id", "protoscale_geometry", 0))
    crew = Crew(settings, post, 1, ServiceRecord("box2 cpu"))
    job = submit(spool, "geometry")
    (job.path / "cutout.png").write_bytes(b"a cut-out")
    spool.enlist(post.name)
    claimed = spool.claim("geometry", post.name)
    assert claimed
    spool.begin(claimed, "geometry")
    crew.pulse.begin(claimed.id, "geometry")
    Inquest(settings.attempts, [crew]).hold(spool, crew, ending)
    found = spool.find(job.id)
    assert found.folder == "geometry"
    assert read_attempts(found.job.path).get("geometry", 0) == attempts
    trouble = Trouble.read(found.job.path)
    assert (trouble.killed, trouble.spared) == (killed, spared)
