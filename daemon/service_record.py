"""A device's service record: jobs that took its worker down, and whether it is out of service for that.

One job that kills its worker is a bad job. Two different ones in a row, with nothing finished between them, speak
against the device: it is taken out of service for a pause that doubles each time, and the jobs are not charged.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

FIRST_PAUSE = 30.0
LONGEST_PAUSE = 1800.0


@dataclass(frozen=True)
class Death:
    """A worker that died with a job in its hands."""

    job_id: str
    stage: str


class ServiceRecord:
    """What is held against one device. Kept in the supervisor's memory: a new one starts without prejudice."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.outages = 0
        self.due = 0.0
        self._last: Death | None = None
        self._finished = 0

    def finished(self, count: int) -> None:
        """How many stages this device has finished so far; one more than before clears it of suspicion."""
        if count > self._finished:
            self._finished = count
            self._last = None
            self.outages = 0

    def died(self, death: Death) -> Death | None:
        """A worker of this device died at a job.

        Returns the death before this one, where the two together take the device out of service.
        """
        before, self._last = self._last, death
        if before is None or before.job_id == death.job_id:
            return None
        self.outages += 1
        self.due = time.monotonic() + self.pause
        return before

    @property
    def pause(self) -> float:
        """Seconds the device rests in its present outage."""
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self.outages - 1)) if self.outages else 0.0

    @property
    def is_out(self) -> bool:
        """Whether the device is out of service now."""
        return time.monotonic() < self.due

    def notice(self) -> str:
        """A sentence for the operator; its numbers stand still, because the board is written when it changes."""
        return (
            f"{self.device} is out of service for {self.pause:.0f} s (outage {self.outages}): two different jobs "
            "in a row took its worker down; see the log, and look at the device with nvidia-smi and dmesg"
        )
