"""The warm process that forks a confined child for each file: what a child reaches, and what becomes of its end."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from spool.confine import OverLimits
from spool.zygote import Zygote
from tests.support import until

MOST = 1 << 20


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    made = Zygote("tests.http.reach")
    yield made
    made.stop()


@pytest.fixture
def four(tmp_path: Path) -> Path:
    (tmp_path / "input").write_bytes(b"four")
    return tmp_path / "input"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("file", "gave up: OSError"),
        ("memory", "MemoryError"),
        ("time", "signal"),
        ("network", "gave up: OSError"),
        ("crash", "signal 11"),
        ("flood", "gave up"),
    ],
)
def test_a_child_reaches_nothing_and_the_next_one_is_none_the_worse(
    zygote: Zygote, four: Path, what: str, said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, four.open("rb") as file:
        with pytest.raises(OverLimits, match=said):
            zygote.call((what, listener.getsockname()[1]), file, 60, MOST)
        file.seek(0)
        assert zygote.call(("nothing",), file, 60, MOST) == b"4\n"


def test_a_child_has_its_file_its_answer_and_nowhere(zygote: Zygote, four: Path) -> None:
    with four.open("rb") as file:
        assert zygote.call(("descriptors",), file, 60, MOST) == b"[0, 1, 2]\n4\n"


def test_every_file_has_a_child_of_its_own(zygote: Zygote, four: Path) -> None:
    seen = set()
    for _ in range(3):
        with four.open("rb") as file:
            seen.add(zygote.call(("process",), file, 60, MOST))
    assert len(seen) == 3
    assert str(zygote.pid).encode() not in {answer.split()[0] for answer in seen}


def test_a_child_that_takes_too_long_is_ended_with_its_process(zygote: Zygote, four: Path) -> None:
    zygote.warm()
    process = psutil.Process(zygote.pid)
    with four.open("rb") as file:
        assert zygote.call(("nothing",), file, 60, MOST) == b"4\n"  # it has imported
        with pytest.raises(OverLimits, match="longer than"):
            zygote.call(("time",), file, 0.3, MOST)
    assert not process.is_running()
    with four.open("rb") as file:
        assert zygote.call(("nothing",), file, 60, MOST) == b"4\n"


def test_one_that_died_while_idle_is_replaced(zygote: Zygote, four: Path) -> None:
    zygote.warm()
    first = zygote.pid
    assert first
    os.kill(first, signal.SIGKILL)
    with four.open("rb") as file:
        until(lambda: psutil.Process(first).status() == psutil.STATUS_ZOMBIE, 60)
        assert zygote.call(("nothing",), file, 60, MOST) == b"4\n"
    assert zygote.pid != first


def test_nothing_of_it_outlives_who_asked(four: Path) -> None:
    """The owner is killed in the middle of a call: its end of the line goes with it, and with that all the rest."""
    child = os.fork()
    if child == 0:
        with four.open("rb") as file:
            Zygote("tests.http.reach").call(("time",), file, 60, MOST)
        os._exit(0)
    family = until(
        lambda: seen if len(seen := psutil.Process(child).children(recursive=True)) == 2 else [], 60
    )
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    psutil.wait_procs(family, timeout=60)
    assert not [process for process in family if process.is_running()]


def test_a_terminals_interrupt_does_not_end_it(zygote: Zygote, four: Path) -> None:
    with four.open("rb") as file:
        assert zygote.call(("nothing",), file, 60, MOST) == b"4\n"
        first = zygote.pid
        assert first
        os.kill(first, signal.SIGINT)
        os.kill(first, signal.SIGTERM)
        file.seek(0)
        assert zygote.call(("nothing",), file, 60, MOST) == b"4\n"
    assert zygote.pid == first
