"""Two processes want one job at once: every move meets a rival that is faster by one call.

The rival acts between two calls of the one that is tested, so each race is lost in the same place every time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spool import idempotency, recovery
from spool.errors import NoSuchJob
from spool.spool import Spool
from tests.crash.shim import Call, Shim
from tests.support import picture, submit


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool.open(tmp_path / "spool")
    made.enlist("w")
    made.enlist("rival")
    return made


class Rival:
    """Acts once: before the first call of that name on a path (or target) that ends so, or after it."""

    def __init__(self, name: str, ending: str, act: Callable[[], object], *, after: bool = False) -> None:
        self._name, self._ending, self._act, self._after = name, ending, act, after
        self.acted = False

    def before(self, call: Call) -> None:
        if not self._after:
            self._perhaps(call)

    def after(self, call: Call) -> None:
        if self._after:
            self._perhaps(call)

    def _perhaps(self, call: Call) -> None:
        if not self.acted and call.name == self._name and (call.target or call.path).endswith(self._ending):
            self.acted = True
            self._act()


def test_of_two_who_claim_one_job_the_slower_takes_the_next(spool: Spool) -> None:
    first, second = submit(spool), submit(spool)
    rival = Rival("rename", f"w/{first.id}", lambda: spool.claim("inbox", "rival"))
    with Shim(spool.root, rival).installed():
        job = spool.claim("inbox", "w")
    assert job and job.id == second.id
    assert spool.find(first.id).worker == "rival"


@pytest.mark.parametrize("step", [("creat", ".aside"), ("rename", "failed/{}")])
def test_a_job_that_is_claimed_while_it_is_cancelled_is_marked_where_it_runs(
    spool: Spool, step: tuple[str, str]
) -> None:
    job = submit(spool)
    rival = Rival(step[0], step[1].format(job.id), lambda: spool.claim("inbox", "rival"))
    with Shim(spool.root, rival).installed():
        found = spool.cancel(job.id)
    assert rival.acted
    assert (found.folder, found.worker, found.job.cancelled) == ("running", "rival", True)


@pytest.mark.parametrize("step", [("creat", ".aside"), ("rename", "inbox/{}")])
def test_of_two_who_release_one_job_neither_fails(spool: Spool, step: tuple[str, str]) -> None:
    job = submit(spool, "held", views=False, model=False)
    rival = Rival(step[0], step[1].format(job.id), lambda: spool.release(job.id, model=True))
    with Shim(spool.root, rival).installed():
        found = spool.release(job.id, model=True)
    assert rival.acted
    assert (found.folder, found.job.request.model) == ("inbox", True)


@pytest.mark.parametrize("step", [("creat", ".aside"), ("rename", "inbox/{}")])
def test_of_two_who_retry_one_job_neither_fails(spool: Spool, step: tuple[str, str]) -> None:
    job = submit(spool)
    spool.fail(job.path, "it broke")
    rival = Rival(step[0], step[1].format(job.id), lambda: spool.retry(job.id))
    with Shim(spool.root, rival).installed():
        found = spool.retry(job.id)
    assert rival.acted
    assert (found.folder, found.status.error) == ("inbox", None)


def test_of_two_who_delete_one_job_the_slower_is_told_that_it_is_gone(spool: Spool) -> None:
    job = submit(spool, "done")
    rival = Rival("rename", f"gone-{job.id}", lambda: spool.remove(job.id))
    with Shim(spool.root, rival).installed(), pytest.raises(NoSuchJob):
        spool.remove(job.id)
    assert rival.acted


def test_a_file_is_opened_though_its_job_moves_just_then(spool: Spool) -> None:
    job = submit(spool)
    rival = Rival("open", "inbox/" + f"{job.id}/input.png", lambda: spool.claim("inbox", "rival"))
    with Shim(spool.root, rival).installed(), spool.open_file(job.id, "input.png") as file:
        assert file.read() == picture()
    assert rival.acted


def test_a_job_is_not_pardoned_that_is_claimed_just_then(spool: Spool) -> None:
    job = submit(spool, "geometry")
    rival = Rival("rename", f"bench/{job.id}", lambda: spool.claim("geometry", "rival"))
    with Shim(spool.root, rival).installed():
        assert not recovery.pardon(spool, job.id, "geometry", "bench", 1.0)
    assert rival.acted
    assert spool.find(job.id).worker == "rival"
    spool.cancel(job.id)
    recovery.recover(spool, "rival", 3, "it died")
    spool.remove(job.id)
    assert not recovery.pardon(spool, job.id, "geometry", "bench", 1.0)  # gone, which is no error either


def test_a_job_that_ends_while_it_is_listed_is_left_out(spool: Spool) -> None:
    gone, damaged, whole = (submit(spool, "done") for _ in range(3))
    (damaged.path / "request.json").write_bytes(b"{}")
    rival = Rival("open", f"done/{gone.id}/request.json", lambda: spool.remove(gone.id))
    with Shim(spool.root, rival).installed():
        assert [found.job.id for found in spool.newest(9)] == [whole.id, damaged.id]
    assert rival.acted


def test_a_key_that_is_forgotten_while_somebody_waits_for_it_is_a_new_one(spool: Spool) -> None:
    def forget() -> None:
        (path,) = (spool.root / idempotency.FOLDER).glob("*.json")
        path.unlink()

    rival = Rival("creat", ".json", forget, after=True)
    job = submit(spool)
    with Shim(spool.root, rival).installed(), idempotency.hold(spool.root, "", "k") as entry:
        entry.record(job.id, "f")
    assert rival.acted
    with idempotency.hold(spool.root, "", "k") as entry:
        assert entry.job_id == job.id
