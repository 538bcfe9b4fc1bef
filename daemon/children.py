"""All children of the supervisor together: the workers' crews and, where there is one, the HTTP server."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon.child import Crew, WebServer


@dataclass(frozen=True)
class Children:
    """`crews` is the supervisor's own list, to which devices of other machines come and from which they go."""

    crews: Sequence[Crew]
    web: WebServer | None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to everybody who runs."""
        for crew in self.crews:
            crew.signal(number)
        if self.web:
            self.web.signal(number)

    def replace(self) -> None:
        """Have everybody end for a fresh one: a worker after its running stage, the server with its open requests."""
        for crew in self.crews:
            # One that is not ready yet has nothing to finish, and listens to nothing else.
            crew.signal(signal.SIGHUP if crew.pulse.is_ready else signal.SIGTERM)
        if self.web:
            self.web.replace()

    def start_due(self, must_wait: Callable[[str], bool]) -> None:
        """Fill empty posts whose pause is over, less those, by name, that `must_wait`."""
        now = time.monotonic()
        # First, since it imports least: people may upload while the workers import.
        if self.web and not self.web.running and now >= self.web.backoff.due:
            self.web.start()
        for crew in self.crews:
            if crew.pid is None and now >= crew.due and not must_wait(crew.post.name):
                crew.start()

    @property
    def running(self) -> bool:
        """Whether anybody runs."""
        return any(crew.pid is not None for crew in self.crews) or bool(self.web and self.web.running)

    @property
    def sentinels(self) -> list[int]:
        """Descriptors that become readable when somebody ends."""
        found = [crew.sentinel for crew in self.crews] + ([self.web.sentinel] if self.web else [])
        return [sentinel for sentinel in found if sentinel is not None]

    @property
    def dues(self) -> list[float]:
        """When (monotonic seconds) each who does not run may be started again."""
        found = [crew.due for crew in self.crews if crew.pid is None]
        return found + ([self.web.backoff.due] if self.web and not self.web.running else [])
