"""`protoscale install-systemd`: put the units in place, or take them away."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

from daemon import units
from daemon.cli import exits
from daemon.units import ENV_FILE, MARK, TARGET, UNITS, CannotInstall, File


def run(options: argparse.Namespace) -> int:
    """Install or uninstall. Doing it again changes nothing."""
    prefix = Path(options.prefix)
    if not prefix.is_absolute():
        raise CannotInstall(f"--prefix {prefix} is not an absolute path")
    # An empty DESTDIR= is none, as make and packagers have it.
    staged = Path(options.destdir).absolute() if options.destdir else None
    try:
        return _uninstall(prefix, staged) if options.uninstall else _install(prefix, staged)
    except PermissionError as error:
        raise CannotInstall(f"{error.filename} cannot be written: run this as root (sudo)") from None


def _install(prefix: Path, staged: Path | None) -> int:
    files = units.files(prefix)
    obstacles = list(units.obstacles())
    if obstacles and staged is None:
        raise CannotInstall(
            "the service, which runs as the user `protoscale` and sees nobody's home, could not start: "
            + "; ".join(obstacles)
            + ". Install it where every user can read it, with the system's Python:\n"
            "  /usr/bin/python3 -m venv /opt/protoscale\n"
            "  /opt/protoscale/bin/pip install .\n"
            "  /opt/protoscale/bin/protoscale install-systemd"
        )
    for obstacle in obstacles:
        print(f"note: on this machine the service could not start: {obstacle}")
    for file in files:
        print(f"{_put(file, staged)} {_at(file.target, staged)}")
    if staged is None:
        _settle()
    else:
        print("DESTDIR is set: only the files were written; on the machine itself run")
        print("  systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload")
    command = "protoscale"
    wrapper = _at(prefix / "bin/protoscale", staged)
    if MARK not in wrapper.read_text(encoding="utf-8", errors="replace"):
        command = f"{units.program()} --service"
        print(f"note: {wrapper} is not of this installation and stays; for the service use `{command}`")
    print(f"""next:
  {ENV_FILE}                  the settings; read them once
  sudo {command} models pull                     fetch the background-removal model
  sudo systemctl enable --now {TARGET}   start everything, now and at each boot
  sudo {command} doctor                          what works, what does not, what to do
after an upgrade: sudo systemctl restart {TARGET}""")
    return exits.OK


def _uninstall(prefix: Path, staged: Path | None) -> int:
    files = [file for file in units.files(prefix) if not file.keep]
    if staged is None and _systemd_runs():
        known = [unit for unit in UNITS if _at(prefix / "lib/systemd/system" / unit, None).exists()]
        if known:
            _call("systemctl", "disable", "--now", *known)
    for file in files:
        path = _at(file.target, staged)
        if path.exists() and _is_ours(file, path):
            path.unlink()
            print(f"removed   {path}")
    folder = _at(prefix / "share/protoscale", staged)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    if staged is None and _systemd_runs():
        _call("systemctl", "daemon-reload")
    print(f"kept: {ENV_FILE}, /var/lib/protoscale with the spool, the user `protoscale`")
    return exits.OK


def _put(file: File, staged: Path | None) -> str:
    """Write one file where it is missing or differs; what was done, in a word."""
    path = _at(file.target, staged)
    if path.exists():
        if file.keep or not _is_ours(file, path):
            return "kept     "
        if path.read_text(encoding="utf-8") == file.content:
            return "unchanged"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(file.content, encoding="utf-8")
    aside.chmod(file.mode)
    aside.replace(path)
    return "written  "


def _is_ours(file: File, path: Path) -> bool:
    """Whether what lies there is of an installation of ours: a `protoscale` on the PATH may be somebody's own."""
    return file.mark.encode() in path.read_bytes()


def _settle() -> None:
    """Make the user and the folders, and have systemd read the units."""
    if not shutil.which("systemd-sysusers"):
        print("note: systemd is not on this machine; the files wait for it")
        return
    _call("systemd-sysusers", "protoscale.conf")
    _call("systemd-tmpfiles", "--create", "protoscale.conf")
    if _systemd_runs():
        _call("systemctl", "daemon-reload")


def _systemd_runs() -> bool:
    """sd_booted(3)."""
    return Path("/run/systemd/system").is_dir()


def _call(*command: str) -> None:
    if subprocess.run(command, check=False).returncode != 0:
        raise CannotInstall(f"`{' '.join(command)}` failed; its message is above. Then run this again")


def _at(path: Path, staged: Path | None) -> Path:
    return staged / path.relative_to("/") if staged else path
