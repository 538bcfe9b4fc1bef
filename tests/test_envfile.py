"""The file of settings, read as systemd reads it; tests/systemd/test_command.py asks the real one about the same."""

from __future__ import annotations

from daemon import envfile
from tests.systemd.settings import EXPECTED, ODD


def test_settings_are_read_as_systemd_reads_them() -> None:
    assert envfile.parse(ODD) == EXPECTED


def test_what_is_no_assignment_is_left_out() -> None:
    assert envfile.parse("") == {}
    assert envfile.parse("just words\n=x\n9A=1\nexport B=1\nC=yes") == {"C": "yes"}
