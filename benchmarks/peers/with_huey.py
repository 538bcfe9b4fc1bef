"""Huey on SQLite and on files: no server beside the worker."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from huey import FileHuey, SqliteHuey

from benchmarks.peers.redis_server import fresh
from benchmarks.peers.system import System, kill, tree
from benchmarks.peers.task import RESULTS, work

KIND, STORE = "BENCH_HUEY", "BENCH_STORE"
HUEYS: dict[str, Callable[[str], Any]] = {
    "sqlite": lambda path: SqliteHuey("bench", filename=f"{path}.db", fsync=True, results=False),
    "file": lambda path: FileHuey("bench", path=path, results=False),
}

if KIND in os.environ:
    huey = HUEYS[os.environ[KIND]](os.environ[STORE])
    huey.task(name="work")(work)


class OnHuey(System):
    """`huey_consumer --workers 1` with a process for a worker."""

    kind: str

    def start(self) -> None:
        made = HUEYS[self.kind](str(self.folder / "store"))
        self.task = made.task(name="work")(work)
        self._start_worker()

    def _start_worker(self) -> None:
        command = ["-m", "huey.bin.huey_consumer", "benchmarks.peers.with_huey.huey"]
        self.worker = self.python(
            *command,
            *("--workers", "1", "--worker-type", "process", "--quiet"),
            # The safest and the quickest there is: looked for ten times a second at most, a hundred at least.
            *("--delay", "0.01", "--backoff", "1.15", "--max-delay", "0.1", "--no-periodic"),
            **{
                KIND: self.kind,
                STORE: str(self.folder / "store"),
                RESULTS: str(self.results),
                "PYTHONPATH": ".",
            },
        )

    def submit(self, photo: bytes, seconds: float = 0.0) -> None:
        self.task(fresh(), photo, seconds)

    def strike(self) -> None:
        kill(tree(self.worker))
        self._start_worker()


class OnHueySqlite(OnHuey):
    name = "Huey, SQLite"
    kind = "sqlite"
    setting = "fsync=True"


class OnHueyFile(OnHuey):
    name = "Huey, files"
    kind = "file"
    setting = "it never fsyncs"
