"""Takes each fsync, rename and check out of the spool, and asks whether anything here notices.

In stages, the cheap first: each mutant meets the tests that run the changed line, the shortest first; only what they
let through meets the crash-state explorer and the injected errors. Each runs in a process of its own, forked from
this one once the tests are collected. What nothing finds must stand in `tests.crash.equivalent` with the reason.
`python -m tests.crash.mutate` prints its figures in the last line; exit code 1 where a mutant got away.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.crash.coverage import Item, Lines, measure
from tests.crash.equivalent import EQUIVALENT
from tests.crash.mutants import Mutant, install, lines_of, mutants, source_of

CAUGHT = 3
LIMIT = 150.0
"""Seconds after which a mutant counts as one that made something hang; look at each on a slow machine."""
FILES = (
    *(
        "test_spool_moves",
        "test_spool_recovery",
        "test_spool_reads",
        "test_request",
        "test_queue",
        "test_spool_races",
        "test_spool_invariants",
        "test_durable",
        "test_adoption",
        "test_attempts",
        "test_filesystem",
        "test_inbox",
        "test_ballast",
        "test_inquest",
        "test_retention",
    ),
    *(
        "test_doctor",
        "test_httpd",
        "test_worker",
        "test_outcome",
        "http/test_access",
        "http/test_clients",
        "http/test_webhooks",
    ),
)
"""Tests of the spool and of what uses it; those that start other processes are left out, as these run no mutant."""
OWN = (
    *("test_spool", "test_durable", "test_adoption", "test_attempts", "test_filesystem"),
    *("test_request", "test_queue", "test_inbox", "test_ballast"),
)
PARTS = ("spool", "daemon", "httpd", "tests", "docs", "systemd")
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
IN_A_COPY = (
    *("tests/test_spool_invariants.py", "tests/test_durable.py", "tests/test_adoption.py"),
    *("tests/test_attempts.py", "tests/test_filesystem.py", "tests/test_disk.py", "-k", "not service"),
)
AS_IT_IS = -1
"""The number of the mutant that is none."""


def by_tests(mutant: Mutant | None, lines: Lines) -> bool:
    """Whether one of the tests that run its lines notices; the spool's own are asked first."""
    places = {(mutant.module, line) for line in lines_of(mutant)} if mutant else set()
    chosen = [item for item, seen in lines.items() if mutant is None or seen & places]
    chosen.sort(key=lambda item: not item.path.stem.startswith(OWN))
    return not all(passes(item) for item in chosen)


def passes(item: Item) -> bool:
    """Run one collected test, with all its fixtures."""
    failed = item.session.testsfailed
    item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
    return item.session.testsfailed == failed


def by_copy(mutant: Mutant | None, lines: Lines) -> bool:
    """Whether tests that start processes of their own notice, in a copy of the source that has it written in."""
    copy = Path(os.environ["PYTEST_DEBUG_TEMPROOT"], "copy")
    for part in PARTS:
        shutil.copytree(part, copy / part, ignore=shutil.ignore_patterns("__pycache__", "three"))
    shutil.copy("pyproject.toml", copy)
    if mutant:
        (copy / "spool" / f"{mutant.module}.py").write_text(ast.unparse(source_of(mutant)))
    environ = {name: value for name, value in os.environ.items() if name != "PYTEST_DEBUG_TEMPROOT"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *IN_A_COPY]
    return subprocess.run(command, cwd=copy, env=environ, check=False).returncode != 0


def by_explorer(mutant: Mutant | None, lines: Lines) -> bool:
    """Whether a crash shows it."""
    from tests.crash.explore import QUICK, explore
    from tests.crash.lives import LIVES
    from tests.crash.recovery import ready

    with ready() as recovery:
        for live in LIVES:
            for text in explore(live, recovery, samples=2, limit=QUICK).wrong:
                print(text)
                return True
    return False


def by_faults(mutant: Mutant | None, lines: Lines) -> bool:
    """Whether an injected error shows it."""
    import random

    from tests.crash.faults import _life, faults, suffer
    from tests.crash.lives import LIVES
    from tests.crash.recovery import ready

    with ready() as recovery:
        every = [fault for at in range(len(LIVES) + 1) for fault in faults(_life(at), at, recovery)]
        for fault in random.Random(0).sample(every, 300):
            for text in suffer(_life(fault.life), fault, recovery):
                print(fault, text)
                return True
    return False


WAYS: dict[str, Callable[[Mutant | None, Lines], bool]] = {
    "tests": by_tests,
    "tests in a copy": by_copy,
    "explorer": by_explorer,
    "injected errors": by_faults,
}


def _start(number: int, name: str, lines: Lines, folder: Path) -> int:
    """Fork a process that ends with an exit code that says whether that way finds the mutant."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    told = os.open(folder / f"{number}.{name.replace(' ', '-')}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(told, 1)
    os.dup2(told, 2)
    code = CAUGHT
    try:
        mutant = install(number) if number != AS_IT_IS else None
        os.environ["PYTEST_DEBUG_TEMPROOT"] = _own_folder(os.getpid())
        code = CAUGHT if WAYS[name](mutant, lines) else 0
    except BaseException as error:  # noqa: BLE001 - a mutant may break anything, and that is noticing
        print(f"{type(error).__name__}: {error}")
    finally:
        sys.stdout.flush()
        os._exit(code)


def _own_folder(child: int) -> str:
    path = Path(MEMORY or tempfile.gettempdir(), f"protoscale-mutant-{child}")
    path.mkdir(exist_ok=True)
    return str(path)


def fates(
    numbers: Sequence[int], name: str, lines: Lines, processes: int, folder: Path
) -> Iterator[tuple[int, bool]]:
    """Of each mutant whether that way finds it, as it turns out; one that does not end in time is found."""
    left = list(reversed(numbers))
    running: dict[int, tuple[int, float]] = {}
    while left or running:
        while left and len(running) < processes:
            number = left.pop()
            running[_start(number, name, lines, folder)] = number, time.monotonic() + LIMIT
        for child, (number, end) in list(running.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended and time.monotonic() < end:
                continue
            if not ended:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
            shutil.rmtree(_own_folder(child), ignore_errors=True)
            del running[child]
            yield number, not ended or status != 0
        time.sleep(0.02)


def reason(mutant: Mutant) -> str:
    """Why it is equivalent; empty where nobody says so."""
    return EQUIVALENT.get(mutant.name, "")


class Mutation:
    """Takes the place of pytest's loop over the tests that it collected."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self.away: list[int] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        given, every = self._given, mutants()
        lines = measure(session, passes, _own_folder(os.getpid())) if "tests" in given.ways else {}
        shutil.rmtree(_own_folder(os.getpid()))
        chosen = range(len(every)) if given.only is None else given.only
        left = [number for number in chosen if number == AS_IT_IS or not reason(every[number])]
        found = Counter({"equivalent": len(chosen) - len(left)})
        for name in given.ways:
            away = []
            for number, seen in fates(left, name, lines, given.processes, given.logs):
                found[name] += seen
                if not seen:
                    away.append(number)
                if given.told:
                    what = every[number] if number != AS_IT_IS else "as it is"
                    print(f"{number} {what}: {name}: {'found' if seen else 'let pass'}", flush=True)
            left = sorted(away)
        for number in left:
            print(f"got away: {number} {every[number] if number != AS_IT_IS else 'as it is'}")
        each = ", ".join(f"{name} {count}" for name, count in found.items())
        print(f"mutate: {len(chosen)} mutants ({each}), {len(left)} got away", flush=True)
        self.away = left
        return True


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--only", type=int, nargs="+", help="these mutants, by number; -1 is the spool as it is"
    )
    options.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS], help="not all that may notice")
    options.add_argument("--told", action="store_true", help="say of each mutant what found it")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--logs", type=Path, default=Path("build/mutate"), help="what each run printed")
    given = options.parse_args()
    given.logs.mkdir(parents=True, exist_ok=True)
    mutation = Mutation(given)
    names = [f"tests/{name}.py" for name in FILES if Path(f"tests/{name}.py").exists()]
    ended = pytest.main(
        ["-q", "-s", "-p", "no:cacheprovider", "-m", "not service", *names], plugins=[mutation]
    )
    return 1 if mutation.away or ended else 0


if __name__ == "__main__":
    sys.exit(main())
