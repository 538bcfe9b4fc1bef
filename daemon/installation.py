"""What `protoscale doctor` looks at in the service that is installed: who runs, and what its units hide from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from daemon import units
from daemon.config import Config
from daemon.engines import choose
from daemon.engines.hunyuan import checkout
from daemon.finding import BROKEN, OK, WARN, Finding
from spool import callbacks, command, lock


def supervisor(config: Config) -> Finding:
    """Whether the service runs."""
    if lock.is_held(config.spool):
        return Finding("service", OK, "a supervisor runs on this spool")
    return Finding("service", WARN, "no supervisor runs on this spool", f"start {command.started()}")


def webhooks(config: Config, environ: Mapping[str, str]) -> list[Finding]:
    """Whether somebody delivers webhooks where they are on."""
    hosts = environ.get("PROTOSCALE_CALLBACK_HOSTS")
    if not hosts:
        return []
    if callbacks.is_served(config.spool):
        return [Finding("webhooks", OK, f"on for {hosts}, and a process delivers them")]
    # Of the units' two the server has no network; `protoscale run` and `serve` deliver themselves.
    advice = command.started("webhooks") if command.is_units() else command.started()
    return [Finding("webhooks", WARN, f"on for {hosts}, and no process delivers them", f"start {advice}")]


def hidden(config: Config) -> list[Finding]:
    """What this command sees and the service does not, since its units hide homes and /tmp from it."""
    if not command.is_units():
        return []
    found = checkout.find(config.hunyuan_path)
    places: dict[str, Path | None] = {
        "PROTOSCALE_SPOOL": config.spool,
        "U2NET_HOME": config.u2net_home,
    }
    if found and choose.chosen(config) == choose.HUNYUAN:
        places |= {
            "HUNYUAN_PATH": found.root,
            "HUNYUAN_CKPT_DIR": config.hunyuan_ckpt_dir,
            "MODEL_PATH": Path(config.model_path).expanduser() if Path(config.model_path).is_dir() else None,
        }
    why = {name: units.hidden(path.absolute()) for name, path in places.items() if path}
    return [
        Finding(
            "sandbox", BROKEN, f"{name}: {places[name]} {reason}", "move it, to /opt or /var/lib/protoscale"
        )
        for name, reason in why.items()
        if reason
    ]
