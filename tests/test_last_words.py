"""A start that fails ends with what to change: for people as the last line, for systemd as its status."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from daemon.pulse import Pulse
from tests.ear import Ear
from tests.service import Service
from tests.support import until

pytestmark = pytest.mark.service


@pytest.mark.parametrize(
    ("variable", "value", "who", "why"),
    [
        ("ENGINE", "hunyuan", "worker ", "set HUNYUAN_PATH"),
        ("PROTOSCALE_PORT", "abc", "the HTTP server ", "PROTOSCALE_PORT='abc' is not accepted"),
    ],
)
def test_the_last_line_says_what_to_change(
    tmp_path: Path, u2net_home: Path, ear: Ear, variable: str, value: str, who: str, why: str
) -> None:
    environ = {variable: value, "HUNYUAN_PATH": "auto", **ear.environ}
    service = Service(tmp_path / "spool", u2net_home, **environ)
    service.start(ready=False)
    told: list[str] = []

    def has_ended() -> bool:
        told.extend(ear.heard())  # all the while, so that whoever tells is never held up
        return service.process is not None and service.process.poll() is not None

    try:
        until(has_ended, 120)
    finally:
        code = service.stop(signal.SIGKILL)
    told += ear.heard()
    lines = service.log.read_text().splitlines()
    assert code == 78
    assert who in lines[-1] and why in lines[-1]
    assert any("draining" in line for line in lines)
    status = [message for message in told if message.startswith("STATUS=")][-1]
    assert who in status and why in status


def test_last_words_are_kept_until_a_new_process_takes_over() -> None:
    pulse = Pulse()
    pulse.cannot_start("run `protoscale models pull` – " + "x" * 5000)
    assert pulse.last_words.startswith("run `protoscale models pull` – xxx")
    pulse.reset()
    assert pulse.last_words == ""
