"""Attempts are counted on the disk, before the work, and given back where nobody is to blame."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from spool import recovery
from spool.spool import Spool
from spool.status import count_attempt, read_attempts, refund_attempt
from tests.crash.shim import Shim
from tests.listener import Listener
from tests.support import submit


def test_invariant_5_an_attempt_is_on_the_disk_before_the_work_and_there_are_three(spool: Spool) -> None:
    submit(spool)
    for attempt in (1, 2, 3):
        job = spool.claim("inbox", "w")
        assert job
        heard = Listener()
        with Shim(spool.root, heard).installed():
            assert spool.begin(job, "cutout") == {"cutout": attempt}
        assert heard.calls == ["write attempts.json", "fsync attempts.json"]
        ((_, folder),) = recovery.recover(spool, "w", 3, "it was killed by SIGKILL")
        assert folder == ("failed" if attempt == 3 else "inbox")


@pytest.mark.parametrize(
    "before", ['{"cutout": 2}', '{\n  "cutout": 9,\n  "geometry": 0,\n  "texture": 0\n}\n', None]
)
def test_invariant_5_a_record_of_another_form_is_replaced_whole(spool: Spool, before: str | None) -> None:
    """An older job's, one of two digits, and none."""
    submit(spool)
    job = spool.claim("inbox", "w")
    assert job
    file = job.path / "attempts.json"
    file.write_text(before) if before else file.unlink()
    count = read_attempts(job.path).get("cutout", 0)
    heard = Listener()
    with Shim(spool.root, heard).installed():
        assert spool.begin(job, "cutout") == {"cutout": count + 1}
    assert heard.calls[-2:] == ["rename attempts.json", f"fsync {job.id}"]
    assert read_attempts(job.path) == {"cutout": count + 1}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b'{"cutout": "x"}', b'{"cutout": null}'])
def test_invariant_5_a_damaged_record_ends_nobody_and_is_counted_on(spool: Spool, content: bytes) -> None:
    submit(spool)
    job = spool.claim("inbox", "w")
    assert job
    (job.path / "attempts.json").write_bytes(content)
    assert recovery.recover(spool, "w", 3, "it was killed") == [(job.id, "inbox")]
    for attempt in (2, 3):
        job = spool.claim("inbox", "w")
        assert job and spool.begin(job, "cutout")["cutout"] == attempt
        recovery.recover(spool, "w", 3, "it was killed")
    assert spool.find(job.id).folder == "failed"


def test_invariant_5_who_reads_while_an_attempt_is_counted_sees_the_old_number_or_the_new(
    spool: Spool,
) -> None:
    submit(spool)
    job = spool.claim("inbox", "w")
    assert job
    seen: list[set[int]] = []
    with ThreadPoolExecutor(1) as pool:
        for number in range(1, 300):
            reader = pool.submit(lambda: {read_attempts(job.path).get("geometry", 0) for _ in range(20)})
            (count_attempt if number % 2 else refund_attempt)(job.path, "geometry")
            seen.append(reader.result())
    assert set().union(*seen) == {0, 1}


def test_invariant_6_a_refunded_attempt_does_not_count(spool: Spool) -> None:
    submit(spool)
    for _ in range(5):
        job = spool.claim("inbox", "w")
        assert job
        spool.begin(job, "cutout")
        ((job_id, folder),) = recovery.recover(spool, "w", 3, "the service stopped", refund=True)
        assert folder == "inbox"
        assert read_attempts(spool.root / folder / job_id) == {}
