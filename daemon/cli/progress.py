"""Showing how far jobs are: one line that is rewritten on a terminal, a line per stage in a log."""

from __future__ import annotations

import shutil
import sys
from typing import TextIO


class Line:
    """One progress line on `stream` (stderr: stdout is for results)."""

    WIDTH = 28

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._said = ""
        self._is_open = False

    def show(self, percent: float, stage: str, message: str) -> None:
        """Tell where it is now."""
        if not self._live:
            if stage != self._said:
                self._said = stage
                print(f"{percent:3.0f} % {stage}", file=self._stream, flush=True)
            return
        filled = round(self.WIDTH * percent / 100)
        text = f"[{'#' * filled}{'.' * (self.WIDTH - filled)}] {percent:3.0f} % {message}"
        columns = shutil.get_terminal_size().columns - 1
        print(f"\r{text[:columns]:<{columns}}", end="", file=self._stream, flush=True)
        self._is_open = True

    def note(self, text: str) -> None:
        """Tell something else, on a line of its own that stays."""
        columns = shutil.get_terminal_size().columns - 1
        print(f"\r{text:<{columns}}" if self._is_open else text, file=self._stream, flush=True)
        self._is_open = False

    def end(self) -> None:
        """Leave the line as it stands."""
        if self._is_open:
            print(file=self._stream)
        self._is_open = False
