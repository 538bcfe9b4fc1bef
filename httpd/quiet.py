"""uvicorn's server without its ten wake-ups a second: an idle service leaves the processor asleep."""

from __future__ import annotations

import asyncio
import contextlib
from types import FrameType

import uvicorn

TICK = 1.0
"""Seconds between two looks at the clock, which the Date header needs."""


class QuietServer(uvicorn.Server):
    """Wakes once a second and at a signal, where uvicorn polls a flag every tenth of a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signal = asyncio.Event()

    async def main_loop(self) -> None:
        """Tick until told to stop."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._signal.wait(), TICK)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Uvicorn's signal handler sets a flag; the loop must also hear of it."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._signal.set)
