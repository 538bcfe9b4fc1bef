"""The small parts between processes: the lock, the pulse, the bell, the watchdog."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from daemon.child import Backoff
from daemon.pulse import Pulse
from daemon.supervisor import Supervisor
from daemon.wake import Wake, watch
from spool import lock
from spool.board import Board
from spool.errors import SpoolUnusable
from spool.ids import new_id
from spool.notify import Systemd
from spool.spool import Spool
from tests.ear import Ear
from tests.support import config, until


def test_the_lock_is_held_by_one_and_given_back_by_the_kernel(tmp_path: Path) -> None:
    assert not lock.is_held(tmp_path)
    held = lock.take(tmp_path)
    assert lock.is_held(tmp_path)
    with pytest.raises(SpoolUnusable, match="another supervisor"):
        lock.take(tmp_path, patience=0.05)
    os.close(held)
    take = "lock.take(pathlib.Path(sys.argv[1]))"
    code = f"import sys, pathlib, spool.lock as lock; {take}; print(1, flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path.cwd(),
    )
    with holder:
        assert holder.stdout and holder.stdout.readline()
        assert lock.is_held(tmp_path)
        holder.send_signal(signal.SIGKILL)
    assert not lock.is_held(tmp_path)


def test_a_board_left_behind_by_a_dead_supervisor_is_not_believed(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    board = Board(1, "2026-01-01", "sphere", None, (), ())
    board.write(spool.root)
    assert Board.read(spool.root) is None
    held = lock.take(spool.root)
    assert Board.read(spool.root) == board
    os.close(held)


def test_a_pulse_tells_who_works_at_what_and_since_when_it_got_no_further() -> None:
    pulse = Pulse()
    assert pulse.job is None
    job_id = new_id()
    began = time.monotonic()
    pulse.begin(job_id, "geometry")
    assert pulse.is_busy
    assert [pulse.job, pulse.stage] == [job_id, "geometry"]
    now = time.monotonic()
    assert 98 < pulse.silence(now + 99) < 100 + now - began
    pulse.end()
    pulse.finish()
    assert [pulse.job, pulse.stage] == [None, None]
    assert (pulse.jobs, pulse.finished) == (1, 1)
    # An idle worker is watched too: its loop beats.
    assert pulse.silence(time.monotonic() + 50) > 49
    pulse.beat()
    assert pulse.silence(time.monotonic()) < 40


def test_a_pulse_of_a_dead_worker_still_tells_its_job_until_the_next_one_starts() -> None:
    pulse = Pulse()
    job_id = new_id()
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_die_at_work, args=(pulse, job_id))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert (pulse.job, pulse.stage) == (job_id, "texture")
    pulse.reset()
    assert pulse.job is None


def _die_at_work(pulse: Pulse, job_id: str) -> None:
    pulse.begin(job_id, "texture")
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_bell_ends_a_wait_from_a_thread_and_from_a_signal() -> None:
    wake = Wake()
    began = time.monotonic()
    threading.Timer(0.05, wake.ring).start()
    wake.wait(20)
    caught: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: caught.append(number))
    wake.on_signals()
    threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
    wake.wait(20)
    signal.signal(signal.SIGUSR1, before)
    wake.close()
    assert caught == [signal.SIGUSR1]
    assert time.monotonic() - began < 15


def test_a_ring_before_the_wait_is_not_lost() -> None:
    wake = Wake()
    for _ in range(100_000):  # more than the pipe holds
        wake.ring()
    began = time.monotonic()
    wake.wait(20)
    wake.wait(0.01)
    assert time.monotonic() - began < 15
    wake.close()


def test_jobs_end_a_workers_wait_and_dropped_files_do_not(tmp_path: Path) -> None:
    """In the folder that says whether the queue is paused, everything counts."""
    inbox, queue, aside = (tmp_path / name for name in ("inbox", "queue", "aside"))
    for folder in (inbox, queue, aside):
        folder.mkdir()
    wake = Wake()
    wake.on_arrivals([inbox], queue)

    def is_woken_by(name: str, folder: Path, within: float) -> bool:
        (aside / name).rename(folder / name)
        began = time.monotonic()
        wake.wait(within)
        return time.monotonic() - began < 0.9 * within

    (aside / "photo.jpg").write_bytes(b"a photo")
    (aside / "paused.json").write_bytes(b"{}")
    (aside / "job").mkdir()
    assert not is_woken_by("photo.jpg", inbox, 1)
    assert is_woken_by("job", inbox, 20)
    assert is_woken_by("paused.json", queue, 20)
    wake.close()


def test_file_events_name_what_was_closed_or_moved_in(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    heard: list[str] = []
    observer = watch([tmp_path / "in"], lambda path: heard.append(path.name))
    assert observer is not None
    (tmp_path / "in" / "written").write_text("x")
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved").rename(tmp_path / "in" / "moved")
    until(lambda: {"written", "moved"} <= set(heard))
    observer.stop()
    observer.join()


def test_a_child_that_keeps_dying_waits_longer_each_time_up_to_a_minute() -> None:
    backoff = Backoff()
    pauses = []
    for _ in range(12):
        backoff.born()
        backoff.died()
        pauses.append(round(backoff.due - time.monotonic(), 1))
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.2 and 59 < pauses[-1] <= 60


def test_the_watchdog_is_fed_by_a_turn_that_no_read_of_the_disk_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ear: Ear
) -> None:
    """The supervisor lives; to be killed for the disk's sake would take the running jobs along."""

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    systemd = Systemd({**ear.environ, "WATCHDOG_USEC": "30000000"})
    supervisor = Supervisor(config(tmp_path / "spool"), systemd, with_http=False)
    for part in ("take_in", "sweep", "tell"):
        monkeypatch.setattr(supervisor, part, broken)
    monkeypatch.setattr(supervisor, "start_due", lambda: None)
    supervisor.wake.ring()
    supervisor.step()
    supervisor.wake.close()
    assert ear.heard()[0] == "WATCHDOG=1"
