"""trouble.json: what a job has been through, kept apart from `attempts.json` because most jobs have none.

It is record, on the disk when written: a job that takes its workers down is known by it, and a job that was
spared too often is no longer. The rest between two attempts is a time on the monotonic clock of one boot, so
setting the wall clock neither shortens nor lengthens it, and it ends with the machine.
"""

from __future__ import annotations

import enum
import json
import time
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from spool import durable, layout, small

POISON = 2
"""A job that took this many workers down with it is given up."""
SPARES = 3
"""How often an attempt is given back because somebody else was to blame; then it counts. Nothing retries for ever."""
LONGEST_REST = 7200.0


class Charge(enum.Enum):
    """What becomes of the attempt that was cut off when its worker died."""

    COUNTED = "counted"
    """It stays counted: nobody can tell who was to blame (the service died, the power failed)."""
    KILLED = "killed"
    """It stays counted, and the job took its worker down."""
    REFUNDED = "refunded"
    """It is given back: the service stopped."""
    SPARED = "spared"
    """It is given back, `SPARES` times: another job, or the device, took the worker down."""


@dataclass(frozen=True)
class Verdict:
    """A charge, and for how many seconds the job rests before it may be claimed again.

    `otherwise` is the charge of a job that was spared too often to be spared again.
    """

    charge: Charge
    rest: float = 0.0
    otherwise: Charge = Charge.COUNTED


@dataclass(frozen=True)
class Trouble:
    """The content of `trouble.json`. `until` is seconds of CLOCK_MONOTONIC in the boot called `boot`."""

    killed: int = 0
    spared: int = 0
    boot: str = ""
    until: float = 0.0

    @classmethod
    def read(cls, job: Path) -> Trouble:
        """What the job directory `job` has been through; a missing file is no trouble.

        Nor is one that this user may not read: of such a job it can do nothing anyway.
        """
        try:
            return cls(**json.loads(small.read(f"{job}/{layout.TROUBLE}")))
        except (FileNotFoundError, PermissionError):
            return cls()
        except (ValueError, TypeError):
            return cls(killed=POISON - 1)  # damaged: it is there, so there was trouble; one more is the last

    def write(self, job: Path) -> None:
        """Replace `trouble.json`, on the disk when this returns."""
        durable.replace_json(job / layout.TROUBLE, asdict(self))

    def resting(self, seconds: float) -> Trouble:
        """The same, not to be claimed for that long from now."""
        return replace(self, boot=boot(), until=time.monotonic() + seconds)

    @property
    def rest_left(self) -> float:
        """Seconds until the job may be claimed; 0 where it may be now."""
        if self.boot != boot():
            return 0.0
        return min(max(0.0, self.until - time.monotonic()), LONGEST_REST)


@cache
def boot() -> str:
    """The kernel's name for this boot: what CLOCK_MONOTONIC says means nothing in another one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"
