"""A child process that may be killed at any moment, and what it told before."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.crash.ledger import Event
from tests.crash.shim import Call

Tell = Callable[[Event], None]


class Killer:
    """A watcher that ends its process by SIGKILL at one moment: 2n is before call n, 2n + 1 right after it.

    Children of that process are left alone, and so is whatever happens once the moment has passed.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def before(self, call: Call) -> None:
        self._moment()

    def after(self, call: Call) -> None:
        self._moment()

    def _moment(self) -> None:
        with self._lock:
            if os.getpid() != self._pid:
                return
            if self._left == 0:
                os.kill(self._pid, signal.SIGKILL)
            self._left -= 1


@dataclass
class Fork:
    """A forked process. `told` and `killed` are known after `wait`."""

    pid: int
    pipe: int
    told: list[Event] = field(default_factory=list)
    killed: bool = False

    @classmethod
    def of(cls, work: Callable[[Tell], None]) -> Fork:
        """Run `work` in a child; what it tells is out of its hands when `tell` returns."""
        ear, mouth = os.pipe()
        pid = os.fork()
        if pid:
            os.close(mouth)
            return cls(pid, ear)
        os.close(ear)
        code = 1
        try:
            work(lambda event: _say(mouth, event))
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:  # noqa: BLE001 - the child's end: told on stderr and in the exit code
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def wait(self) -> None:
        """Until the child and all of its children are gone. Raises AssertionError where it failed by itself."""
        with os.fdopen(self.pipe, "rb") as pipe:
            # The end of the file comes when the last process that inherited the other side has ended.
            self.told = [tuple(json.loads(line)) for line in pipe.read().splitlines()]
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self.killed = code == -signal.SIGKILL
        assert self.killed or code == 0, f"the child ended with {code}"


def _say(mouth: int, event: Event) -> None:
    os.write(mouth, json.dumps(event).encode() + b"\n")
