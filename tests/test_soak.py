"""The quick forms of `make soak` and `make orphans`, and what happens when file events are lost or not to be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spool import layout
from tests.service import ROOT
from tests.soak.orphans import rounds
from tests.soak.run import Soak
from tests.support import until

pytestmark = pytest.mark.service


def test_a_short_soak_loses_nothing(tmp_path: Path) -> None:
    """Workers and supervisor killed, stopped, aborted; reloads, clocks set, events overflowed, engines that err."""
    soak = Soak(tmp_path, 45, seed=5, every=6, mischief=0.003)
    soak.patience = 10.0
    soak.least = 3
    print(soak.run(600))
    assert soak.strikes.total() >= 3


def test_a_supervisor_killed_in_its_start_leaves_no_orphan(tmp_path: Path, u2net_home: Path) -> None:
    tally = rounds(tmp_path, u2net_home, 6, seed=7, work_share=0.2)
    print(tally)
    assert tally.orphans == 0
    assert tally.working >= 1 and tally.starting >= 1
    assert tally.processes >= 6 + 3  # at work it has two workers and a server beside it


def test_an_overflowing_event_queue_costs_no_job(tmp_path: Path) -> None:
    soak = Soak(tmp_path, 20, seed=1, mischief=0)
    try:
        until(lambda: soak.keep_running() and soak.is_ready(), 120)
        soak.overflow()
        assert soak.strikes["event overflow"] == 1
        until(lambda: soak.census.look() == 20, 240)
        assert not list((soak.spool.root / layout.INBOX).iterdir())
        assert "Inotify queue overflowed" in soak.log_text()  # it happened: events were really lost
    finally:
        soak.stop()


def test_a_kernel_that_gives_no_events_costs_no_job(tmp_path: Path) -> None:
    """In a user namespace whose limit of inotify instances is 0, the scans do all the work."""
    if not shutil.which("unshare"):
        pytest.skip("unshare is not here")
    limit = "/proc/sys/user/max_inotify_instances"
    code = f"from tests.test_soak import without_events; without_events({str(tmp_path)!r})"
    script = f'echo 0 > {limit} || exit 77; cd {ROOT} && exec {sys.executable} -c "{code}"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HOME": str(tmp_path)})
    if ended.returncode == 77 or "unshare failed" in ended.stderr:
        pytest.skip(f"no user namespace can be made here: {ended.stderr}")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def without_events(folder: str) -> None:
    soak = Soak(Path(folder), 10, seed=1, mischief=0)
    try:
        until(lambda: soak.keep_running() and soak.is_ready(), 120)
        soak.submit(10)
        until(lambda: soak.census.look() == 10, 240)
        # The supervisor and each of the four workers say so; the jobs may be done before the last one does.
        until(lambda: soak.log_text().count("no file events") >= 5, 120)
    finally:
        soak.stop()
