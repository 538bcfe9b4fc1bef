"""An error from every call on the spool, of every kind that call can give; then life goes on, and is judged.

Once, as from a hiccup, and lasting until somebody was told, as from a full disk. Whoever asked must hear of it (a
failed fsync is never acknowledged), the HTTP server answers with a reason, the supervisor survives, and in the end
every promise holds. `python -m tests.crash.faults [--full]` prints its figures in the last line.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from spool.errors import SpoolError
from tests.crash import quick_work
from tests.crash.ledger import Event, expectations
from tests.crash.life import Life
from tests.crash.lives import LIVES
from tests.crash.recovery import Recovery, fast_folder, judged, ready
from tests.crash.shim import Call, Shim
from tests.crash.web_life import LIFE_OF_A_SERVER, life_of_a_server

SHORT = -1
"""Not an errno: write(2) takes half of what it is given."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_POOR = (errno.EMFILE, errno.ENOMEM)
_OTHER = (errno.EIO, errno.EACCES)
KINDS: dict[str, tuple[int, ...]] = {
    "open": (*_POOR, *_OTHER),
    "listdir": (*_POOR, *_OTHER),
    "scandir": (*_POOR, *_OTHER),
    "creat": (*_FULL, *_POOR, *_OTHER),
    "mkdir": (*_FULL, errno.ENOMEM, *_OTHER),
    "write": (*_FULL, errno.EIO, SHORT),
    "fsync": (*_FULL, errno.EIO),
    "rename": (*_FULL, errno.ENOMEM, *_OTHER),
    "unlink": (errno.ENOMEM, *_OTHER),
    "rmdir": (errno.ENOMEM, *_OTHER),
}
NAMES = {**{number: errno.errorcode[number] for number in (*_FULL, *_POOR, *_OTHER)}, SHORT: "short write"}
ASKED = ("submit", "upload", "release", "cancel", "retry", "remove", "attempt")
SERVICE = ("step", "look", "recover", "open", "tend")
QUICK = 150


@dataclass(frozen=True)
class Fault:
    """The `at`-th call of a life gives `number`; with `lasting`, so do all that can until somebody was told."""

    life: int
    at: int
    number: int
    lasting: bool

    def __str__(self) -> str:
        return f"{NAMES[self.number]} {'from' if self.lasting else 'at'} call {self.at}"


class Injector:
    """The watcher that makes the error; without a fault it lists the calls it could have hit."""

    def __init__(self, fault: Fault | None = None) -> None:
        self._fault = fault
        self.calls: list[str] = []
        self.hit: Call | None = None
        self.armed = True
        self.healed = False

    def before(self, call: Call) -> int | None:
        if not self.armed or self.healed or call.name not in KINDS:
            return None
        self.calls.append(call.name)
        if self._fault is None:
            return None
        due = len(self.calls) - 1 == self._fault.at
        if not (due or (self.hit and self._fault.lasting and self._fault.number in KINDS[call.name])):
            return None
        self.hit = self.hit or call
        if self._fault.number == SHORT:
            return (len(call.content) + 1) // 2
        raise OSError(self._fault.number, os.strerror(self._fault.number), call.path)

    def after(self, call: Call) -> None:
        pass


@dataclass
class FaultyLife:
    """Wraps the verbs of a life: whoever asked is told of the error, a worker that died of it is put back."""

    life: Life
    injector: Injector
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in (*ASKED, *SERVICE, "drop"):
            setattr(self.life, name, partial(self._tried, name, getattr(self.life, name)))

    def _tried(self, name: str, verb: Callable[..., Any], *given: Any, **named: Any) -> Any:
        before, calls = self.injector.hit, self.injector
        self.injector.armed = name != "drop"  # the disk of whoever copies into the inbox is not ours
        try:
            value = verb(*given, **named)
        except (OSError, SpoolError, KeyError) as error:
            if calls.hit is None:
                raise
            calls.healed = True  # somebody was told: mended
            self._after(name, error)
            return False
        if calls.hit is not before and calls.hit and calls.hit.name == "fsync" and name in ASKED:
            self.wrong.append(f"{name} was acknowledged, and its fsync of {calls.hit.path} had failed")
        return value

    def _after(self, name: str, error: Exception) -> None:
        if name in ("look", "tend"):
            self.wrong.append(f"the supervisor died of {error} in its {name}")
        if name == "open":
            self.life.open()
        elif name in SERVICE:
            self.life.recover()


def faults(live: Callable[[Life], None], number: int, recovery: Recovery) -> list[Fault]:
    """Every fault that this life can meet."""
    injector = Injector()
    _lead(live, injector, recovery)
    return [
        Fault(number, at, kind, lasting)
        for at, name in enumerate(injector.calls)
        for kind in KINDS[name]
        for lasting in ((False, True) if kind != SHORT else (False,))
    ]


def suffer(live: Callable[[Life], None], fault: Fault, recovery: Recovery) -> list[str]:
    """Lead the life with the fault in it; what was wrong then, and after the recovery."""
    return _lead(live, Injector(fault), recovery)


def _lead(live: Callable[[Life], None], injector: Injector, recovery: Recovery) -> list[str]:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as name:
        root = Path(name) / "base" / "spool"
        root.parent.mkdir()
        told: list[Event] = []
        faulty = FaultyLife(Life(root, told.append, recovery), injector)
        try:
            with Shim(root.parent, injector).installed():
                live(faulty.life)
        except (SpoolError, KeyError, OSError):
            if injector.hit is None:
                raise  # else: it asked for a job that never came to be
        except Exception as error:  # noqa: BLE001 - told with the fault that led to it
            faulty.wrong.append(f"{type(error).__name__}: {error}")
        try:
            return faulty.wrong + judged(recovery, root, expectations(told), quick_work.whole)
        except Exception as error:  # noqa: BLE001 - told with the fault that led to it
            return [*faulty.wrong, f"recovery: {type(error).__name__}: {error}"]


def _life(number: int) -> Callable[[Life], None]:
    return life_of_a_server if number == LIFE_OF_A_SERVER else LIVES[number]


def _some(chosen: list[Fault]) -> tuple[Counter[str], list[str]]:
    counts: Counter[str] = Counter()
    wrong = []
    with ready() as recovery:
        for fault in chosen:
            counts[NAMES[fault.number]] += 1
            live = _life(fault.life)
            wrong += [f"{live.__name__}, {fault}: {text}" for text in suffer(live, fault, recovery)]
    return counts, wrong


def _parts(chosen: list[Fault], size: int = 200) -> Iterator[list[Fault]]:
    for start in range(0, len(chosen), size):
        yield chosen[start : start + size]


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--full", action="store_true", help="every fault, not a few hundred")
    options.add_argument("--count", type=int, default=0, help="so many faults, drawn at random")
    options.add_argument("--processes", type=int, default=2)
    given = options.parse_args()
    with ready() as recovery:
        every = [fault for at in range(len(LIVES) + 1) for fault in faults(_life(at), at, recovery)]
    if not given.full:
        every = random.Random(0).sample(every, given.count or QUICK)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        for some, bad in pool.map(_some, _parts(every)):
            counts += some
            wrong += bad
    for text in wrong:
        print(text)
    each = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    print(f"faults: {counts.total()} injected ({each}), {len(wrong)} violations")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
