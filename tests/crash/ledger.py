"""What the service promised, and whether a spool keeps it.

A life (tests.crash.life) writes down each promise the moment it was made: "acked" when a submit returned, "begun"
when an attempt was counted. `expectations` folds what was written before the crash into what must be found after
recovery, and `violations` looks. Each picture of a life has a name of its own, which its request keeps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spool import layout, priority
from spool.errors import InvalidRequest
from spool.ids import is_job_id
from spool.job import Job
from spool.layout import DONE, FAILED, HELD, INBOX, RUNNING, TMP
from spool.priority import NORMAL
from spool.status import Status

Event = tuple[str, ...]
Whole = Callable[[Job, str], set[bytes]]
"""Given a job and a file name: every content that counts as whole."""

FILE = "a file in the inbox"
STAGES = frozenset((INBOX, layout.GEOMETRY, layout.TEXTURE))
LIVE = STAGES | {DONE, HELD}
LIMIT = 3
TORN_ALLOWED = (layout.STATUS, layout.LOG)
"""News, written without fsync: power loss may leave anything of them."""


@dataclass
class Expected:
    """Where one picture may be found, and what must be true of it."""

    where: set[str] = field(default_factory=set)
    must: bool = False
    gone: bool = False
    begun: dict[str, int] = field(default_factory=dict)
    wants: set[str] = field(default_factory=set)
    cancelled: bool = False
    retried: bool = False
    priorities: set[str] = field(default_factory=lambda: {NORMAL})


def expectations(events: Iterable[Event]) -> dict[str, Expected]:
    """Fold promises, in the order they were made, by picture name."""
    expected: dict[str, Expected] = {}
    for what, name, *details in events:
        one = expected.setdefault(name, Expected())
        if what == "submitting":
            one.where = {HELD} if details[0] == HELD else set(LIVE)
        elif what in ("acked", "dropped"):
            one.must = True
        elif what == "dropping":
            one.where = {FILE, *((FAILED,) if is_bad(name) else LIVE)}
        elif what == "taken":
            one.where -= {FILE}
        elif what == "releasing":
            one.where |= LIVE
        elif what == "released":
            one.where -= {HELD} if details[0] == "model" else set()
            one.wants.add(details[0])
        elif what in ("cancelling", "may fail"):
            one.where |= {FAILED}
        elif what == "cancelled":
            one.where = {FAILED} if details[0] == FAILED else {FAILED, *LIVE}
            one.cancelled = True
        elif what == "retrying":
            one.where |= LIVE
            one.begun, one.cancelled = {}, False
        elif what == "retried":
            one.where, one.retried = set(LIVE), True
        elif what == "prioritising":
            one.priorities.add(details[0])
        elif what == "prioritised":
            one.priorities = {details[0]}
        elif what == "removing":
            one.must = False
        elif what == "removed":
            one.gone = True
        elif what == "begun":
            one.begun[details[0]] = int(details[1])
        elif what == "refunding":
            one.begun[details[0]] = max(0, one.begun.get(details[0], 0) - 1)
        elif what == "rests":
            one.where = {details[0]}
        else:
            raise ValueError(what)
    return expected


def is_bad(name: str) -> bool:
    """Whether a picture of that name is none, so that its job must fail."""
    return name.startswith("bad")


def picture_of(name: str) -> bytes:
    """The content of the file called `name`: a whole PNG by its ends, unless the name says it is bad."""
    if is_bad(name):
        return f"{name} is only text".encode()
    return b"\x89PNG\r\n\x1a\n" + f"this is {name} ".encode() * 3 + b"\0\0\0\0IEND\xaeB`\x82"


def violations(root: Path, expected: Mapping[str, Expected], whole: Whole) -> list[str]:
    """Every promise that the recovered spool at `root` does not keep."""
    wrong: list[str] = []
    places: dict[str, list[str]] = {}
    jobs: dict[str, Job] = {}
    for folder in (*STAGES, DONE, FAILED, HELD):
        if not (root / folder).is_dir():
            continue
        for path in sorted((root / folder).iterdir()):
            if not (is_job_id(path.name) and path.is_dir()):
                if folder == INBOX and path.is_file():
                    places.setdefault(path.name, []).append(FILE)
                else:
                    wrong.append(f"{folder}/ holds {path.name}")
                continue
            try:
                job = Job.read(path)
            except (InvalidRequest, FileNotFoundError) as error:
                wrong.append(f"invariants 1, 3: the request in {folder}/{path.name} is not whole: {error}")
                continue
            places.setdefault(job.request.name, []).append(folder)
            jobs[job.request.name] = job
            if job.id != path.name:
                wrong.append(f"{folder}/{path.name} holds the request of {job.id}")
            wrong += _inside(job, folder, whole)
    wrong += _left_over(root)
    for name in {*places, *expected}:
        wrong += _kept(name, expected.get(name), places.get(name, []), jobs.get(name))
        if name in expected and name in jobs:
            wrong += _ranked(root, expected[name], jobs[name])
    return wrong


def _inside(job: Job, folder: str, whole: Whole) -> list[str]:
    wrong = []
    names = {path.name for path in job.path.iterdir()}
    for name in sorted(names - set(TORN_ALLOWED)):
        if not name.startswith(".") and (job.path / name).read_bytes() not in whole(job, name):
            # A dropped picture is as whole as the person's copy of it was: the promise begins with the fsync.
            if name == job.request.input and job.request.source == "inbox":
                continue
            wrong.append(f"invariant 3: {folder}/{job.request.name}/{name} is not whole")
    if job.request.input not in names:
        wrong.append(f"invariant 1: {folder}/{job.request.name} has lost its picture")
    if folder == DONE:
        needed = {layout.CUTOUT_PNG, layout.GEOMETRY_GLB, layout.MODEL_GLB, layout.ANALYSIS}
        needed |= set(layout.VIEWS) if job.request.views else set()
        if not needed <= names:
            wrong.append(f"invariant 3: done/{job.request.name} lacks {sorted(needed - names)}")
    if folder == FAILED and not (job.cancelled or Status.read(job.path).error):
        wrong.append(f"invariant 9: failed/{job.request.name} does not say why")
    return wrong


def _left_over(root: Path) -> list[str]:
    wrong = []
    for worker in (root / RUNNING).iterdir() if (root / RUNNING).is_dir() else ():
        wrong += [
            f"running/{worker.name} still holds {path.name}" for path in worker.iterdir() if path.is_dir()
        ]
    for path in (root / TMP).iterdir() if (root / TMP).is_dir() else ():
        if path.name.startswith(("adopt-", "gone-")):
            wrong.append(f"invariant 8: tmp/{path.name} was left over")
    return wrong


def _ranked(root: Path, expected: Expected, job: Job) -> list[str]:
    now = priority.of(root, job.id)
    if now in expected.priorities:
        return []
    return [f"invariant 11: {job.request.name} has priority {now}, not one of {sorted(expected.priorities)}"]


def _kept(name: str, expected: Expected | None, places: list[str], job: Job | None) -> list[str]:
    if expected is None:
        return [f"{name} was never sent, and lies in {places}"]
    wrong = []
    if len(places) > 1:
        wrong.append(f"invariants 2, 8: {name} lies in {places}")
    if expected.must and not places:
        wrong.append(f"invariant 1: {name} is lost")
    if expected.gone and places:
        wrong.append(f"{name} was deleted and lies in {places}")
    # Also one attempt more than was told may be on record, when the crash came before the telling.
    poisoned = job is not None and max(_attempts(job).values(), default=0) >= LIMIT
    allowed = expected.where | ({FAILED} if poisoned else set())
    if not expected.gone and set(places) - allowed:
        wrong.append(f"{name} lies in {places}, not in {sorted(allowed)}")
    if job and not expected.gone:
        wrong += _record(name, expected, job, places[0])
    return wrong


def _attempts(job: Job) -> dict[str, int]:
    """What attempts.json says; a torn one says less than was begun, which `_record` tells."""
    try:
        found: dict[str, int] = json.loads((job.path / layout.ATTEMPTS).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _record(name: str, expected: Expected, job: Job, folder: str) -> list[str]:
    wrong = []
    attempts = _attempts(job)
    for stage, count in expected.begun.items():
        if attempts.get(stage, 0) < count:
            wrong.append(f"invariant 5: {stage} of {name} was begun {count} times, {attempts} is on record")
    for wish in expected.wants:
        if not getattr(job.request, wish):
            wrong.append(f"{name} was released for its {wish}, and its request has forgotten it")
    if "views" in expected.wants and folder == HELD and not job.has(layout.VIEWS[-1]):
        wrong.append(f"{name} was released and is held")
    if expected.cancelled and folder != DONE and not job.cancelled:
        wrong.append(f"{name} was cancelled, and nothing says so")
    if expected.retried and job.cancelled and not expected.cancelled and FAILED not in expected.where:
        wrong.append(f"{name} was queued again, and would be cancelled again")
    return wrong
