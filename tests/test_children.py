"""All children together: who is started and when, who hears a signal, and what a loop sleeps on. They are real."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from daemon import process
from daemon.child import FIRST_PAUSE, Crew, WebServer
from daemon.children import Children
from daemon.config import Config
from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
from daemon.service_record import ServiceRecord
from tests import idlers
from tests.clock import Clock
from tests.support import until

EVERYBODY = ("geometry-cpu", "texture-cpu", "web")


def nobody_waits(name: str) -> bool:
    return False


def reap(children: Children, count: int) -> dict[str, int]:
    """Look until `count` have ended; their exit codes. A sentinel tells an instant before the kernel does."""
    codes: dict[str, int] = {}

    def look() -> bool:
        for crew in children.crews:
            if (code := crew.reap()) is not None:
                codes[crew.post.name] = code
        if children.web and (code := children.web.reap()) is not None:
            codes["web"] = code
        return len(codes) >= count

    until(look)
    return codes


@pytest.fixture
def children(settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Children]:
    """Two workers and a server; nobody runs yet."""
    idlers.take_their_place(monkeypatch, tmp_path)
    posts = (Post("geometry-cpu", "cpu", GEOMETRY_STAGES), Post("texture-cpu", "cpu", TEXTURE_STAGES))
    made = Children([Crew(settings, post, 1, ServiceRecord(post.device)) for post in posts], WebServer())
    yield made
    for worker in multiprocessing.active_children():  # by themselves: the code under test may have failed
        worker.kill()
        worker.join()
    if made.web and made.web.running:
        made.web.signal(signal.SIGKILL)
        until(lambda: made.web is None or made.web.reap())


def pids(children: Children) -> list[int | None]:
    return [*(crew.pid for crew in children.crews), children.web.pid if children.web else None]


def test_at_the_start_every_post_is_due_and_is_filled_once(children: Children) -> None:
    assert not children.running and children.sentinels == []
    assert len(children.dues) == 3 and max(children.dues) <= time.monotonic()
    children.start_due(nobody_waits)
    assert children.running and children.dues == []
    assert len(set(children.sentinels)) == 3
    before = pids(children)
    assert None not in before
    children.start_due(nobody_waits)
    assert pids(children) == before


def test_nobody_starts_before_the_pause_is_over(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("daemon.children.time", clock)
    assert children.web
    first, second = children.crews
    children.web.backoff.due = clock.now + 10
    first.backoff.due = clock.now + 20
    second.record.due = clock.now + 30  # the device is out of service
    assert children.dues == [clock.now + 20, clock.now + 30, clock.now + 10]
    for _ in range(4):
        children.start_due(nobody_waits)
        now = [bool(pid) for pid in pids(children)]
        assert now == [first.due <= clock.now, second.due <= clock.now, children.web.backoff.due <= clock.now]
        assert len(children.dues) == now.count(False)
        clock.now += 10
    assert all(pids(children))


def test_a_post_whose_last_job_is_not_put_back_yet_stays_empty(children: Children) -> None:
    """The jobs in its folder would be taken for those of the new worker. The other posts need not wait."""
    children.start_due(lambda name: name == "geometry-cpu")
    geometry, texture, web = pids(children)
    assert geometry is None and texture and web
    assert children.dues == [children.crews[0].due]
    children.start_due(nobody_waits)
    assert all(pids(children))


def test_the_server_starts_before_the_workers(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    """People may upload while the workers import."""
    serving: list[bool] = []

    def look(*_: object) -> None:
        serving.append(children.web is not None and children.web.running)
        raise OSError("one look is enough")

    monkeypatch.setattr(process, "spawn", look)
    children.start_due(nobody_waits)
    assert serving == [True, True]


def test_a_device_that_left_the_cluster_is_never_filled_again(children: Children) -> None:
    children.crews[0].retired = True
    children.start_due(nobody_waits)
    assert children.crews[0].pid is None
    assert children.dues == [float("inf")]


def test_a_signal_reaches_everybody_and_the_end_is_seen(children: Children) -> None:
    children.start_due(nobody_waits)
    sentinels = children.sentinels
    assert wait(sentinels, 0) == []
    children.signal(signal.SIGTERM)
    until(lambda: len(wait(sentinels, 0)) == 3)
    assert children.running  # until the supervisor has looked who it was
    assert reap(children, 3) == dict.fromkeys(EVERYBODY, -signal.SIGTERM)
    assert not children.running and children.sentinels == []


@pytest.fixture
def hangups() -> Iterator[None]:
    """A SIGHUP ends who does not listen: below `nohup` it is ignored, and children inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_who_is_replaced_may_finish_once_it_is_ready(children: Children, hangups: None) -> None:
    children.start_due(nobody_waits)
    assert children.web and not children.web.is_replaced
    ready, _ = children.crews
    ready.pulse.ready()
    children.replace()
    assert reap(children, 3) == {
        "geometry-cpu": -signal.SIGHUP,
        "texture-cpu": -signal.SIGTERM,
        "web": -signal.SIGTERM,
    }
    assert children.web.is_replaced  # its end is no news
    children.web.start()
    assert not children.web.is_replaced


def test_the_one_who_dies_wakes_and_is_due_again_after_a_short_pause(children: Children) -> None:
    children.start_due(nobody_waits)
    dead, alive = children.crews
    assert dead.sentinel is not None
    dead.signal(signal.SIGKILL)
    assert wait(children.sentinels, 20) == [dead.sentinel]
    died = time.monotonic()
    assert reap(children, 1) == {"geometry-cpu": -signal.SIGKILL}
    assert children.running and len(children.sentinels) == 2 and alive.sentinel in children.sentinels
    assert children.dues == [dead.due]
    assert died + FIRST_PAUSE <= dead.due <= time.monotonic() + FIRST_PAUSE

    def filled_again() -> bool:
        children.start_due(nobody_waits)
        return dead.pid is not None

    until(filled_again)
    assert len(children.sentinels) == 3 and children.dues == []


def test_a_server_that_dies_is_due_again_too(children: Children) -> None:
    children.start_due(nobody_waits)
    assert children.web
    children.web.signal(signal.SIGKILL)
    assert wait(children.sentinels, 20) == [children.web.sentinel]
    assert reap(children, 1) == {"web": -signal.SIGKILL}
    assert len(children.sentinels) == 2
    assert children.dues == [children.web.backoff.due] and children.dues[0] > 0


def test_a_signal_to_nobody_is_no_error(children: Children) -> None:
    children.signal(signal.SIGTERM)
    children.start_due(nobody_waits)
    children.signal(signal.SIGKILL)
    for sentinel in children.sentinels:
        assert wait([sentinel], 20)
    children.signal(signal.SIGTERM)  # they have ended, and nobody has looked yet
    assert reap(children, 3) == dict.fromkeys(EVERYBODY, -signal.SIGKILL)


def test_a_service_without_a_server_has_its_workers_alone(children: Children) -> None:
    alone = Children(children.crews, None)
    assert len(alone.dues) == 2
    alone.start_due(nobody_waits)
    assert children.web and not children.web.running
    assert alone.running and len(alone.sentinels) == 2 and alone.dues == []
    alone.signal(signal.SIGTERM)
    until(lambda: len(wait(alone.sentinels, 0)) == 2)
    assert reap(alone, 2) == dict.fromkeys(("geometry-cpu", "texture-cpu"), -signal.SIGTERM)
    assert not alone.running


def test_a_server_alone_is_somebody_who_runs(children: Children) -> None:
    alone = Children([], children.web)
    alone.start_due(nobody_waits)
    assert alone.running and len(alone.sentinels) == 1
