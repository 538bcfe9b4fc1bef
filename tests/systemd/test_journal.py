"""What goes to the journal: priorities on every line, and the same text without them on a terminal."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from spool.journal import entry
from spool.notify import Systemd
from tests.service import ROOT


def said(tmp_path: Path, code: str, *, journal: bool) -> str:
    """The stderr of a process that runs `code`; with `journal`, stderr is what JOURNAL_STREAM names."""
    with (tmp_path / "stderr").open("w") as stream:
        there = os.fstat(stream.fileno())
        environ = {"PATH": os.environ["PATH"]}
        if journal:
            environ["JOURNAL_STREAM"] = f"{there.st_dev}:{there.st_ino}"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=stream, env=environ)
    return (tmp_path / "stderr").read_text()


LINES = """
import logging
from spool.logs import complain, to_stderr
to_stderr("debug", "geometry-cpu")
log = logging.getLogger("x")
log.debug("a"); log.info("b"); log.warning("c"); log.error("two\\nlines")
log.error("broken", exc_info=ValueError("why")); complain("wrong")
"""


def test_each_line_has_its_priority(tmp_path: Path) -> None:
    assert said(tmp_path, LINES, journal=True).splitlines() == [
        "<7>geometry-cpu: a",
        "<6>geometry-cpu: b",
        "<4>geometry-cpu: c",
        "<3>geometry-cpu: two\\nlines",
        "<3>geometry-cpu: broken",
        "<3>ValueError: why",
        "<3>protoscale: wrong",
    ]


def test_a_terminal_sees_no_priorities(tmp_path: Path) -> None:
    told = said(tmp_path, LINES, journal=False)
    assert "<" not in told and told.endswith("protoscale: wrong\n")


def test_a_crash_is_no_mere_information(tmp_path: Path) -> None:
    code = (
        "from spool.logs import to_stderr; to_stderr('info', 'supervisor'); raise ZeroDivisionError('ours')"
    )
    lines = said(tmp_path, code, journal=True).splitlines()
    assert lines and all(line.startswith("<2>") for line in lines)
    assert lines[-1] == "<2>ZeroDivisionError: ours"


def test_a_stderr_that_went_elsewhere_is_not_taken_for_the_journal(tmp_path: Path) -> None:
    # A child whose stderr is a file, with the variable still in its environment.
    code = f"import os; os.environ['JOURNAL_STREAM'] = '1:1'\n{LINES}"
    assert "<" not in said(tmp_path, code, journal=False)


def test_a_field_may_hold_line_breaks() -> None:
    assert entry("MESSAGE", "a\nbé") == b"MESSAGE\n\x05\0\0\0\0\0\0\0a\nb\xc3\xa9\n"


def test_a_stopping_service_asks_for_the_time_it_needs(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")}).stopping(610)
        assert listener.recv(200) == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=610000000"
