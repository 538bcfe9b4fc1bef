"""The command line of somebody else than the spool's owner: root, and people who may only read it."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli import exits, refusal, service
from daemon.cli.__main__ import main
from spool.spool import Spool
from tests.support import picture, submit, without_root

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to be somebody else")


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A spool below a directory that everybody may enter; it belongs to root."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        made = Spool.open(Path(name) / "spool").root
        monkeypatch.setenv("PROTOSCALE_SPOOL", str(made))
        monkeypatch.setenv("PROTOSCALE_RESERVE", "1M")
        yield made


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Root's, and nobody else may read it."""
    path = tmp_path / "cup.png"
    path.write_bytes(picture())
    path.chmod(0o600)
    return path


def give(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)


def test_what_root_makes_belongs_to_the_owner_of_the_spool(root: Path, photo: Path) -> None:
    give(root)
    (root / "held").rmdir()  # made again by whoever comes first
    assert main(["submit", "--no-wait", "--priority", "high", "--tag", "cups", str(photo)]) == exits.OK
    assert main(["submit", "--no-wait", str(photo)]) == exits.OK
    first, second = Spool(root).waiting("inbox")
    for line in (
        f"prioritise low {second}",
        f"cancel {first}",
        f"retry {first}",
        f"cancel {second}",
        "pause --reason cleaning",
        "keys create web",
        "ls",
    ):
        assert main(line.split()) == exits.OK
        assert os.geteuid() == 0
    made = [path for path in (root, *root.rglob("*")) if path.name != ".resumed"]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(NOBODY, NOBODY)}
    assert {path.name for path in made} >= {"paused.json", "web.json", "cancel", f"{second}.low", "held"}


def test_a_link_that_the_owner_laid_does_not_lead_root_astray(root: Path, tmp_path: Path) -> None:
    give(root)
    (tmp_path / "roots").mkdir(mode=0o755)
    (root / "keys").symlink_to(tmp_path / "roots")
    assert main(["keys", "create", "web"]) == exits.CONFIG
    assert list((tmp_path / "roots").iterdir()) == []


def test_root_keeps_its_rights_where_the_owner_cannot_get_to_the_spool(root: Path, photo: Path) -> None:
    give(root)
    root.parent.chmod(0o700)
    assert main(["submit", "--no-wait", str(photo)]) == exits.OK


@pytest.mark.parametrize(
    "command",
    [
        "cancel {job}",
        "prioritise high {job}",
        "pause",
        "keys create web",
        "submit --no-wait {photo}",
        "rm {done}",
    ],
)
def test_who_may_only_read_the_spool_is_told_so_in_one_line(
    root: Path, photo: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"job": submit(Spool(root)).id, "done": submit(Spool(root), "done").id, "photo": photo}
    photo.chmod(0o644)
    for folder in (photo.parent, *photo.parents[:3]):
        folder.chmod(0o755)
    with without_root(photo.parent):
        assert main(command.format(**names).split()) == exits.CONFIG
        assert main(["ls"]) == exits.OK
    told = capsys.readouterr().err
    assert "Traceback" not in told
    (line,) = told.splitlines()
    assert line.startswith(f"protoscale: {root}/")
    assert "Permission denied" in line
    assert "sudo -u root" in line
    assert str(photo) not in line


def test_keys_that_may_not_be_read_are_not_told_as_none(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create", "web"]) == exits.OK
    capsys.readouterr()
    with tempfile.TemporaryDirectory() as name, without_root(Path(name)):
        assert main(["keys", "ls"]) == exits.CONFIG
    assert "may not be read by this user" in capsys.readouterr().err


def test_root_is_told_whose_a_job_is_that_the_owner_may_not_change(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give(root)
    job = submit(Spool(root))  # not by the command line: it is root's
    assert main(["cancel", job.id]) == exits.CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert "belongs to root: `chown -R" in line
    assert str(job.path) in line


def test_a_photo_that_cannot_be_read_is_the_photos_trouble(
    root: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give(root)
    for folder in photo.parents[:3]:
        folder.chmod(0o755)
    with without_root(root):
        assert main(["submit", "--no-wait", str(photo)]) == exits.USAGE
    assert f"{photo} cannot be read: Permission denied" in capsys.readouterr().err


def test_what_ends_a_service_is_no_refusal(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(no_http: bool) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(root / "tmp"))

    monkeypatch.setattr(service, "run", refuse)
    with pytest.raises(PermissionError):
        main(["run"])


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, exits.TEMPORARY), (errno.EROFS, exits.CONFIG), (errno.EBADF, None)]
)
def test_other_troubles_have_codes_of_their_own(root: Path, number: int, code: int | None) -> None:
    told = refusal.refusal(OSError(number, os.strerror(number), str(root / "inbox")))
    assert (told[1] if told else None) == code
