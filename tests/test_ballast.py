"""What the ballast is given up for, and what not. `test_disk.py` does the same on disks that are really full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from spool import ballast, durable
from spool.job import Job
from spool.spool import Spool
from spool.status import Status, read_attempts
from tests.crash.shim import Call, Shim
from tests.support import submit

WHOLE = ballast.SIZE


class Full:
    """A watcher: the first call of that name on a path with that ending fails, and those on `also`."""

    def __init__(self, call: str, ending: str, number: int = errno.ENOSPC, also: str = "-") -> None:
        self.calls: list[str] = []
        self._call, self._ending, self._number, self._also = call, ending, number, also

    def before(self, call: Call) -> None:
        path = call.target or call.path
        if call.name == "fsync":
            self.calls.append(Path(path).name)
        if self._call == call.name and path.endswith(self._ending):
            self._call = ""
            raise OSError(self._number, os.strerror(self._number), path)
        if call.name == "fsync" and Path(path).name == self._also:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    def after(self, call: Call) -> None:
        pass


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool.open(tmp_path / "spool")
    made.enlist("w")
    ballast.keep(made.root)
    return made


@pytest.fixture
def job(spool: Spool) -> Job:
    """One whose attempts were never counted in place: the file that says them must be made."""
    submit(spool)
    job = spool.claim("inbox", "w")
    assert job
    (job.path / "attempts.json").unlink()
    return job


def test_it_is_blocks_and_not_a_hole(spool: Spool) -> None:
    assert (spool.root / ballast.BALLAST).stat().st_blocks * 512 >= WHOLE


def test_there_is_none_before_it_is_made(tmp_path: Path) -> None:
    assert ballast.left(tmp_path) == 0
    ballast.keep(tmp_path)
    assert ballast.left(tmp_path) == WHOLE


@pytest.mark.parametrize("number", ballast.FULL)
@pytest.mark.parametrize("call", ["creat", "write", "fsync"])
def test_state_that_meets_a_full_disk_is_written_with_a_slice(
    spool: Spool, job: Job, call: str, number: int
) -> None:
    full = Full(call, ".aside", number)
    with Shim(spool.root, full).installed():
        assert spool.begin(job, "cutout") == {"cutout": 1}
    assert read_attempts(job.path) == {"cutout": 1}
    assert ballast.left(spool.root) == WHOLE - ballast.SLICE
    # Freed blocks can be had again only once the ballast is fsynced; what they are for is fsynced as ever.
    aside = durable.aside_of(Path("attempts.json")).name
    assert full.calls[-3:] == [ballast.BALLAST, aside, job.id]


@pytest.mark.parametrize("number", ballast.FULL)
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_so_is_a_count_that_is_written_over_the_last(spool: Spool, job: Job, call: str, number: int) -> None:
    """As on file systems that write changed bytes to another place."""
    spool.begin(job, "cutout")
    with Shim(spool.root, Full(call, "attempts.json", number)).installed():
        assert spool.begin(job, "cutout") == {"cutout": 2}
    assert read_attempts(job.path) == {"cutout": 2}
    assert ballast.left(spool.root) == WHOLE - ballast.SLICE
    with (
        Shim(spool.root, Full(call, "attempts.json", errno.EIO)).installed(),
        pytest.raises(OSError, match="output"),
    ):
        spool.begin(job, "cutout")


def test_a_move_that_meets_a_full_disk_is_made_with_a_slice(spool: Spool, job: Job) -> None:
    with Shim(spool.root, Full("rename", f"failed/{job.id}")).installed():
        spool.fail(job.path, "it broke")
    assert spool.find(job.id).folder == "failed"
    assert ballast.left(spool.root) == WHOLE - ballast.SLICE


def test_a_file_of_that_name_above_the_spool_is_somebodys_own(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "spool")  # one that has no ballast yet
    theirs = tmp_path / ballast.BALLAST
    theirs.write_bytes(b"of the ship")
    for path in (spool.root / "inbox" / "a", tmp_path / "elsewhere" / "a"):
        assert not ballast.spend(path, OSError(errno.ENOSPC, "full"))
    assert theirs.read_bytes() == b"of the ship"


def test_news_and_other_errors_get_nothing(spool: Spool, job: Job) -> None:
    with Shim(spool.root, Full("write", ".aside")).installed(), pytest.raises(OSError, match="No space"):
        Status(message="cutting").write(job.path)
    with (
        Shim(spool.root, Full("write", ".aside", errno.EIO)).installed(),
        pytest.raises(OSError, match="output"),
    ):
        spool.begin(job, "cutout")
    moved = Full("rename", f"failed/{job.id}", errno.EIO)
    with Shim(spool.root, moved).installed(), pytest.raises(OSError, match="output"):
        durable.move(job.path, spool.root / "failed" / job.id)
    assert (Status.read(job.path), read_attempts(job.path)) == (Status(), {})
    assert job.path.is_dir()
    assert ballast.left(spool.root) == WHOLE


def test_what_is_not_accepted_yet_gets_nothing(spool: Spool) -> None:
    with (
        Shim(spool.root, Full("write", "request.json")).installed(),
        pytest.raises(OSError, match="No space"),
    ):
        submit(spool)
    assert ballast.left(spool.root) == WHOLE
    assert spool.waiting("inbox") == []


def test_an_empty_ballast_helps_nobody(spool: Spool, job: Job) -> None:
    os.truncate(spool.root / ballast.BALLAST, 0)
    full = Full("write", ".aside")
    with Shim(spool.root, full).installed(), pytest.raises(OSError, match="No space"):
        spool.begin(job, "cutout")
    assert full.calls == []  # nor is anything tried again
    (spool.root / ballast.BALLAST).unlink()
    with Shim(spool.root, Full("write", ".aside")).installed(), pytest.raises(OSError, match="No space"):
        spool.begin(job, "cutout")
    assert not (spool.root / ballast.BALLAST).exists()


def test_the_last_slice_may_be_smaller(spool: Spool, job: Job) -> None:
    os.truncate(spool.root / ballast.BALLAST, 100)
    with Shim(spool.root, Full("write", ".aside")).installed():
        spool.begin(job, "cutout")
    assert ballast.left(spool.root) == 0
    ballast.keep(spool.root)
    assert ballast.left(spool.root) == WHOLE


def test_a_ballast_on_a_sick_disk_changes_nothing_of_the_error(spool: Spool, job: Job) -> None:
    full = Full("write", ".aside", also=ballast.BALLAST)
    with Shim(spool.root, full).installed(), pytest.raises(OSError, match="No space"):
        spool.begin(job, "cutout")
    assert read_attempts(job.path) == {}
