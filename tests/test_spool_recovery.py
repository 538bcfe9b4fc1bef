"""Where the jobs of a dead worker go, and what the attempt costs them."""

from __future__ import annotations

import pytest

from spool import recovery
from spool.spool import Spool
from spool.status import Status, read_attempts
from tests.support import claim, folders, put, submit


@pytest.mark.parametrize(
    ("products", "attempts", "cancelled", "folder"),
    [
        ([], 0, False, "inbox"),
        ([], 2, False, "inbox"),
        ([], 3, False, "failed"),
        (["cutout.png"], 3, False, "geometry"),
        (["cutout.png"], 1, True, "failed"),
        (["cutout.png", "geometry.glb", "model.glb"], 3, True, "done"),
    ],
)
def test_recovery_puts_a_dead_workers_job_where_it_belongs(
    spool: Spool, products: list[str], attempts: int, cancelled: bool, folder: str
) -> None:
    submit(spool)
    job = claim(spool)
    put(job, *products)
    for _ in range(attempts):
        spool.begin(job, "cutout")
    if cancelled:
        spool.cancel(job.id)
    assert recovery.recover(spool, "w", 3, "it was killed by SIGKILL") == [(job.id, folder)]
    assert folders(spool, job.id) == [folder]
    assert not (spool.root / folder / job.id / "trouble.json").exists()  # there was none
    if folder == "failed" and not cancelled:
        assert "SIGKILL" in (Status.read(spool.root / "failed" / job.id).error or "")


@pytest.mark.parametrize("content", [None, b"", b'{"id": 3}'])
def test_recovery_gives_a_job_with_a_damaged_request_up(spool: Spool, content: bytes | None) -> None:
    damaged, whole = submit(spool).id, submit(spool).id
    claim(spool), claim(spool)
    request = spool.root / "running" / "w" / damaged / "request.json"
    request.unlink()
    if content is not None:
        request.write_bytes(content)
    assert recovery.recover(spool, "w", 3, "it died") == [(damaged, "failed"), (whole, "inbox")]
    assert "request cannot be read" in (Status.read(spool.root / "failed" / damaged).error or "")


def test_recovery_can_refund_the_attempt(spool: Spool) -> None:
    submit(spool)
    job = claim(spool)
    for _ in range(3):
        spool.begin(job, "cutout")
    assert recovery.recover(spool, "w", 3, "the service stopped", refund=True) == [(job.id, "inbox")]
    assert read_attempts(spool.root / "inbox" / job.id) == {"cutout": 2}
