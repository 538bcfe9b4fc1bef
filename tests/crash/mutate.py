"""Takes each fsync, rename and check out of the spool, and asks whether anything here notices.

Each mutant gets a process of its own, which runs the spool's tests, then the crash-state explorer, then the injected
errors, until one of them finds it. What nothing finds must stand in `EQUIVALENT` with the reason.
`python -m tests.crash.mutate` prints its figures in the last line; exit code 1 where a mutant got away.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.crash.mutants import Mutant, install, mutants

CAUGHT = 3
LIMIT = 900
"""Seconds after which a mutant counts as one that made something hang; look at each on a slow machine."""
EQUIVALENT: dict[str, str] = {}
"""What changes nothing that anyone can see, by what `Mutant.what` says, and why."""


def by_tests(*files: str) -> bool:
    """Whether these test files notice."""
    import pytest

    names = [f"tests/test_{name}.py" for name in files]
    return pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", *names]) != 0


def by_explorer() -> bool:
    """Whether a crash shows it."""
    from tests.crash.explore import explore
    from tests.crash.lives import LIVES
    from tests.crash.recovery import ready

    with ready() as recovery:
        return any(explore(live, recovery, samples=4, limit=4).wrong for live in LIVES)


def by_faults() -> bool:
    """Whether an injected error shows it."""
    import random

    from tests.crash.faults import _life, faults, suffer
    from tests.crash.lives import LIVES
    from tests.crash.recovery import ready

    with ready() as recovery:
        every = [fault for at in range(len(LIVES) + 1) for fault in faults(_life(at), at, recovery)]
        some = random.Random(0).sample(every, 400)
        return any(suffer(_life(fault.life), fault, recovery) for fault in some)


WAYS: dict[str, Callable[[], bool]] = {
    "tests of the spool": partial(by_tests, "spool_invariants", "spool_moves", "inbox", "doctor"),
    "explorer": by_explorer,
    "injected errors": by_faults,
    "tests of its users": partial(by_tests, "httpd", "worker"),
}


def one(number: int) -> int:
    """In a process of its own: run what may find the mutant, and print what did."""
    if number >= 0:
        install(number)
    for name, noticed in WAYS.items():
        try:
            found = noticed()
        except Exception as error:  # noqa: BLE001 - a mutant may break anything, and that is noticing
            print(f"{type(error).__name__}: {error}")
            found = True
        if found:
            print(f"caught by: {name}")
            return CAUGHT
    return 0


def fate(number: int) -> str:
    """What found a mutant; empty where nothing did."""
    command = [sys.executable, "-m", "tests.crash.mutate", "--mutant", str(number)]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return "no end in time"
    if found.returncode == 0:
        return ""
    return found.stdout.rpartition("caught by: ")[2].strip() or f"exit code {found.returncode}"


def reason(mutant: Mutant) -> str:
    """Why it is equivalent; empty where nobody says so."""
    return EQUIVALENT.get(f"{mutant.module}: {mutant.what}", "")


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mutant", type=int, help=argparse.SUPPRESS)
    options.add_argument("--only", type=int, nargs="+", help="these mutants, by number")
    options.add_argument("--told", action="store_true", help="say of each mutant what found it")
    options.add_argument("--processes", type=int, default=2)
    given = options.parse_args()
    if given.mutant is not None:
        return one(given.mutant)
    assert not fate(-1), "the spool as it is does not pass; see `python -m tests.crash.mutate --mutant -1`"
    all_of_them = mutants()
    chosen = given.only or range(len(all_of_them))
    fates: Counter[str] = Counter()
    away = []
    with ThreadPoolExecutor(given.processes) as pool:
        for number, how in zip(chosen, pool.map(fate, chosen), strict=True):
            mutant = all_of_them[number]
            if given.told:
                print(f"{number} {mutant}: {how or 'nothing'}", flush=True)
            fates[how or ("equivalent" if reason(mutant) else "nothing")] += 1
            if not how and not reason(mutant):
                away.append(mutant)
                print(f"got away: {number} {mutant}", flush=True)
    each = ", ".join(f"{name} {count}" for name, count in fates.most_common())
    print(f"mutate: {len(chosen)} mutants ({each}), {len(away)} got away")
    return 1 if away else 0


if __name__ == "__main__":
    sys.exit(main())
