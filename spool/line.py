"""The jobs that wait in a folder, in the order in which they are taken.

Two ways to look, made for folders that hold 100,000 jobs. A reader keeps the whole line, and reads it again when
the folder changed. A claimer takes from the head and needs no more than that: it reads the first thousand at a time.

A long line that changes all the time would be read all the time. So a reading of more than a hundred jobs counts for
a while, 20 times as long as it took: at most a twentieth of the time goes into reading, and what is known of 1,000
jobs may be some milliseconds old, of 100,000 a second or two. Who only tells places may ask for less still. Short
lines are always read as they are.
"""

from __future__ import annotations

import heapq
import os
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from spool import filesystem, priority
from spool.ids import is_job_id, only
from spool.priority import NORMAL

T = TypeVar("T")
SHORT = 100
"""So many jobs are read as quickly as it is found out whether they must be."""
LONG = 1000
"""So many, and no more, a claimer knows of."""
PATIENCE = 20.0
"""How many times as long as it took a reading of more than `SHORT` jobs counts."""
_KEPT = 16


@dataclass(frozen=True)
class Line:
    """The line as it was at one moment: `len`, iteration in order, and a job's position in it."""

    places: Sequence[str]
    """Sorted. A job's place is its id, but for the few with a priority."""
    moved: Mapping[str, str]
    """The id at a place, for those few."""
    at: Mapping[str, str]
    """The place of an id, for those few."""

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[str]:
        return (self.moved.get(place, place) for place in self.places) if self.moved else iter(self.places)

    def position(self, job_id: str) -> int:
        """How many are taken before this job."""
        return bisect_left(self.places, self.at.get(job_id, job_id))


@dataclass(frozen=True)
class _Reading(Generic[T]):
    stamp: tuple[int, int]
    settled: bool
    began: float
    is_long: bool
    good_until: float
    told: T


def line_in(root: Path, folder: str, at_least: float = 0.0) -> Line:
    """The line in `folder`, read again only where it changed.

    A reading of more than `SHORT` jobs counts for `at_least` so many seconds.
    """
    return _kept_reading(_lines, root, folder, _read, len, at_least)


def how_many(root: Path, folder: str) -> int:
    """How many jobs lie in `folder`, counted again only where it changed, and remembered as a number only."""
    return _kept_reading(_counts, root, folder, count_in, int)


def _kept_reading(
    kept: dict[tuple[Path, str], _Reading[T]],
    root: Path,
    folder: str,
    look: Callable[[Path, str], T],
    length: Callable[[T], int],
    at_least: float = 0.0,
) -> T:
    known = kept.get((root, folder))
    began = time.monotonic()
    if known and known.is_long and began < max(known.good_until, known.began + at_least):
        return known.told  # whatever changed meanwhile: it need not be asked
    # These times are read before the names, and so are never newer than they are.
    stamp = (os.stat(f"{root}/{folder}").st_mtime_ns, priority.changed_at(root))  # noqa: PTH116 (each status asks)
    if known and known.settled and known.stamp == stamp:
        return known.told
    now = time.time_ns()
    told = look(root, folder)
    cost = time.monotonic() - began
    if len(kept) >= _KEPT:
        kept.clear()
    settled, is_long = filesystem.is_past(max(stamp), now), length(told) > SHORT
    kept[root, folder] = _Reading(stamp, settled, began, is_long, began + (1 + PATIENCE) * cost, told)
    return told


_lines: dict[tuple[Path, str], _Reading[Line]] = {}
_counts: dict[tuple[Path, str], _Reading[int]] = {}


def _read(root: Path, folder: str) -> Line:
    ids = only(os.listdir(root / folder))
    marks = priority.marked(root)
    if not marks:
        return Line(sorted(ids), {}, {})
    at = {job_id: priority.place(job_id, wanted) for job_id, wanted in marks.items()}
    moved = {place: job_id for job_id, place in at.items()}
    return Line(sorted(at.get(job_id, job_id) for job_id in ids), moved, at)


class Head:
    """The front of the line in one folder, for one who claims from it again and again."""

    def __init__(self, root: Path, folder: str) -> None:
        self._root = root
        self._folder = folder
        self._next: deque[str] = deque()
        self._good_until = 0.0

    def __iter__(self) -> Iterator[str]:
        """The jobs to try, in order. What is given out is not given out again before the line is read anew."""
        fresh = time.monotonic() >= self._good_until
        if fresh:
            self._read()
        while True:
            while self._next:
                yield self._next.popleft()
            if fresh:
                return
            self._read()
            fresh = True

    def _read(self) -> None:
        began = time.monotonic()
        self._next = deque(first_in(self._root, self._folder, LONG))
        cost = time.monotonic() - began
        self._good_until = began + (1 + PATIENCE) * cost if len(self._next) > SHORT else 0.0


def first_in(root: Path, folder: str, count: int) -> list[str]:
    """The first `count` of the line in `folder`, with memory for no more than those."""
    marks = priority.marked(root)
    with os.scandir(f"{root}/{folder}") as entries:
        ids = (entry.name for entry in entries if is_job_id(entry.name))
        if not marks:
            return heapq.nsmallest(count, ids)
        return heapq.nsmallest(count, ids, lambda job_id: priority.place(job_id, marks.get(job_id, NORMAL)))


def count_in(root: Path, folder: str, most: int | None = None) -> int:
    """How many jobs lie in a folder; with `most`, counted up to that, which looks at no more than it takes."""
    with os.scandir(f"{root}/{folder}") as entries:
        ids = (entry.name for entry in entries if is_job_id(entry.name))
        return sum(1 for _ in islice(ids, most))
