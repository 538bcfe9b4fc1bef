"""What messages tell people to type: beside the systemd service, what reaches that one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from daemon import doctor, installation
from daemon.cli.__main__ import main
from daemon.cluster import fleet
from daemon.engines.background import BackgroundRemover
from daemon.errors import EngineUnavailable
from daemon.extras import installed
from httpd.access import NoKeys, needs_key
from httpd.config import HttpConfig
from httpd.listener import listen
from spool import callbacks, command
from spool.settings import read
from tests.service import free_port
from tests.support import config


@pytest.fixture(params=[False, True], ids=["by hand", "units"])
def sudo(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    if request.param:
        monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/protoscale")
        return "sudo "
    return ""


def test_commands_are_those_that_reach_the_service(sudo: str) -> None:
    assert command.typed("models pull") == f"`{sudo}protoscale models pull`"
    unit = "`sudo systemctl enable --now protoscale.target`"
    assert command.started() == (unit if sudo else "`protoscale run`")


def test_a_missing_model_says_how_to_fetch_it(sudo: str, tmp_path: Path) -> None:
    pull = f"`{sudo}protoscale models pull"
    with pytest.raises(EngineUnavailable, match=pull):
        BackgroundRemover("u2net", tmp_path).check()
    assert pull in doctor.background_model(config(tmp_path, U2NET_HOME=str(tmp_path))).advice


def test_a_missing_key_says_how_to_make_one(sudo: str, tmp_path: Path) -> None:
    environ = {"PROTOSCALE_SPOOL": str(tmp_path), "PROTOSCALE_REQUIRE_KEY": "true"}
    settings = read(HttpConfig, {**environ, "PROTOSCALE_PORT": str(free_port())})
    with listen(settings) as listener, pytest.raises(NoKeys, match=f"`{sudo}protoscale keys create"):
        needs_key(settings, listener)


def test_a_service_that_does_not_run_says_how_to_start_it(sudo: str, tmp_path: Path) -> None:
    advice = installation.supervisor(config(tmp_path / "spool")).advice
    assert advice == f"start {command.started()}"


def test_doctor_looks_who_delivers_webhooks(sudo: str, tmp_path: Path) -> None:
    settings, on = config(tmp_path), {"PROTOSCALE_CALLBACK_HOSTS": "hooks.example"}
    assert installation.webhooks(settings, {}) == []
    (found,) = installation.webhooks(settings, on)
    start = "`sudo systemctl enable --now protoscale-webhooks`" if sudo else "`protoscale run`"
    assert (found.verdict, found.advice) == ("warn", f"start {start}")
    with callbacks.postman(tmp_path):
        assert installation.webhooks(settings, on)[0].verdict == "ok"


def test_doctor_tells_what_the_units_hide(sudo: str, tmp_path: Path) -> None:
    found = installation.hidden(config(Path("/srv/spool"), U2NET_HOME="/home/ada/models"))
    assert [row.words.partition(" lies")[0] for row in found] == (
        ["U2NET_HOME: /home/ada/models"] if sudo else []
    )


def test_an_extra_is_never_installed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """`protoscale` on PyPI would be a stranger's."""
    pip = f"`{Path(sys.executable).parent}/pip install '.[cluster]'`"
    assert installed("cluster").startswith(pip)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineUnavailable, match="checkout") as refused:
        fleet.require()
    assert pip in str(refused.value)


def test_acting_for_the_service_takes_root(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main(["--service", "status"]) == 78
    assert "put `sudo` before it" in capsys.readouterr().err
