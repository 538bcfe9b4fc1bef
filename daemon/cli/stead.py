"""`protoscale --service`: the command line in the systemd service's stead, with its settings and as its user.

Otherwise a command beside the service would act on the caller's own spool, models and settings, and what it tells or
makes would not be the service's. `install-systemd` puts a `protoscale` in place that says `--service` itself.
"""

from __future__ import annotations

import os
import pwd

from daemon import envfile
from daemon.errors import DaemonError
from daemon.units import ENV_FILE, program

USER = "protoscale"
STATE = "/var/lib/protoscale"
ENVIRONMENT = {
    "STATE_DIRECTORY": STATE,
    "CACHE_DIRECTORY": "/var/cache/protoscale",
    "U2NET_HOME": f"{STATE}/u2net",
    "XDG_CACHE_HOME": "/var/cache/protoscale",
    "HOME": STATE,
}
"""What the units give the service before its file of settings is read; a test compares."""
AS_ROOT = ("submit", "make", "export", "install-systemd")
"""Commands that read or write files of the caller's, which the service's user could not reach."""


class NotTheService(DaemonError):
    """The command cannot act for the service; the text says what to do instead."""


def take(command: str) -> None:
    """Act for the service from here on: its environment, and its user where the command can do with it.

    Raises NotTheService.
    """
    if os.geteuid() != 0:
        raise NotTheService(
            "this acts for the systemd service, whose settings only root may read: put `sudo` before it. "
            f"For a spool and models of your own there is {program()}"
        )
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        raise NotTheService(
            f"there is no user `{USER}`, so the service is not installed: run `sudo {program()} install-systemd`"
        ) from None
    os.environ.update(environment())
    if command not in AS_ROOT:
        _become(user)


def environment() -> dict[str, str]:
    """The service's environment, as far as it is not the caller's. Raises NotTheService."""
    try:
        text = ENV_FILE.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        text = ""  # the units do without it too
    except OSError as error:
        raise NotTheService(f"{ENV_FILE} cannot be read: {error.strerror}") from None
    return {**ENVIRONMENT, **envfile.parse(text)}


def _become(user: pwd.struct_passwd) -> None:
    """For good: not even a bug in what follows makes files that the service cannot touch."""
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.umask(0o027)
    os.chdir(STATE)
