"""The counts of `make bench-check`: what a job and a status read cost does not grow unnoticed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks import counts


def test_what_a_claim_and_a_read_cost_in_this_process_is_within_bounds() -> None:
    # In a process of its own: what other tests left in this one's caches would be counted too.
    code = "import json; from benchmarks import counts; print(json.dumps(counts.in_process()))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=counts.ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found, bounds = json.loads(ran.stdout), counts.read_bounds()
    assert set(found) <= set(bounds)
    assert not {what: (found[what], bounds[what]) for what in counts.past(found, bounds)}


def test_system_calls_and_fsyncs_a_job_are_within_bounds() -> None:
    if why := counts.why_no_strace():
        pytest.skip(why)
    found, bounds = counts.by_strace(), counts.read_bounds()
    assert found[counts.FSYNCS] > 10, "nothing was traced"
    assert not {what: (found[what], bounds[what]) for what in counts.past(found, bounds)}


def test_a_count_past_its_bound_is_told() -> None:
    assert counts.past({"a": 2.0, "b": 1.0, "unbounded": 1.0}, {"a": 1.0, "b": 1.0}) == ["a", "unbounded"]


def test_files_opened_and_calls_are_really_counted() -> None:
    assert counts.files_opened(lambda: open(__file__).close()) == 1  # noqa: PTH123
    assert counts.calls(lambda: len("")) >= 2
    assert counts.allocated(lambda: bytes(100_000)) >= 100_000
    hoard: list[bytes] = []
    assert counts.kept(lambda: hoard.append(bytes(1000))) >= 1000
