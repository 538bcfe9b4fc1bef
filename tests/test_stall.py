"""When a worker counts as hung: by progress, by stage, on the monotonic clock, and never for time nobody saw."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from daemon.child import Crew
from daemon.devices import GEOMETRY_STAGES, Post
from daemon.service_record import ServiceRecord
from daemon.stall import IDLE_GRACE, START_LIMIT, Stalls
from spool.ids import new_id
from tests.support import config


class Watched:
    """A worker that is looked at some seconds after its last sign of life."""

    def __init__(self, folder: Path) -> None:
        self.settings = config(folder, PROTOSCALE_STEP_LIMIT="300,geometry=900", PROTOSCALE_SCAN_EVERY="5")
        self.stalls = Stalls(self.settings)
        self.crew = Crew(self.settings, Post("geometry-cpu", "cpu", GEOMETRY_STAGES), 1, ServiceRecord("cpu"))

    def hung(self, after: float, *, overdue: bool = False) -> str | None:
        return self.stalls._reason(self.crew, time.monotonic() + after, overdue)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@pytest.mark.parametrize(("stage", "limit"), [("cutout", 300), ("geometry", 900), ("texture", 300)])
def test_each_stage_has_its_own_limit(watched: Watched, stage: str, limit: float) -> None:
    watched.crew.pulse.ready()
    watched.crew.pulse.begin(new_id(), stage)
    assert watched.hung(limit - 200) is None
    told = watched.hung(limit + 5)
    assert told is not None and f"in {stage} (limit {limit} s)" in told


def test_starting_and_idle_workers_are_watched_too(watched: Watched) -> None:
    watched.crew.pulse.reset()
    assert watched.hung(START_LIMIT - 200) is None
    assert "while it started" in (watched.hung(START_LIMIT + 5) or "")
    watched.crew.pulse.ready()
    assert watched.hung(5) is None
    assert "while it was idle" in (watched.hung(IDLE_GRACE + 10) or "")


def test_a_supervisor_that_was_frozen_itself_blames_nobody(watched: Watched) -> None:
    watched.crew.pulse.ready()
    watched.crew.pulse.begin(new_id(), "geometry")
    watched.crew.pulse._numbers[2] -= 5000.0  # the last step was long ago, as seen after a long freeze
    assert watched.hung(0) is not None
    watched.stalls.forgive()
    assert watched.hung(0) is None
    assert watched.hung(905) is not None  # but from now on it must move


@pytest.mark.parametrize("jump", [86400.0, -86400.0, 365 * 86400.0, -365 * 86400.0])
def test_a_wall_clock_that_jumps_hangs_nobody_and_hides_nobody(
    watched: Watched, jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.crew.pulse.ready()
    watched.crew.pulse.begin(new_id(), "geometry")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert watched.hung(5) is None
    watched.crew.pulse.step()
    assert watched.hung(905) is not None


def test_who_outlives_the_drain_is_ended_whatever_it_does(watched: Watched) -> None:
    watched.crew.pulse.ready()
    assert "drain" in (watched.hung(0, overdue=True) or "")
