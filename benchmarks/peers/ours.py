"""ProtoScale itself, with stages that do nothing: photos renamed into the inbox, or posted."""

from __future__ import annotations

import http.client
import os
from pathlib import Path

from benchmarks.form import post
from benchmarks.noop import SLEEP
from benchmarks.peers.system import System, kill, until
from spool.board import Board
from spool.spool import Spool

WORKER = "all-cpu"


class Ours(System):
    """A supervisor and one worker for all three stages."""

    name = "ProtoScale, renamed into the inbox"
    setting = "as it comes: there is nothing to choose"
    ways: tuple[str, ...] = ()
    http = "false"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.spool = Spool.open(folder / "spool")
        self.results = self.spool.root / "done"
        self._ready: list[Path] = []
        self._made = 0

    def start(self) -> None:
        from tests.service import free_port

        self.port = free_port()
        self.python(
            "-m",
            "benchmarks.noop",
            *self.ways,
            **{
                "PROTOSCALE_SPOOL": str(self.spool.root),
                "PROTOSCALE_PORT": str(self.port),
                "PROTOSCALE_HTTP": self.http,
                "PROTOSCALE_LOG_LEVEL": "warning",
                "PROTOSCALE_RESERVE": "1M",
                "GEOMETRY_DEVICE": "cpu",
                "TEXTURE_DEVICE": "cpu",
                "ENGINE": "silhouette",
                SLEEP: str(self.folder / "sleep"),
            },
        )
        until(self._is_ready, f"ProtoScale did not start: {self.said()}")

    def _is_ready(self) -> bool:
        board = Board.read(self.spool.root)
        return bool(board and all(slot.state in ("idle", "busy") for slot in board.workers))

    def prepare(self, photo: bytes) -> None:
        """The photo, beside the inbox: what is measured begins with its rename."""
        self._made += 1
        path = self.folder / f"photo-{self._made}.jpg"
        path.write_bytes(photo)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        self._ready.append(path)

    def submit(self, photo: bytes, seconds: float = 0.0) -> None:
        self._sleep(seconds)
        if not self._ready:
            self.prepare(photo)
        path = self._ready.pop(0)
        path.rename(self.spool.root / "inbox" / path.name)

    def _sleep(self, seconds: float) -> None:
        file = self.folder / "sleep"
        if seconds:
            file.write_text(str(seconds))
        elif file.exists():
            file.unlink()

    def strike(self) -> None:
        board = Board.read(self.spool.root)
        assert board
        import psutil

        kill(
            [psutil.Process(slot.pid) for slot in board.workers if slot.pid]
        )  # the supervisor starts another


class OursPosted(Ours):
    """The same with its HTTP server: the clock starts with the request."""

    name = "ProtoScale, POST"
    http = "true"

    def start(self) -> None:
        super().start()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        until(self._answers, f"the HTTP server did not start: {self.said()}")

    def _answers(self) -> bool:
        try:
            self.connection.request("GET", "/health")
            return self.connection.getresponse().read() != b""
        except OSError:
            self.connection.close()
            return False

    def prepare(self, photo: bytes) -> None:
        """A connection of its own for each job or burst: a server closes those that were silent for a while."""
        self.connection.close()

    def submit(self, photo: bytes, seconds: float = 0.0) -> None:
        self._sleep(seconds)
        post(self.connection, photo, start="true")


class OursDecoding(Ours):
    """The same with the photo decoded in a confined process, as the real cutout does it."""

    name = "ProtoScale, photo decoded"
    ways = ("decode",)
