"""A spool of somebody else: who may not use it is told so, and as whom to try."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spool.spool import Spool
from tests.service import ROOT, free_port

STRANGER = 12345
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")


def protoscale(root: Path, *argv: str, groups: str = "0") -> subprocess.CompletedProcess[str]:
    """A command without the capabilities by which root may go everywhere."""
    without = "-dac_override,-dac_read_search"
    mere = ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}", f"--groups={groups}"]
    environ = {
        **os.environ,
        "PROTOSCALE_SPOOL": str(root),
        "PROTOSCALE_RESERVE": "1M",
        "PROTOSCALE_PORT": str(free_port()),
    }
    command = [*mere, sys.executable, "-m", "daemon.cli", *argv]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environ)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A spool of somebody else, below a folder of theirs."""
    spool = Spool.open(tmp_path / "theirs" / "spool")
    for path in (spool.root.parent, *spool.root.parent.rglob("*")):
        os.chown(path, STRANGER, STRANGER)
    return spool.root


@pytest.mark.parametrize(
    ("mode", "advice"),
    [(0o700, "`sudo -u '#12345'`\n"), (0o750, "`sudo -u '#12345'`, or join the group 12345\n")],
)
def test_a_spool_that_may_not_be_entered(foreign: Path, mode: int, advice: str) -> None:
    foreign.parent.chmod(mode)
    for command in ("ls", "status"):
        told = protoscale(foreign, command)
        assert told.returncode == 78
        assert "may not be entered by this user" in told.stderr and told.stderr.endswith(advice)
    told = protoscale(foreign, "doctor")
    assert told.returncode == 1 and "Traceback" not in told.stderr
    assert "BROKEN spool: " in told.stdout and "may not be entered" in told.stdout
    assert "file system: " not in told.stdout and "service: " not in told.stdout


def test_a_spool_that_may_only_be_looked_at(foreign: Path) -> None:
    (foreign / "inbox").chmod(0o2777)
    for folder in (foreign, foreign.parent):
        folder.chmod(0o755)
    assert protoscale(foreign, "ls").returncode == 0
    told = protoscale(foreign, "doctor")
    assert told.returncode == 1
    assert "BROKEN spool: this user may look into" in told.stdout and "belongs to 12345" in told.stdout


def test_a_spool_that_lacks_a_folder_and_may_not_be_written(foreign: Path) -> None:
    (foreign / "held").rmdir()
    told = protoscale(foreign, "ls")
    assert (told.returncode, "may not be written by this user" in told.stderr) == (78, True)


def test_a_spool_that_is_not_there_cannot_be_made(foreign: Path) -> None:
    told = protoscale(foreign.parent / "another", "ls")
    assert (told.returncode, "cannot be made" in told.stderr) == (78, True)


def test_models_that_may_not_be_looked_at(
    foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign.parent.chmod(0o700)
    monkeypatch.setenv("U2NET_HOME", str(foreign))
    told = protoscale(tmp_path / "mine", "doctor")
    assert told.returncode == 1 and "BROKEN background model: " in told.stdout
