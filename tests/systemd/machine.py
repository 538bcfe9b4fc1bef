"""A box with the service installed, and what its tests do with it from outside."""

from __future__ import annotations

import json
import os
import re
import signal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from spool.spool import Spool
from spool.view import look
from tests.service import free_port
from tests.support import picture, until
from tests.systemd.box import Box, why_not

WHY_NOT = why_not()
# CI asks for a failure where the tests could not run: a skip would be overlooked.
REQUIRED = os.environ.get("PROTOSCALE_TEST_SYSTEMD") == "required"
UNDER_SYSTEMD = [
    pytest.mark.service,
    pytest.mark.skipif(bool(WHY_NOT) and not REQUIRED, reason=WHY_NOT or ""),
]
"""The marks of every test that takes a machine."""

COMMAND = "/opt/protoscale/bin/protoscale"
INSIDE = {name: Path(f"/opt/{name}") for name in ("python", "dependencies", "models", "wheel")}
"""Where the box shows what it borrows: the service's user could not get at a checkout in somebody's home."""
SETTINGS = f"""
REMBG_MODEL=u2netp
PROTOSCALE_QUALITY=draft
PROTOSCALE_RESERVE=1M
PROTOSCALE_SETTLE=0.5
PROTOSCALE_DRAIN_LIMIT=60
U2NET_HOME={INSIDE["models"]}
"""


class Machine(Box):
    """A box with the service installed. Its network is this machine's, so the tests can call it."""

    def __init__(self, folder: Path, shares: dict[Path, Path]) -> None:
        super().__init__(folder, shares)
        self.port = free_port()

    @property
    def spool(self) -> Spool:
        return Spool(self.root / "var/lib/protoscale/spool")

    def install(self) -> None:
        """As the README says, but for the dependencies, which are lent."""
        (self.root / "etc/ld.so.conf.d/lent.conf").write_text(f"{INSIDE['python']}/lib\n")
        self.run("ldconfig")  # an interpreter with a shared library looks for it where it was built
        self.run(f"{INSIDE['python']}/bin/python3", "-m", "venv", "--without-pip", "/opt/protoscale")
        (packages,) = (self.root / "opt/protoscale/lib").glob("python3*/site-packages")
        (packages / "lent.pth").write_text(f"{INSIDE['dependencies']}\n")
        (wheel,) = (self.root / "opt/wheel").iterdir()
        pip = ("/opt/protoscale/bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
        self.run(*pip, "--ignore-installed", "--root-user-action=ignore", str(INSIDE["wheel"] / wheel.name))
        self.run(COMMAND, "install-systemd")
        with (self.root / "etc/protoscale/protoscale.env").open("a") as settings:
            settings.write(SETTINGS)
        self.change(
            "protoscale-httpd.socket", f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{self.port}\n"
        )
        # Short, so that the test is; far above what a turn of the supervisor's loop takes.
        self.change("protoscale.service", "[Service]\nWatchdogSec=8\n")
        self.run("systemctl", "daemon-reload")

    def change(self, unit: str, text: str) -> None:
        """What `systemctl edit` does."""
        folder = self.root / f"etc/systemd/system/{unit}.d"
        folder.mkdir(parents=True)
        (folder / "override.conf").write_text(text)

    def pid(self, unit: str = "protoscale.service") -> int:
        return int(self.show(unit, "MainPID"))

    def kill(self, pid: int, number: signal.Signals) -> None:
        self.run("kill", f"-{number.name[3:]}", str(pid))

    def works(self) -> bool:
        """Whether the service and its server are up, by their own account."""
        states = {
            self.show(unit, "ActiveState") for unit in ("protoscale.service", "protoscale-httpd.service")
        }
        return states == {"active"} and bool(
            re.search("idle|busy", self.show("protoscale.service", "StatusText"))
        )

    def says(self, words: str, *options: str) -> bool:
        """Wait until the journal has these words: it has them a moment after they were said."""
        return until(lambda: words in self.journal(*options), 60)

    def workers(self) -> dict[str, int | None]:
        """Who fills which post, as the box numbers processes; None where nobody does now."""
        board = json.loads((self.spool.root / "supervisor.json").read_text())
        return {slot["name"]: slot["pid"] for slot in board["workers"]}

    def drop(self, name: str) -> None:
        (self.spool.root / "inbox" / name).write_bytes(picture())

    def call(self, path: str, body: bytes | None = None, kind: str = "") -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST" if body else "GET", path, body, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        assert answer.status < 300, told
        return told

    def upload(self, quality: str = "draft", **others: str) -> str:
        texts = {"start": "true", "quality": quality, **others}
        fields = {name: value.encode() for name, value in texts.items()}
        fields['file"; filename="cup.png'] = picture()
        body = b"".join(
            b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
            for name, value in fields.items()
        )
        job_id = self.call("/api/upload", body + b"--x--\r\n", "multipart/form-data; boundary=x")["job_id"]
        return str(job_id)

    def finished(self, job_id: str) -> dict[str, Any]:
        """Wait for the end of a job; it must be a good one."""
        until(lambda: look(self.spool, job_id)["status"] in ("completed", "failed"), 120)
        told = look(self.spool, job_id)
        assert told["status"] == "completed", told
        return told
