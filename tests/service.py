"""The real service, started as an operator would start it, on a spool of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from spool.board import Board
from spool.spool import Spool
from spool.view import look
from tests.support import until

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """One `protoscale run`."""

    def __init__(self, root: Path, u2net_home: Path, *options: str, **environ: str) -> None:
        self.spool = Spool(root)
        self.port = free_port()
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(root.parent),
            "PROTOSCALE_SPOOL": str(root),
            "PROTOSCALE_PORT": str(self.port),
            "PROTOSCALE_RESERVE": "1M",
            "PROTOSCALE_QUALITY": "draft",
            "U2NET_HOME": str(u2net_home),
            **environ,
        }
        self.options = options
        self.log = root.parent / "service.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, ready: bool = True) -> None:
        """Start it; with `ready`, wait until every worker is."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daemon.cli", "run", *self.options],
                env=self.environ,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        if ready:
            until(self.is_ready, 60)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        board = self.board()
        return board is not None and all(slot.state in ("idle", "busy") for slot in board.workers)

    def board(self) -> Board | None:
        return Board.read(self.spool.root)

    def pid(self, worker: str) -> int:
        """The process that fills a post now."""

        def found() -> int | None:
            board = self.board()
            return next((slot.pid for slot in board.workers if slot.name == worker), None) if board else None

        return until(lambda: found() or 0)

    def hit(self, worker: str, number: signal.Signals) -> bool:
        """Signal whoever fills a post now; False where it died since the board was written."""
        try:
            os.kill(self.pid(worker), number)
        except ProcessLookupError:
            return False
        return True

    def drop(self, content: bytes, name: str = "photo.png") -> None:
        (self.spool.root / "inbox" / name).write_bytes(content)

    def finished(self, job_id: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until a job is completed or failed, and tell it."""

        def ended() -> dict[str, Any] | None:
            told = look(self.spool, job_id)
            return told if told["status"] in ("completed", "failed") else None

        return until(lambda: ended() or {}, seconds)

    def children(self) -> list[psutil.Process]:
        assert self.process is not None
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []  # it died since we looked

    def web(self) -> psutil.Process:
        """The HTTP server it runs; children that die while we look are passed over."""

        def found() -> psutil.Process | None:
            for child in self.children():
                with suppress(psutil.NoSuchProcess):
                    if "httpd" in child.cmdline():
                        return child
            return None

        child = until(found)
        assert child
        return child

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it, wait for its end, and make sure that nothing of it is left."""
        assert self.process is not None
        children = self.children() if self.process.poll() is None else []
        self.process.send_signal(number)
        code = self.process.wait(60)
        until(lambda: not [child for child in children if alive(child)], 10)
        return code


def marked(name: str, value: object) -> set[int]:
    """The processes that live with this in their environment, whoever their parent is by now; a zombie's is empty."""
    mark = f"{name}={value}".encode()
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with suppress(OSError):
                if mark in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    found.add(int(entry))
    return found


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def running(root: Path, u2net_home: Path, *options: str, **environ: str) -> Iterator[Service]:
    """A ready service that is killed at the end, whatever happened."""
    service = Service(root, u2net_home, *options, **environ)
    try:
        service.start()
        yield service
    finally:
        if service.process and service.process.poll() is None:
            service.process.kill()
            service.process.wait()
