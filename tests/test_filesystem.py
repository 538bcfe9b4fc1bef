"""Where a spool may lie: on one file system, and on which kinds of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spool import filesystem, pause
from spool.errors import SpoolUnusable
from spool.layout import FOLDERS
from spool.spool import Spool

ROOT = Path(__file__).parents[1]


def test_a_spool_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolUnusable, match="PROTOSCALE_SPOOL"):
        Spool.open(tmp_path / "file" / "spool")


def test_a_spool_across_file_systems_is_refused(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no other file system than the tests' folder")
    elsewhere = memory / f"protoscale-test-{os.getpid()}"
    elsewhere.mkdir()
    try:
        (tmp_path / "spool").mkdir()
        (tmp_path / "spool" / "done").symlink_to(elsewhere)
        with pytest.raises(SpoolUnusable, match="put the whole spool on one file system"):
            Spool.open(tmp_path / "spool")
    finally:
        elsewhere.rmdir()


def test_a_spool_across_mounts_of_one_file_system_is_refused(tmp_path: Path) -> None:
    """Device numbers are equal there, and a rename fails all the same."""
    Spool.open(tmp_path / "spool")
    script = (
        f"mount --bind {tmp_path}/spool/done {tmp_path}/spool/done && exec {sys.executable} -c "
        "'import sys; from pathlib import Path; from spool.spool import Spool; Spool.open(Path(sys.argv[1]))' "
        f"{tmp_path}/spool"
    )
    trial = ["unshare", "--mount", "--map-root-user", "--user", "true"]
    if sys.platform != "linux" or subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.skip("mounting takes user namespaces")
    command = [*trial[:-1], "sh", "-c", script]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "different file systems or mounts" in found.stderr


def test_looking_whether_renames_work_leaves_nothing_behind(spool: Spool) -> None:
    before = sorted(spool.root.rglob("*"))
    Spool.open(spool.root)
    assert sorted(spool.root.rglob("*")) == before
    assert {path.name for path in spool.root.iterdir()} == {*FOLDERS, pause.FOLDER}


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "vfat", "fuse.sshfs", "fuseblk", "tmpfs", "overlay"])
def test_file_systems_to_warn_of(kind: str) -> None:
    assert filesystem.concern(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs"])
def test_file_systems_to_trust(kind: str) -> None:
    assert not filesystem.concern(kind)


@pytest.mark.parametrize("has_journal", [True, False])
def test_an_ext4_without_a_journal_is_told_apart(tmp_path: Path, has_journal: bool) -> None:
    image, mount = tmp_path / "image", tmp_path / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    feature = "has_journal" if has_journal else "^has_journal"
    commands = (
        ["mkfs.ext4", "-q", "-F", "-O", feature, str(image)],
        ["mount", "-o", "loop", str(image), str(mount)],
    )
    for command in commands:
        if (
            not shutil.which(command[0])
            or subprocess.run(command, capture_output=True, check=False).returncode
        ):
            pytest.skip("mounting an image takes root and loop devices")
    try:
        kind, where = filesystem.under(mount / "spool")
    finally:
        subprocess.run(["umount", mount], check=True)
    assert where == str(mount)
    assert kind == ("ext4" if has_journal else "ext4 without a journal")
    assert bool(filesystem.concern(kind)) is not has_journal
