"""The commands that messages name: what a person has to type to reach the service that this process is of.

Beside the systemd service the plain `protoscale` acts on the caller's own spool and models; `install-systemd` puts
one in place that acts for the service when root runs it.
"""

from __future__ import annotations

import os


def is_units() -> bool:
    """Whether this process is of the systemd service, or acts for it (`protoscale --service`)."""
    return bool(os.environ.get("STATE_DIRECTORY"))


def typed(words: str) -> str:
    """A command line of ours, in backquotes: `models pull` gives what fetches them for this very service."""
    return f"`sudo protoscale {words}`" if is_units() else f"`protoscale {words}`"


def started(what: str = "run") -> str:
    """What starts the service (`run`), or another part of it that is a command and a unit (`webhooks`)."""
    if is_units():
        unit = "protoscale.target" if what == "run" else f"protoscale-{what}"
        return f"`sudo systemctl enable --now {unit}`"
    return f"`protoscale {what}`"
