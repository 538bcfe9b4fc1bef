"""The systemd units of this installation: where they come from, where they go, and whether they could work there."""

from __future__ import annotations

import shlex
import stat
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import DaemonError

PACKAGED = "/opt/protoscale/bin/protoscale"
"""What the unit files name as they lie in `systemd/`; the command of this installation takes its place."""
ENV_FILE = Path("/etc/protoscale/protoscale.env")
TARGET = "protoscale.target"
UNITS = (
    "protoscale.service",
    "protoscale-httpd.service",
    "protoscale-httpd.socket",
    "protoscale-models.service",
    "protoscale-webhooks.service",
    TARGET,
)
MARK = "# Written by `protoscale install-systemd`"
COMMAND = f"""#!/bin/sh
{MARK}: the command line of the systemd service,
# with its settings and as its user: `sudo protoscale status`.
exec %s --service "$@"
"""
"""The `protoscale` that an operator finds on the PATH."""
HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))
"""What ProtectHome= and PrivateTmp= hide from the services."""


class CannotInstall(DaemonError):
    """The units cannot be put in place, or could not work there; the text says what to do instead."""


@dataclass(frozen=True)
class File:
    """One file to put in place: content and where it goes, without DESTDIR. `keep`: never over one that is there.

    `mark` is what a file of that name holds if it is ours; another one is left alone.
    """

    target: Path
    content: str
    mode: int = 0o644
    keep: bool = False
    mark: str = ""


def files(prefix: Path) -> list[File]:
    """Everything that an installation below `prefix` consists of. Raises CannotInstall."""
    source, command = _source(), _quoted(program())

    def text(name: str) -> str:
        return (source / name).read_text(encoding="utf-8").replace(PACKAGED, command)

    units = [File(prefix / "lib/systemd/system" / name, text(name)) for name in UNITS]
    return [
        *units,
        File(prefix / "bin/protoscale", COMMAND % shlex.quote(str(program())), 0o755, mark=MARK),
        File(prefix / "lib/sysusers.d/protoscale.conf", text("sysusers.conf")),
        File(prefix / "lib/tmpfiles.d/protoscale.conf", text("tmpfiles.conf")),
        # The newest example lies beside the units, to compare with; the operator's own is theirs.
        File(prefix / "share/protoscale/protoscale.env", text("protoscale.env")),
        # systemd reads it as root, and one day it may hold a secret.
        File(ENV_FILE, text("protoscale.env"), mode=0o640, keep=True),
    ]


def program() -> Path:
    """The `protoscale` of the environment that runs this. Raises CannotInstall where there is none."""
    path = Path(sysconfig.get_path("scripts")) / "protoscale"
    if not path.exists():
        raise CannotInstall(f"there is no {path}; install ProtoScale into this environment with pip first")
    return path


def _source() -> Path:
    """The folder of the unit files: in the checkout, else where the wheel put them."""
    checkout = Path(__file__).resolve().parent.parent / "systemd"
    installed = Path(sysconfig.get_path("data")) / "share/protoscale/systemd"
    for folder in (checkout, installed):
        # By a file of ours: PyPI's systemd-python also is a folder `systemd` beside our packages.
        if (folder / "protoscale.service").is_file():
            return folder
    raise CannotInstall(f"the unit files are in neither {checkout} nor {installed}; install ProtoScale again")


def _quoted(path: Path) -> str:
    """A path as systemd.service(5) wants the first word of a command."""
    text = str(path).replace("%", "%%")
    if any(sign in text for sign in "\n\"'\\"):
        raise CannotInstall(
            f"systemd cannot be given the path {path!r}; install ProtoScale in another folder"
        )
    return f'"{text}"' if " " in text else text


def obstacles() -> Iterator[str]:
    """Why the services' user could not run this installation: one line for each thing that is out of its reach."""
    ours = Path(__file__).resolve().parent.parent
    for what, path in (
        ("the command", program()),
        ("the Python interpreter", Path(sys.executable).resolve()),
        ("the Python library", Path(sysconfig.get_path("stdlib")).resolve()),
        ("ProtoScale's code", ours),
    ):
        why = unreachable(path)
        if why:
            yield f"{what}, {path}, {why}"


def unreachable(path: Path) -> str | None:
    """Why the services, who are neither root nor see people's homes, cannot get at `path`; None where they can."""
    why = hidden(path)
    if why:
        return why
    for folder in reversed(path.parents):
        if folder.exists() and not folder.stat().st_mode & stat.S_IXOTH:
            return f"lies below {folder}, which only its owner may enter"
    return None


def hidden(path: Path) -> str | None:
    """Why the units show `path` to no service, whoever may read it; None where they do."""
    for folder in HIDDEN:
        if path.is_relative_to(folder):
            return f"lies below {folder}, which the units hide from the service"
    return None
