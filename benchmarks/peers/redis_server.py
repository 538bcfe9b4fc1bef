"""A Redis of one's own that loses nothing: every write is in the append-only file, and fsynced, before the answer."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import redis

from benchmarks.peers.system import NotHere, System, until
from benchmarks.peers.task import REDIS, RESULTS


class WithRedis(System):
    """A system whose queue is a Redis, reached by a socket in the file system, which is the fastest way."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.socket = folder / "redis.sock"

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise NotHere("there is no redis-server here; `apt-get install redis-server`")
        options = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", ""]
        self.run(program, *options, "--appendonly", "yes", "--appendfsync", "always")
        until(self._answers, "redis-server did not start")
        self.begin()

    def begin(self) -> None:
        """What comes after Redis: a client, and the first worker."""
        raise NotImplementedError

    def environ(self) -> dict[str, str]:
        """What the workers are told."""
        return {REDIS: str(self.socket), RESULTS: str(self.results), "PYTHONPATH": "."}

    def client(self) -> redis.Redis:
        """A connection of our own."""
        return redis.Redis(unix_socket_path=str(self.socket))

    def _answers(self) -> bool:
        try:
            return self.socket.exists() and bool(self.client().ping())
        except redis.ConnectionError:
            return False


def fresh() -> str:
    """A name for a result."""
    return uuid.uuid4().hex
