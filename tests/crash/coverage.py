"""Which lines of the spool each test runs, and how long it takes."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import pytest

from tests.crash.mutants import SPOOL

Item: TypeAlias = pytest.Item
Lines: TypeAlias = dict[Item, set[tuple[str, int]]]
"""Of each test the (module, line) pairs that it ran, the shortest test first."""


class Tracer:
    """Notes every line of the spool that any thread runs."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int]] = set()
        self._modules = {str(path): path.stem for path in SPOOL.glob("*.py")}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._line if frame.f_code.co_filename in self._modules else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.seen.add((self._modules[frame.f_code.co_filename], frame.f_lineno))
        return self._line


def measure(session: pytest.Session, passes: Callable[[Item], bool], folder: str) -> Lines:
    """Run every collected test once, in a process of its own, below `folder`."""
    told = Path(folder, "lines")
    child = os.fork()
    if not child:
        try:
            os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
            told.write_bytes(pickle.dumps([_traced(item, passes) for item in session.items]))
        except AssertionError as error:
            print(f"\n{error}", flush=True)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    if not told.exists():
        pytest.exit("a test fails without any mutant; mend that first", returncode=1)
    rows = zip(session.items, pickle.loads(told.read_bytes()), strict=True)
    return {item: seen for item, (_, seen) in sorted(rows, key=lambda row: row[1][0])}


def _traced(item: Item, passes: Callable[[Item], bool]) -> tuple[float, set[tuple[str, int]]]:
    tracer, began = Tracer(), time.monotonic()
    threading.settrace(tracer)
    sys.settrace(tracer)
    try:
        assert passes(item), f"{item.nodeid} fails without any mutant"
    finally:
        sys.settrace(None)
        threading.settrace(None)
    return time.monotonic() - began, tracer.seen
