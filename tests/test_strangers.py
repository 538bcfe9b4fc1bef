"""Jobs of another user in the spool: they are passed over, told of, and hold nobody up; root makes none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli import exits
from daemon.cli.__main__ import main
from daemon.strangers import Strangers
from spool.spool import Spool
from tests.support import picture, submit, without_root

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away takes root")
NOBODY = 65534


@pytest.fixture
def ours() -> Iterator[Spool]:
    """A spool of whoever runs the test, or of nobody where that is root; the test is that user."""
    # Not in tmp_path, whose parents only root may enter.
    with tempfile.TemporaryDirectory() as name, without_root(Path(name)):
        yield Spool.open(Path(name) / "spool")


def claim(spool: Spool) -> str | None:
    spool.enlist("w")
    job = spool.claim("inbox", "w")
    return job.id if job else None


def test_the_jobs_behind_one_that_may_not_be_moved_are_claimed(ours: Spool) -> None:
    stuck, good = submit(ours), submit(ours)
    stuck.path.chmod(0o555)
    assert claim(ours) == good.id
    assert claim(ours) is None
    assert ours.rest_left("inbox", stuck.id) > 3600  # a worker with nothing else to do sleeps
    stuck.path.chmod(0o755)
    assert claim(ours) == stuck.id


def test_people_are_told_which_and_what_to_do(ours: Spool, caplog: pytest.LogCaptureFixture) -> None:
    submit(ours)
    stuck = submit(ours)
    stuck.path.chmod(0o555)
    strangers = Strangers()
    strangers.look(ours.root)
    (note,) = strangers.notes
    assert stuck.id in note and f"chown -R {'nobody' if os.getuid() == 0 else ''}" in note
    assert str(stuck.path) in note
    assert [record.message for record in caplog.records] == [note]


def test_they_are_looked_for_again_and_told_once(
    ours: Spool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.strangers.LOOK_EVERY", 0.0)
    monkeypatch.setattr("daemon.strangers.PATIENCE", 0.0)
    stuck = [submit(ours) for _ in range(3)]
    for job in stuck:
        job.path.chmod(0o555)
    strangers = Strangers()
    for _ in range(3):
        strangers.look(ours.root)
    assert f"{stuck[0].id} in inbox/ and 2 more" in strangers.notes[0]
    assert len(caplog.records) == 1
    for job in stuck:
        job.path.chmod(0o755)
    strangers.look(ours.root)
    assert strangers.notes == ()


@ROOT_ONLY
@pytest.mark.parametrize(
    "command",
    [
        ["submit", "--no-wait", "--priority", "high", "photo.png"],
        ["cancel", "JOB"],
        ["prioritise", "low", "JOB"],
        ["pause"],
        ["keys", "create", "web"],
    ],
    ids=lambda command: command[0],
)
def test_what_root_makes_belongs_to_the_owner_of_the_spool(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photo = Path("photo.png")
    photo.write_bytes(picture())
    photo.chmod(0o600)  # root may read it, and the owner of the spool may not
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        root = Path(name) / "spool"
        root.mkdir()
        os.chown(root, NOBODY, NOBODY)
        os.setegid(NOBODY)
        try:
            with without_root(root):
                job = submit(Spool.open(root))
        finally:
            os.setegid(0)
        words = [job.id if word == "JOB" else word for word in command]
        monkeypatch.setenv("PROTOSCALE_SPOOL", str(root))
        assert main(words) == exits.OK
        assert (os.geteuid(), os.getegid()) == (0, 0)
        owners = {(path.stat().st_uid, path.stat().st_gid) for path in root.rglob("*")}
        assert owners == {(NOBODY, NOBODY)}


@ROOT_ONLY
def test_who_may_not_change_the_spool_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        job = submit(Spool.open(Path(name) / "spool"))
        photo = Path(name) / "photo.png"
        photo.write_bytes(picture())
        monkeypatch.setenv("PROTOSCALE_SPOOL", str(Path(name) / "spool"))
        os.seteuid(NOBODY)
        try:
            for words in (["cancel", job.id], ["pause"], ["submit", "--no-wait", str(photo)]):
                assert main(words) == exits.CONFIG
                told = capsys.readouterr().err
                assert "may not be changed by this user" in told and "photo.png may" not in told
        finally:
            os.seteuid(0)
