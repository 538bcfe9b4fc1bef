"""How fast the devices are, by what each measured of itself, and whether a slow one leaves the last jobs to them.

The rule is `policy.leaves_to_faster`; this looks up what it is about. A worker knows the others by what the
supervisor tells readers (who works) and by their tallies (how long it took them).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from spool import policy
from spool.board import BUSY, IDLE, Board, slots_of
from spool.layout import STAGE_OF_FOLDER
from spool.tally import Tally

FRESH = 2.0
"""Seconds for which what was looked up is believed."""


class Pace:
    """What one worker knows of the others. `count` says how many jobs wait in a folder."""

    def __init__(self, root: Path, worker: str, tally: Tally, count: Callable[[str], int]) -> None:
        self._root = root
        self._worker = worker
        self._tally = tally
        self._count = count
        self._others: dict[str, list[float]] = {}
        self._at_work: Counter[str] = Counter()
        self._looked = float("-inf")
        self._leaving: dict[str, float] = {}

    def leaves(self, folder: str) -> bool:
        """Whether to claim nothing from `folder` now.

        Never for longer than a job would take here: if it still waits then, the others were not what they seemed.
        """
        stage = STAGE_OF_FOLDER[folder].name
        mine = self._tally.usual(stage)
        if mine is None or not self._is_left(folder, mine, self._seconds(stage)):
            self._leaving.pop(folder, None)
            return False
        since = self._leaving.setdefault(folder, time.monotonic())
        return time.monotonic() - since < mine

    def _is_left(self, folder: str, mine: float, others: list[float]) -> bool:
        # A folder is counted only where somebody is faster: each claim asks.
        return min(others, default=mine) < mine and policy.leaves_to_faster(mine, others, self._count(folder))

    @property
    def leaving(self) -> bool:
        """Whether some job was left to others at the last look."""
        return bool(self._leaving)

    def workers_for(self, stage: str, at_least: int) -> int:
        """How many workers do that stage now: where there is a cluster, they come and go."""
        self._refresh()
        return max(at_least, self._at_work.get(stage, 0))

    def _seconds(self, stage: str) -> list[float]:
        """What the others take for it."""
        self._refresh()
        return self._others.get(stage, [])

    def _refresh(self) -> None:
        if time.monotonic() - self._looked < FRESH:
            return
        self._looked = time.monotonic()
        slots = [slot for slot in slots_of(Board.read(self._root)) if slot.state in (IDLE, BUSY)]
        self._at_work = Counter(stage for slot in slots for stage in slot.stages)
        self._others = {}
        for slot in slots:
            tally = Tally(self._root, slot.name) if slot.name != self._worker else None
            for stage in slot.stages if tally else ():
                if tally and (seconds := tally.usual(stage)):
                    self._others.setdefault(stage, []).append(seconds)
