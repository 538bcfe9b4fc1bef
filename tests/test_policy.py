"""Who leaves jobs to whom: the rule alone, in every order of events that simulated devices can bring about."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from daemon.pace import Pace
from spool import lock, policy
from spool.board import BUSY, IDLE, Board, Slot
from spool.policy import leaves_to_faster
from spool.tally import ENOUGH, Tally


@pytest.mark.parametrize(
    ("mine", "others", "waiting", "leaves"),
    [
        (60, [10], 5, True),  # after its present one, five more within the minute
        (60, [10], 6, False),
        (60, [10, 20], 7, True),
        (60, [10, 20], 8, False),
        (60, [31], 1, False),  # after its present one it would be no sooner
        (60, [], 1, False),
        (60, [10], 0, False),  # nothing to leave
        (10, [60], 1, False),  # the fast one leaves nothing to the slow one
        (10, [10, 10, 10], 1, False),  # and those that are as fast leave each other nothing
    ],
)
def test_when_the_last_jobs_are_left(mine: float, others: list[float], waiting: int, leaves: bool) -> None:
    assert leaves_to_faster(mine, others, waiting) is leaves


def _ends(seconds: list[float], jobs: int, *, polite: bool) -> list[float]:
    """When each job ends where devices take them as the rule says (`polite`), or whenever they are free."""
    free = [0.0] * len(seconds)
    ends: list[float] = []
    now = 0.0
    while jobs:
        for at in sorted(range(len(seconds)), key=lambda at: seconds[at], reverse=True):  # the worst order
            others = [other for index, other in enumerate(seconds) if index != at]
            if free[at] <= now and jobs and not (polite and leaves_to_faster(seconds[at], others, jobs)):
                jobs -= 1
                free[at] = now + seconds[at]
                ends.append(free[at])
        later = [moment for moment in free if moment > now]
        now = min(later) if later else now
    return sorted(ends)


def test_the_last_job_ends_sooner_where_slow_devices_leave_it() -> None:
    """Whoever leaves jobs cannot know that those it counts on will leave them too. That costs little, seldom."""
    chance = random.Random(3)
    sooner, later = 0, []
    for _ in range(2000):
        seconds = [
            chance.choice((1.0, 2.0, 5.0, 20.0)) * chance.uniform(0.8, 1.2)
            for _ in range(chance.randint(1, 5))
        ]
        jobs = chance.randint(1, 30)
        polite, greedy = _ends(seconds, jobs, polite=True), _ends(seconds, jobs, polite=False)
        assert len(polite) == len(greedy) == jobs
        sooner += polite[-1] < greedy[-1] - 1e-9
        later += [polite[-1] / greedy[-1]] if polite[-1] > greedy[-1] + 1e-9 else []
    assert sooner > 1000
    assert len(later) < 20 and max(later, default=1) < 1.1


def _told(root: Path, worker: str, seconds: float, count: int = ENOUGH) -> Tally:
    tally = Tally(root, worker)
    for _ in range(count):
        tally.stage("geometry", seconds)
    tally.settle()
    return tally


def _board(root: Path, *states: tuple[str, str]) -> None:
    slots = [
        Slot(name, "geometry", "cpu", ("geometry",), state, None, None, 1, 0, 0.0, None, 0)
        for name, state in states
    ]
    Board(1, "now", "sphere", None, (), tuple(slots)).write(root)


def test_a_worker_knows_the_others_by_board_and_tally(tmp_path: Path) -> None:
    held = lock.take(tmp_path)
    assert held
    mine = _told(tmp_path, "slow", 50.0)
    _told(tmp_path, "fast", 5.0)
    _board(tmp_path, ("slow", IDLE), ("fast", BUSY))
    pace = Pace(tmp_path, "slow", mine, lambda folder: 3)
    assert pace.leaves("geometry") and pace.leaving
    assert not pace.leaves("texture")  # of which nothing was measured
    assert not Pace(tmp_path, "fast", Tally(tmp_path, "fast"), lambda folder: 3).leaves("geometry")
    assert not Pace(tmp_path, "slow", mine, lambda folder: 10).leaves("geometry")
    _board(tmp_path, ("slow", IDLE), ("fast", "restarting"))
    assert not Pace(tmp_path, "slow", mine, lambda folder: 3).leaves("geometry")


def test_a_few_stages_say_nothing_yet(tmp_path: Path) -> None:
    held = lock.take(tmp_path)
    assert held
    _told(tmp_path, "fast", 5.0, ENOUGH - 1)
    mine = _told(tmp_path, "slow", 50.0)
    _board(tmp_path, ("slow", IDLE), ("fast", IDLE))
    assert not Pace(tmp_path, "slow", mine, lambda folder: 1).leaves("geometry")


def test_nobody_waits_longer_for_others_than_a_job_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = lock.take(tmp_path)
    assert held
    now = 1000.0
    monkeypatch.setattr("daemon.pace.time.monotonic", lambda: now)
    mine = _told(tmp_path, "slow", 50.0)
    _told(tmp_path, "fast", 5.0)
    _board(tmp_path, ("slow", IDLE), ("fast", BUSY))
    pace = Pace(tmp_path, "slow", mine, lambda folder: 1)
    assert pace.leaves("geometry")
    now += 49
    assert pace.leaves("geometry")
    now += 2
    assert not pace.leaves("geometry")  # the fast one was not what it seemed


def test_how_many_do_a_stage_is_what_the_board_says(tmp_path: Path) -> None:
    held = lock.take(tmp_path)
    assert held
    _board(tmp_path, ("a", IDLE), ("b", BUSY), ("c", "restarting"))
    pace = Pace(tmp_path, "a", Tally(tmp_path, "a"), lambda folder: 0)
    assert pace.workers_for("geometry", 1) == 2
    assert pace.workers_for("texture", 1) == 1  # as it was told at its start


def test_an_old_tally_is_read(tmp_path: Path) -> None:
    tally = _told(tmp_path, "w", 1.0)
    file = tmp_path / "tally" / "w.json"
    value = json.loads(file.read_bytes())
    del value["stages"]["geometry"]["recent"]
    file.write_text(json.dumps(value))
    old = Tally(tmp_path, "w")
    assert old.stages["geometry"].total == tally.stages["geometry"].total
    assert old.usual("geometry") is None
    assert policy.rest_after(1) > 0
