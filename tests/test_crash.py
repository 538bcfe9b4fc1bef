"""The quick forms of what `make crash`, `crash-ext4`, `kill`, `faults`, `mutate` and `fuzz` do at length.

Each runs in a process of its own, as the long form does, prints what it saw in its last line, and fails where a
promise was broken; docs/reliability.md says what they are for.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.crash.equivalent import EQUIVALENT
from tests.crash.mutants import MODULES, SPOOL, mutants, source_of
from tests.service import ROOT

SKIPPED = 77


def figures(module: str, *options: str) -> str:
    """Run a quick form; its last line. Fails with what it printed where it found something."""
    command = [sys.executable, "-m", module, *options]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = (found.stdout.splitlines() or [""])[-1]
    if found.returncode == SKIPPED:
        pytest.skip(last)
    assert found.returncode == 0, found.stdout[-5000:] + found.stderr[-5000:]
    return last


def number(pattern: str, line: str) -> int:
    found = re.search(pattern, line)
    assert found, line
    return int(found[1])


def test_no_crash_state_of_whole_lives_breaks_a_promise() -> None:
    line = figures("tests.crash.explore", "--processes", "2")
    assert number(r"(\d+) distinct crash states", line) >= 1000
    assert "0 violations" in line


def test_the_shim_sees_what_the_kernel_sees() -> None:
    assert number(r"(\d+) calls of", figures("tests.crash.trace")) > 100


def test_no_cut_of_a_real_ext4_breaks_a_promise() -> None:
    assert number(r"(\d+) of them distinct", figures("tests.crash.ext4")) >= 5


def test_no_kill_in_server_supervisor_or_worker_breaks_a_promise() -> None:
    line = figures("tests.crash.kill")
    for process in ("HTTP server", "supervisor", "worker"):
        assert number(rf"{process} (\d+)", line) >= 5


def test_no_error_of_a_call_breaks_a_promise() -> None:
    assert number(r"faults: (\d+) injected", figures("tests.crash.faults")) >= 100


def test_no_bad_file_name_or_request_goes_unexplained() -> None:
    line = figures("tests.fuzz.run")
    assert number(r"fuzz: (\d+) files", line) >= 100
    assert number(r"(\d+) requests", line) >= 100


def test_without_one_fsync_the_explorer_finds_a_lost_job() -> None:
    """The explorer itself is tested: a submit that does not fsync its files is not safe."""
    at = next(
        at
        for at, mutant in enumerate(mutants())
        if mutant.name == "writeback.settle: without `os.fsync(descriptor)`"
    )
    code = (
        f"import sys; from tests.crash.mutants import install; install({at}); "
        "from tests.crash.explore import explore; from tests.crash.recovery import ready; "
        "from tests.crash.lives import life_of_a_submit\n"
        "with ready() as recovery: print(explore(life_of_a_submit, recovery, samples=2).wrong[0])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "invariants 1, 3" in found.stdout and "is not whole" in found.stdout, found.stdout + found.stderr


def test_every_mutant_changes_its_module() -> None:
    """A mutant that changes nothing would get away and prove nothing."""
    made = mutants()
    assert {mutant.module for mutant in made} == set(MODULES)
    assert len(made) > 100
    for mutant in made:
        compile(source_of(mutant), str(SPOOL / f"{mutant.module}.py"), "exec")
    assert set(EQUIVALENT) <= {mutant.name for mutant in made}
    assert all(EQUIVALENT.values())
