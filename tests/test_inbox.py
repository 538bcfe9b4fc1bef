"""What people really do to an inbox: each thing becomes a job or a failure with a reason, and none is lost."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from daemon.inbox import Inbox
from daemon.lease import being_written
from spool import durable
from spool.draft import resume_adoptions
from spool.job import Job
from spool.spool import Spool
from spool.status import Status
from tests.support import picture, until, without_root

SETTLE = 0.3


@pytest.fixture
def inbox(spool: Spool) -> Inbox:
    return Inbox(spool, SETTLE)


def taken(spool: Spool, folder: str = "inbox") -> list[Job]:
    return [Job.read(spool.root / folder / job_id) for job_id in spool.waiting(folder)]


def settle(inbox: Inbox) -> None:
    inbox.scan()
    until(lambda: (inbox.scan(), not inbox.settling)[1], 10)


@pytest.mark.parametrize(
    "name", ["photo.png", "my photo (1).PNG", "ünïcode 写真.png", "no-suffix", "-rf.png", "a" * 200 + ".png"]
)
def test_a_whole_picture_is_taken_at_the_first_look(spool: Spool, inbox: Inbox, name: str) -> None:
    (spool.root / "inbox" / name).write_bytes(picture())
    (job,) = inbox.scan()
    assert job.request.name == name
    assert job.request.source == "inbox"
    assert job.input.read_bytes() == picture()
    assert Status.read(job.path) == Status()
    assert not (spool.root / "inbox" / name).exists()


def test_a_name_that_is_not_unicode_is_taken_too(spool: Spool, inbox: Inbox) -> None:
    raw = os.fsencode(spool.root / "inbox") + b"/caf\xe9.png"
    Path(os.fsdecode(raw)).write_bytes(picture())
    (job,) = inbox.scan()
    assert job.request.name == "caf�.png"


def test_the_content_decides_not_the_name(spool: Spool, inbox: Inbox) -> None:
    (spool.root / "inbox" / "really-a-jpeg.png").write_bytes(picture(kind="JPEG", mode="RGB"))
    (job,) = inbox.scan()
    assert job.input.name == "input.jpg"


def test_the_same_picture_twice_is_two_jobs(spool: Spool, inbox: Inbox) -> None:
    for _ in range(2):
        (spool.root / "inbox" / "photo.png").write_bytes(picture())
        inbox.scan()
    assert len(taken(spool)) == 2


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("notes.png", b"this is text, not a picture", "not a picture"),
        ("empty.jpg", b"", "empty"),
        ("letter.pdf", b"%PDF-1.4 ...", "not a picture"),
    ],
)
def test_what_is_no_picture_fails_with_a_reason_and_is_kept(
    spool: Spool, inbox: Inbox, name: str, content: bytes, reason: str
) -> None:
    (spool.root / "inbox" / name).write_bytes(content)
    settle(inbox)
    (job,) = taken(spool, "failed")
    assert reason in (Status.read(job.path).error or "")
    assert name in (Status.read(job.path).error or "")
    assert job.input.read_bytes() == content
    assert taken(spool) == []


def test_a_truncated_picture_waits_until_it_stands_still(spool: Spool, inbox: Inbox) -> None:
    (spool.root / "inbox" / "photo.png").write_bytes(picture()[:-20])
    assert inbox.scan() == []
    assert inbox.settling
    settle(inbox)
    assert len(taken(spool)) == 1


def test_a_copy_in_pieces_is_taken_once_and_whole(spool: Spool, inbox: Inbox) -> None:
    content, target = picture(), spool.root / "inbox" / "slow.png"
    for start in range(0, len(content), 200):
        with target.open("ab") as file:  # opened and closed for each piece
            file.write(content[start : start + 200])
        inbox.heard(target)
        if start + 200 < len(content):
            assert inbox.scan() == []
    (job,) = inbox.scan()
    assert job.input.read_bytes() == content


def test_a_file_that_is_open_for_writing_is_left_alone(spool: Spool, inbox: Inbox) -> None:
    target = spool.root / "inbox" / "open.png"
    with target.open("wb") as file:
        file.write(picture())
        file.flush()
        assert being_written(target)
        assert inbox.scan() == []
    assert being_written(target) is False
    assert len(inbox.scan()) == 1


def test_a_folder_of_pictures_becomes_jobs_and_goes(spool: Spool, inbox: Inbox) -> None:
    folder = spool.root / "inbox" / "holiday photos" / "day 1"
    folder.mkdir(parents=True)
    for at in range(3):
        (folder / f"{at}.png").write_bytes(picture())
    (folder.parent / "readme.txt").write_text("hello")
    settle(inbox)
    assert len(taken(spool)) == 3
    assert len(taken(spool, "failed")) == 1
    until(lambda: (inbox.scan(), not folder.parent.exists())[1])


@pytest.mark.parametrize("name", [".hidden.png", "a.png.part", "b.crdownload", "c.PNG.tmp", "d.png~"])
def test_unfinished_and_hidden_names_are_left_alone(spool: Spool, inbox: Inbox, name: str) -> None:
    path = spool.root / "inbox" / name
    path.write_bytes(picture())
    os.utime(path, (0, 0))
    assert inbox.scan() == []
    assert not inbox.settling
    assert path.exists()


def test_symlinks_and_pipes_are_left_alone(spool: Spool, inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(picture())
    (spool.root / "inbox" / "link.png").symlink_to(tmp_path / "outside.png")
    (spool.root / "inbox" / "folder").symlink_to(tmp_path)
    os.mkfifo(spool.root / "inbox" / "pipe.png")
    assert inbox.scan() == []
    assert (tmp_path / "outside.png").exists()


def test_jobs_in_the_inbox_are_not_taken_for_folders(spool: Spool, inbox: Inbox) -> None:
    (spool.root / "inbox" / "photo.png").write_bytes(picture())
    inbox.scan()
    (job,) = taken(spool)
    settle(inbox)
    assert [other.id for other in taken(spool)] == [job.id]
    assert job.input.exists()


@pytest.mark.parametrize("cut", ["draft", "request", "file", "fsyncs"])
def test_an_adoption_cut_off_by_a_crash_is_neither_lost_nor_doubled(
    spool: Spool, inbox: Inbox, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies after making the draft, after writing the request, after moving the file, after its fsyncs."""
    (spool.root / "inbox" / "photo.png").write_bytes(picture())

    class Died(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patch, pytest.raises(Died):
        if cut == "draft":
            patch.setattr(durable, "lines", die)
        elif cut in ("request", "file"):
            patch.setattr(Path, "rename", _rename_until_the_photo(Path.rename, die, moved=cut == "file"))
        else:
            patch.setattr(durable, "move", die)
        inbox.scan()
    for _ in range(2):  # recovery may itself be repeated
        resume_adoptions(spool.root)
    Inbox(spool, SETTLE).scan()
    (job,) = taken(spool)
    assert job.input.read_bytes() == picture()
    assert list((spool.root / "tmp").iterdir()) == []


def _rename_until_the_photo(real: object, die: object, *, moved: bool) -> object:
    def rename(source: Path, target: Path) -> Path:
        if source.name == "photo.png":
            if moved:
                real(source, target)  # type: ignore[operator]
            die()  # type: ignore[operator]
        return real(source, target)  # type: ignore[operator,no-any-return]

    return rename


def test_an_adoption_that_was_to_fail_still_fails_after_a_crash(
    spool: Spool, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (spool.root / "inbox" / "notes.gif").write_bytes(b"text")
    inbox.scan()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(durable, "move", die)
        settle(inbox)
    (job,) = resume_adoptions(spool.root)
    assert job.path.parent.name == "failed"
    assert "not a picture" in (Status.read(job.path).error or "")


def test_an_unreadable_file_stays_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with tempfile.TemporaryDirectory() as name, without_root(Path(name)):
        spool = Spool.open(Path(name) / "spool")
        inbox = Inbox(spool, SETTLE)
        path = spool.root / "inbox" / "secret.png"
        path.write_bytes(picture())
        path.chmod(0)
        inbox.scan()
        inbox.scan()
        assert path.exists()
        assert ["make it readable" in record.message for record in caplog.records] == [True]
