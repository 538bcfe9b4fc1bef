"""A real systemd, as PID 1 of namespaces of its own, to be managed with the real systemctl."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.support import until

BOOT = Path(__file__).parent / "boot.sh"
TOOLS = ("unshare", "nsenter", "setpriv", "systemctl", "journalctl", "systemd-sysusers", "systemd-tmpfiles")
SYSTEMD = Path("/lib/systemd/systemd")


def why_not() -> str | None:
    """Why no box can be had on this machine; None where one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "it takes root on Linux"
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if not SYSTEMD.exists() or missing:
        return f"systemd is not installed ({', '.join(missing) or SYSTEMD})"
    if _cgroup2() is None:
        return "no cgroup2 is mounted"
    tried = subprocess.run(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--cgroup",
            "--uts",
            "--ipc",
            "mount",
            "-t",
            "tmpfs",
            "x",
            "/mnt",
        ],
        capture_output=True,
        text=True,
    )
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else None


def _cgroup2() -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return Path(before.split()[4])
    return None


class Box:
    """One booted systemd. `shares` are folders of this machine, shown read-only at other places inside."""

    def __init__(self, folder: Path, shares: Mapping[Path, Path]) -> None:
        self._folder = folder
        self._shares = shares
        cgroup2 = _cgroup2()
        assert cgroup2 is not None
        self._cgroup = cgroup2 / f"protoscale-test-{os.getpid()}"
        self._outer: subprocess.Popen[bytes] | None = None
        self.init = 0

    @property
    def root(self) -> Path:
        """The box's root directory, from outside."""
        return Path(f"/proc/{self.init}/root")

    def boot(self) -> None:
        """Start it, and wait until systemctl answers."""
        self._folder.mkdir()
        self._cgroup.mkdir()
        console = (self._folder.parent / "console.log").open("wb")
        self._outer = subprocess.Popen(
            [
                *(
                    "unshare",
                    "--mount",
                    "--pid",
                    "--fork",
                    "--kill-child=SIGKILL",
                    "--cgroup",
                    "--uts",
                    "--ipc",
                ),
                *("--propagation", "private", str(BOOT), str(self._folder)),
                *(f"{source}={target}" for source, target in self._shares.items()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            # The new cgroup namespace begins where the process is that makes it.
            preexec_fn=self._enter,
        )
        console.close()
        until(self._is_up, 60)

    def _enter(self) -> None:
        (self._cgroup / "cgroup.procs").write_text("0")

    def _is_up(self) -> bool:
        assert self._outer is not None
        assert self._outer.poll() is None, (self._folder.parent / "console.log").read_text()
        children = psutil.Process(self._outer.pid).children()
        if not children or children[0].name() != "systemd":
            return False
        self.init = children[0].pid
        state = self.run("systemctl", "is-active", "box.target", check=False)
        return state.stdout.strip() == "active"

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as in a fresh shell: without our own settings. With `check`, it must succeed."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith("PROTOSCALE_")}
        done = subprocess.run(
            [
                "nsenter",
                f"--target={self.init}",
                *["-m", "-p", "-C", "-u", "-i", "-r"],
                "--wd",
                "--",
                *command,
            ],
            env=outside,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def show(self, unit: str, field: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={field}", "--value").stdout.strip()

    def journal(self, *options: str) -> str:
        """What journalctl prints."""
        return self.run("journalctl", "--no-pager", "-o", "short-precise", *options).stdout

    def halt(self) -> None:
        """End it with everything in it: when its PID 1 dies, the kernel kills the rest."""
        if self._outer is None:
            return
        self._outer.kill()
        self._outer.wait()
        groups = sorted(self._cgroup.rglob("*/"), reverse=True)
        # The last processes leave their groups a moment after they were killed.
        until(lambda: not (self._cgroup / "cgroup.procs").read_text() and _all_gone(groups), 30)
        self._cgroup.rmdir()


def _all_gone(groups: list[Path]) -> bool:
    try:
        for group in groups:
            if group.is_dir():
                group.rmdir()
    except OSError:
        return False
    return True
