"""What every system that is measured can do: start, take a photo, show its results in a folder, be killed, stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
POLL = 0.0002
"""Seconds between two looks at a folder of results: the same for every system."""


class NotHere(Exception):
    """A system that cannot be run on this machine; the message says why."""


class System(ABC):
    """One way to get a photo through one worker."""

    name: str
    setting = ""
    """What was set to make it as safe as it can be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True)
        self.results = folder / "results"
        self.results.mkdir()
        self.cleared = folder / "cleared"
        self.cleared.mkdir()
        self._cleared = 0
        self.children: list[subprocess.Popen[bytes]] = []

    @abstractmethod
    def start(self) -> None:
        """Have everything running and ready."""

    @abstractmethod
    def submit(self, photo: bytes, seconds: float = 0.0) -> None:
        """Hand one photo over; when this returns, it is accepted. `seconds` is how long the job sleeps."""

    @abstractmethod
    def strike(self) -> None:
        """kill -9 the worker in the middle of a job, and start what a service manager would start again."""

    def prepare(self, photo: bytes) -> None:  # noqa: B027 (most have nothing to do)
        """What a client does before the clock starts."""

    def count(self) -> int:
        """How many results are there."""
        return len(os.listdir(self.results))

    def clear(self) -> None:
        """Take the results away, so that looking at them stays cheap.

        They are not deleted: for minutes ext4 gives no inode anew that was just freed, and looks through all of them
        for each file that is made. What one turn deleted, the next one paid.
        """
        for name in os.listdir(self.results):
            self._cleared += 1
            (self.results / name).rename(self.cleared / str(self._cleared))

    def wait_for(self, count: int, seconds: float = 60.0) -> bool:
        """Wait until so many results are there; False when time is up."""
        deadline = time.monotonic() + seconds
        while self.count() < count:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL)
        return True

    def cpu_seconds(self) -> float:
        """CPU time of all its processes since they began, ended children included."""
        return sum(_cpu(process) for process in self.processes())

    def processes(self) -> list[psutil.Process]:
        """Everything that runs for it now."""
        found: dict[int, psutil.Process] = {}
        for child in self.children:
            with contextlib.suppress(psutil.NoSuchProcess):
                root = psutil.Process(child.pid)
                for process in (root, *root.children(recursive=True)):
                    found[process.pid] = process
        return list(found.values())

    def run(self, *command: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start a process of this system; what it says goes to a file in its folder."""
        with (self.folder / "log").open("ab") as log:
            child = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environ},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.children.append(child)
        return child

    def python(self, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start a Python process of this system."""
        return self.run(sys.executable, *arguments, **environ)

    def stop(self) -> None:
        """End everything, and wait for it."""
        processes = self.processes()
        for child in reversed(self.children):
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
        gone = time.monotonic() + 10
        for child in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.1, gone - time.monotonic()))
        kill(processes)
        for child in self.children:
            child.wait()

    def said(self) -> str:
        """The end of what its processes said."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "log").read_text(errors="replace")[-2000:]
        return ""


def kill(processes: Sequence[psutil.Process]) -> None:
    """kill -9 them all."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=10)


def tree(child: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """A process and all below it."""
    root = psutil.Process(child.pid)
    return [root, *root.children(recursive=True)]


def until(what: Callable[[], object], why: str, seconds: float = 60.0) -> None:
    """Wait for something. Raises NotHere with `why` when time is up."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise NotHere(why)
        time.sleep(0.02)


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
