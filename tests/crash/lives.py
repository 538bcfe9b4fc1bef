"""Whole lives of jobs, each led for the sake of some invariants of docs/spool.md."""

from __future__ import annotations

import errno
from collections.abc import Callable

from daemon.errors import BadJob, EngineError
from spool.layout import FAILED
from spool.priority import HIGH, LOW, NORMAL
from tests.crash.life import GEOMETRY, TEXTURE, Killed, Life


def life_of_a_submit(life: Life) -> None:
    """Invariants 1, 2, 3, 5: a photo from the command line to its model, on a disk that was empty."""
    life.open()
    life.submit("a.png")
    life.work_off()


def life_in_two_steps(life: Life) -> None:
    """Invariants 1, 4: an upload that is held, asked for its views, then for its model."""
    life.open()
    life.upload("a.png")
    life.release("a.png", model=False)
    life.work_off()
    life.release("a.png", model=True)
    life.work_off()


def life_of_a_drop(life: Life) -> None:
    """Invariant 8: dropped files, good and bad, fsynced and not, become jobs."""
    life.open()
    life.drop("a.png")
    life.look()
    life.look()  # with nothing there: a spare draft is made, for the next one
    life.drop("ready.png", synced=False)
    life.look()
    life.drop("bad.txt")
    life.drop("b.png", synced=False)
    life.look()
    life.work_off(TEXTURE, GEOMETRY)


def life_of_a_cancel(life: Life) -> None:
    """Invariants 2, 9: cancelled while held, waiting and running; queued again; finished."""
    life.open()
    life.upload("held.png")
    life.submit("waiting.png")
    life.submit("running.png")
    life.cancel("held.png")
    life.cancel("waiting.png")
    life.step(trouble={"cutout": Killed()})
    life.cancel("running.png")
    life.recover()
    for name in ("held.png", "waiting.png", "running.png"):
        life.retry(name)
    life.work_off()


def life_of_trouble(life: Life) -> None:
    """Invariants 5, 6, 9: an engine that fails, a full disk, a bad job, a retry."""
    life.open()
    life.submit("a.png")
    life.submit("b.png")
    life.step(TEXTURE)
    for _ in range(3):
        life.step(trouble={"geometry": EngineError("out of memory"), "cutout": EngineError("no")})
    life.step(trouble={"cutout": OSError(errno.ENOSPC, "full"), "geometry": OSError(errno.EIO, "broken")})
    life.step(trouble={"cutout": BadJob("no picture"), "geometry": BadJob("no surface")})
    life.step(trouble={"cutout": BadJob("no picture"), "geometry": BadJob("no surface")})
    for name in ("a.png", "b.png"):
        if life.spool.find(life.ids[name]).folder == FAILED:
            life.retry(name)
    life.work_off()


def life_of_a_poison(life: Life) -> None:
    """Invariants 4, 5: a job that kills its worker each time, recovered until it is given up, then queued again."""
    life.open()
    life.submit("a.png")
    life.step(TEXTURE)
    for _ in range(3):
        life.step(trouble={"geometry": Killed()})
        life.recover()
    life.retry("a.png")
    life.work_off()


def life_of_two_workers(life: Life) -> None:
    """Invariants 2, 4: jobs that move between two workers while others arrive."""
    life.open()
    life.submit("a.png")
    life.submit("b.png")
    life.step(TEXTURE)
    life.step(GEOMETRY)
    life.tend()
    life.drop("c.png")
    life.step(TEXTURE)
    life.look()
    life.step(GEOMETRY, {"geometry": Killed()})
    life.submit("d.png", model=False)
    life.recover()
    life.work_off(TEXTURE, GEOMETRY)


def life_of_deletions(life: Life) -> None:
    """Invariants 2, 10: what rests is deleted, and stays deleted."""
    life.open()
    life.submit("a.png")
    life.upload("b.png")
    life.drop("bad.txt")
    life.look()
    life.work_off()
    for name in ("a.png", "bad.txt", "b.png"):
        life.remove(name)
    life.tend()
    life.submit("c.png")


def life_of_priorities(life: Life) -> None:
    """Invariants 1, 11: jobs that are given a priority, at once and later, and change it."""
    life.open()
    life.submit_with("a.png", HIGH)
    life.submit("b.png")
    for wanted in (LOW, HIGH, NORMAL, LOW):
        life.prioritise("b.png", wanted)
    life.prioritise("a.png", NORMAL)
    life.work_off()


LIVES: tuple[Callable[[Life], None], ...] = (
    life_of_a_submit,
    life_in_two_steps,
    life_of_a_drop,
    life_of_a_cancel,
    life_of_trouble,
    life_of_a_poison,
    life_of_two_workers,
    life_of_deletions,
    life_of_priorities,
)
