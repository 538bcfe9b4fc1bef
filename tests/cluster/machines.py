"""Machines for the tests: real Ray nodes, each in a network namespace of its own where that can be had (as root),
else at an address of its own on the loopback.

A machine is `ray start --block`. Everything it starts carries its mark in the environment, and is found by it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.service import ROOT, free_port, marked
from tests.support import until

MARK = "PROTOSCALE_TEST_MACHINE"
QUICK = {
    # Ray's own patience with machines that do not answer, made short: 3 looks, 1 s apart.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1500",
    "RAY_health_check_failure_threshold": "3",
}


def ray_missing() -> str | None:
    """Why there can be no machines here, if so."""
    try:
        import ray  # noqa: F401
    except ImportError:
        return "Ray is not installed (there is no wheel for every Python)"
    return None


def namespaces_missing() -> str | None:
    """Why there can be no network namespaces here, if so."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return "network namespaces take root and the command `ip`"
    name = f"ps{uuid.uuid4().hex[:8]}"
    tried = _ip("netns", "add", name, check=False)
    if tried.returncode == 0:
        tried = _ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", check=False)
        _ip("link", "del", f"{name}a", check=False)
        _ip("netns", "del", name, check=False)
    return None if tried.returncode == 0 else f"no network namespace can be made here: {tried.stderr.strip()}"


def _ip(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


class Net:
    """Where machines have their addresses. The head is at `.1`, the others at `.2` and so on."""

    def __init__(self, namespaces: bool) -> None:
        self.namespaces = namespaces
        self.tag = uuid.uuid4().hex[:6]
        block = int(self.tag, 16)
        self.prefix = (
            f"10.{200 + block % 50}.{block // 50 % 250}" if namespaces else f"127.{10 + block % 200}.0"
        )
        if namespaces:
            _ip("link", "add", f"psb{self.tag}", "type", "bridge")
            _ip("addr", "add", f"{self.prefix}.1/24", "dev", f"psb{self.tag}")
            _ip("link", "set", f"psb{self.tag}", "up")

    def place(self, number: int) -> list[str]:
        """Make the place of machine `number`; what to put before a command that is to run there."""
        if not self.namespaces or number == 1:
            return []
        name, wire = self._space(number), self._wire(number)
        _ip("netns", "add", name)
        _ip("link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", wire, "master", f"psb{self.tag}", "up")
        _ip("-n", name, "addr", "add", f"{self.prefix}.{number}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "link", "set", "eth0", "up")
        return ["ip", "netns", "exec", name]

    def cut(self, number: int, *, whole: bool = False) -> None:
        """Pull the plug of machine `number`, or (`whole`) put it back."""
        _ip("link", "set", self._wire(number), "up" if whole else "down")

    def close(self, count: int) -> None:
        if self.namespaces:
            for number in range(2, count + 1):
                _ip("link", "del", self._wire(number), check=False)  # what still ends in there would keep it
                _ip("netns", "del", self._space(number), check=False)
            _ip("link", "del", f"psb{self.tag}", check=False)

    def _space(self, number: int) -> str:
        return f"ps{self.tag}-{number}"

    def _wire(self, number: int) -> str:
        return f"ps{self.tag}v{number}"


class Machine:
    """One Ray node. Its name is what the roster calls it."""

    def __init__(
        self, rig: Rig, number: int, resources: Mapping[str, int], environ: Mapping[str, str]
    ) -> None:
        self.number = number
        self.name = f"box{number}"
        self.address = f"{rig.net.prefix}.{number}"
        self.mark = f"{rig.net.tag}-{number}"
        self.log = rig.folder / f"{self.name}.log"
        self._rig = rig
        self._prefix = rig.net.place(number)
        self._resources = resources
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it (again) and wait until it is in the cluster."""
        command = [
            *self._prefix,
            *(str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"),
            *("--node-ip-address", self.address, "--node-name", self.name, "--num-cpus=1", "--num-gpus=0"),
            *("--object-store-memory=100000000", f"--resources={json.dumps(self._resources)}"),
            *(
                (
                    "--head",
                    f"--port={self._rig.port}",
                    "--include-dashboard=false",
                    f"--temp-dir={self._rig.folder}",
                )
                if self.number == 1
                else (f"--address={self._rig.address}",)
            ),
        ]
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            environ = {**self._rig.environ, **self._environ, MARK: self.mark}
            environ = {name: value for name, value in environ.items() if value}  # an empty one takes one away
            self._process = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=log, stderr=log)

        def up() -> bool:
            assert self._process and self._process.poll() is None, self.log.read_text()
            with self.log.open("rb") as log:
                log.seek(before)
                return b"Ray runtime started" in log.read()

        until(up, 120)

    def kill(self) -> None:
        """The power fails: every process of it ends at once."""
        while pids := self.pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self._process:
            self._process.wait(60)
            self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def cut(self) -> None:
        """Nothing reaches it any more."""
        self._rig.net.cut(self.number)

    def mend(self) -> None:
        """The network is back."""
        self._rig.net.cut(self.number, whole=True)

    def outposts(self) -> list[psutil.Process]:
        """The actors on it."""
        found = []
        for pid in self.pids():
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                if "Outpost" in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def pids(self) -> set[int]:
        """All processes of it."""
        return marked(MARK, self.mark)


class Rig:
    """A head and the machines around it; `machines` starts with the head, which works on nothing itself."""

    def __init__(self, *, namespaces: bool, environ: Mapping[str, str] | None = None) -> None:
        # Not below a test's own folder: the names of Ray's sockets in here may have 107 characters in all.
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "RAY_DISABLE_IMPORT_WARNING": "1",
            "RAY_AUTH_MODE": "disabled",
            "OMP_NUM_THREADS": "1",
            **QUICK,
            **(environ or {}),
        }
        self.net = Net(namespaces)
        self.port = free_port()
        self.address = f"{self.net.prefix}.1:{self.port}"
        self.machines: list[Machine] = []
        self.add().start()

    def add(self, resources: Mapping[str, int] | None = None, **environ: str) -> Machine:
        """One more machine, not started yet."""
        machine = Machine(self, len(self.machines) + 1, resources or {}, environ)
        self.machines.append(machine)
        return machine

    def close(self) -> None:
        for machine in reversed(self.machines):
            machine.kill()
        self.net.close(len(self.machines))
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def rig(*, namespaces: bool | None = None, environ: Mapping[str, str] | None = None) -> Iterator[Rig]:
    """A cluster with nothing but its head; nothing of it is left at the end."""
    made = Rig(namespaces=namespaces_missing() is None if namespaces is None else namespaces, environ=environ)
    try:
        yield made
    finally:
        made.close()
