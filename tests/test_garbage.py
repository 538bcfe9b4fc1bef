"""What a job leaves in memory is given back, where it is worth to look."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from daemon import garbage
from daemon.garbage import SHORT, Garbage

GROWTH = 32 << 20


class Mesh:
    """Knows its cache, which knows the mesh."""

    def __init__(self, size: int) -> None:
        self.cache = [self, bytearray(b"x") * size]


@pytest.fixture(autouse=True)
def nobody_else_collects(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(garbage, "GROWTH", GROWTH)
    gc.disable()
    yield
    gc.enable()
    gc.collect()


def dropped(size: int) -> weakref.ref[Mesh]:
    return weakref.ref(Mesh(size))


def test_what_a_job_left_is_given_back() -> None:
    left = Garbage()
    mesh = dropped(2 * GROWTH)
    before = garbage.resident()
    left.collect(1.0)
    assert mesh() is None
    assert garbage.resident() < before - GROWTH


@pytest.mark.parametrize(("size", "seconds"), [(GROWTH // 8, 1.0), (2 * GROWTH, SHORT / 2)])
def test_nobody_looks_for_little(size: int, seconds: float) -> None:
    left = Garbage()
    mesh = dropped(size)
    left.collect(seconds)
    assert mesh() is not None


def test_what_stays_is_looked_through_once() -> None:
    left = Garbage()
    kept = Mesh(2 * GROWTH)
    left.collect()
    mesh = dropped(GROWTH // 8)
    left.collect()
    assert mesh() is not None and kept.cache
