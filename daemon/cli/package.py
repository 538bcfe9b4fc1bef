"""Are the packages we import ours? PyPI's python-daemon installs a package `daemon` too."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import daemon
from daemon.errors import DaemonError


class NotOurs(DaemonError):
    """A package of the same name is in the way."""


def root() -> Path:
    """The directory that holds our three packages."""
    return Path(daemon.__file__).resolve().parent.parent


def check_ours() -> None:
    """Raises NotOurs unless `daemon`, `spool` and `httpd` lie side by side and `daemon` is this one."""
    for name in ("daemon", "spool", "httpd"):
        spec = find_spec(name)
        found = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if found is None or found.parent != Path(__file__).resolve().parents[2]:
            raise NotOurs(
                f"the package `{name}` that Python finds is not ProtoScale's ({found or 'none at all'}). PyPI's "
                "python-daemon also installs `daemon`; use a virtual environment for ProtoScale alone"
            )
