"""What works here, what does not, and what to do: one small check per thing that people get wrong."""

from __future__ import annotations

import difflib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from daemon import devices, models
from daemon.config import Config
from daemon.engines import choose
from daemon.errors import DaemonError
from spool import lock
from spool.errors import SpoolError
from spool.settings import read, room_left
from spool.spool import Spool

OK = "ok"
WARN = "warn"
BROKEN = "broken"

UNSUITABLE = {
    "nfs": "renames and locks over NFS depend on the server",
    "nfs4": "renames and locks over NFS depend on the server",
    "cifs": "a Windows share has no atomic rename of open folders",
    "smb3": "a Windows share has no atomic rename of open folders",
    "fuseblk": "this file system does not keep its promises after a power failure",
    "tmpfs": "everything in it is gone after a restart",
    "overlay": "a container's own layer is gone with the container; mount a volume",
}
SERVER_VARIABLES = (
    "PROTOSCALE_HOST",
    "PROTOSCALE_PORT",
    "PROTOSCALE_MAX_UPLOAD",
    "PROTOSCALE_EXPORT_LIMIT",
    "PROTOSCALE_EXPORT_MEMORY",
)
"""What the HTTP server reads; named here because `daemon` does not import `httpd`. A test compares."""


@dataclass(frozen=True)
class Finding:
    """One check's outcome: `words` say what is, `advice` what to do (empty where nothing is)."""

    name: str
    verdict: str
    words: str
    advice: str = ""


def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Run every check. A check that needs settings is skipped where those are wrong themselves."""
    found = [python(), *variables(environ)]
    try:
        config = read(Config, environ)
    except SpoolError as error:
        return [*found, Finding("settings", BROKEN, str(error), "correct or unset the variable")]
    checks: tuple[Callable[[Config], Finding], ...] = (
        engine,
        workers,
        hunyuan,
        background_model,
        spool_folder,
        file_system,
        disk,
        file_events,
        supervisor,
    )
    return [*found, *(check(config) for check in checks)]


def python() -> Finding:
    """The interpreter, and whether the packages it finds are ours."""
    from daemon.cli.package import NotOurs, check_ours

    words = f"Python {sys.version.split()[0]} at {sys.executable}"
    try:
        check_ours()
    except NotOurs as error:
        return Finding("python", BROKEN, f"{words}; {error}", "make a virtual environment for ProtoScale")
    return Finding("python", OK, words)


def variables(environ: Mapping[str, str]) -> list[Finding]:
    """PROTOSCALE_ variables that nobody reads: typing errors, mostly."""
    known = [str(item.metadata["env"]) for item in fields(Config)] + list(SERVER_VARIABLES)
    strange = [name for name in environ if name.startswith("PROTOSCALE_") and name not in known]
    found = []
    for name in strange:
        near = difflib.get_close_matches(name, known, 1)
        advice = f"did you mean {near[0]}?" if near else "unset it"
        found.append(Finding("settings", WARN, f"{name} is set, and nothing reads it", advice))
    return found


def engine(config: Config) -> Finding:
    """Which engine runs here, and why."""
    name = choose.chosen(config)
    why = "as ENGINE says" if config.engine == name else "the one this machine can run"
    return Finding("engine", OK, f"{name} ({why})")


def workers(config: Config) -> Finding:
    """The devices, and which worker works where."""
    there = ", ".join(devices.present())
    try:
        posts = devices.posts(config, choose.DEVICES[choose.chosen(config)])
    except DaemonError as error:
        return Finding(
            "devices", BROKEN, str(error), "correct GEOMETRY_DEVICE and TEXTURE_DEVICE, or unset them"
        )
    return Finding("devices", OK, f"here: {there}; workers: {', '.join(post.name for post in posts)}")


def hunyuan(config: Config) -> Finding:
    """The GPU engine's checkout."""
    return Finding(
        "hunyuan",
        OK,
        "Hunyuan3D-2.1 is not part of this version; models are made by the engine named above",
    )


def background_model(config: Config) -> Finding:
    """The weights for background removal."""
    for name in (config.rembg_model, models.FALLBACK):
        path = models.locate(name, config.u2net_home)
        if path and not models.verified(path, models.known(name)):
            return Finding(
                "background",
                BROKEN,
                f"{path} is damaged (its sha256 is wrong)",
                "run `protoscale models pull`",
            )
        if path and name == config.rembg_model:
            return Finding("background", OK, f"{name}, verified, in {path}")
        if path:
            return Finding(
                "background",
                WARN,
                f"{config.rembg_model} is not here; the small {name} is used in its place",
                f"run `protoscale models pull {config.rembg_model}`",
            )
    return Finding(
        "background",
        BROKEN,
        f"no background-removal model in {config.u2net_home}",
        "run `protoscale models pull`",
    )


def spool_folder(config: Config) -> Finding:
    """Whether the spool can be made and written."""
    try:
        spool = Spool.open(config.spool)
    except SpoolError as error:
        return Finding("spool", BROKEN, str(error), "see the message")
    if not os.access(spool.root / "inbox", os.W_OK):
        return Finding(
            "spool", BROKEN, f"{spool.root} is not writable for this user", "change its owner or mode"
        )
    return Finding("spool", OK, str(spool.root))


def file_system(config: Config) -> Finding:
    """What the spool lies on."""
    kind, mount = mounted(config.spool.absolute(), Path("/proc/self/mountinfo").read_text())
    words = f"{kind} (mounted at {mount})"
    why = UNSUITABLE.get(kind) or ("file systems in user space vary" if kind.startswith("fuse") else "")
    if why:
        return Finding("file system", WARN, f"{words}: {why}", "put PROTOSCALE_SPOOL on a local disk")
    return Finding("file system", OK, words)


def mounted(path: Path, mountinfo: str) -> tuple[str, str]:
    """Type and mount point of the file system that holds `path`, from the text of proc(5)'s mountinfo."""
    best = ("unknown", "/")
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        mount = before.split()[4].encode().decode("unicode_escape")
        if path.is_relative_to(mount) and len(mount) >= len(best[1]):
            best = (after.split()[0], mount)
    return best


def disk(config: Config) -> Finding:
    """Free space against the reserve."""
    place = next(
        parent for parent in (config.spool.absolute(), *config.spool.absolute().parents) if parent.exists()
    )
    free = shutil.disk_usage(place).free
    words = f"{free / 2**30:.1f} GiB free, reserve {config.reserve / 2**30:.1f} GiB"
    if not room_left(place, config.reserve):
        return Finding(
            "disk", BROKEN, f"{words}: uploads are refused", "free space, or lower PROTOSCALE_RESERVE"
        )
    return Finding("disk", OK, words)


def file_events(config: Config) -> Finding:
    """Whether the kernel has inotify instances to give; each process of the service takes one."""
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    if not limit.exists():
        return Finding("file events", WARN, "no inotify here: folders are scanned instead", "")
    count = int(limit.read_text())
    if count < 32:
        return Finding(
            "file events", WARN, f"only {count} inotify instances", "sysctl fs.inotify.max_user_instances=128"
        )
    return Finding("file events", OK, f"inotify, {count} instances for this user")


def supervisor(config: Config) -> Finding:
    """Whether the service runs."""
    if lock.is_held(config.spool):
        return Finding("service", OK, "a supervisor runs on this spool")
    return Finding("service", WARN, "no supervisor runs on this spool", "start `protoscale run`")
