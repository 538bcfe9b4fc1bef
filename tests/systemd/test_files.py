"""The unit files as they are installed: what systemd-analyze says, and what the installer does to a machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from daemon import units
from daemon.cli import exits, stead
from daemon.cli.__main__ import main
from httpd import thumbnail
from httpd.config import HttpConfig
from spool.settings import read, size
from tests.service import ROOT

needs_analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)
ENV = "etc/protoscale/protoscale.env"


def install(destdir: Path, *options: str) -> int:
    return main(["install-systemd", "--destdir", str(destdir), *options])


def tree(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Every file: content, mode, and when it was written."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    assert install(tmp_path / "image") == exits.OK
    return tmp_path / "image"


@needs_analyze
def test_systemd_has_nothing_to_say_about_the_units(installed: Path) -> None:
    folder = installed / "usr/local/lib/systemd/system"
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(folder.iterdir())], capture_output=True, text=True
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


@needs_analyze
@pytest.mark.parametrize(
    ("unit", "tenths"),
    [
        ("protoscale.service", 10),
        ("protoscale-httpd.service", 5),
        ("protoscale-models.service", 15),
        ("protoscale-webhooks.service", 15),
    ],
)
def test_the_services_are_shut_in(unit: str, tenths: int, installed: Path) -> None:
    # --threshold compares the exposure, in tenths, and fails above it.
    path = installed / "usr/local/lib/systemd/system" / unit
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={tenths}", str(path)],
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stdout[-400:] + said.stderr


def test_the_graphics_cards_are_allowed() -> None:
    text = (ROOT / "systemd" / "protoscale.service").read_text()
    for kind in ("nvidia", "nvidiactl", "nvidia-frontend", "nvidia-uvm", "nvidia-caps"):
        assert f"\nDeviceAllow=char-{kind} rw\n" in text


def test_the_units_name_the_environment_that_ran_the_command(installed: Path) -> None:
    command = Path(sysconfig.get_path("scripts")) / "protoscale"
    for name, verb in (
        ("protoscale", "run --no-http"),
        ("protoscale-httpd", "serve --no-webhooks"),
        ("protoscale-webhooks", "webhooks"),
        ("protoscale-models", "models pull"),
    ):
        text = (installed / f"usr/local/lib/systemd/system/{name}.service").read_text()
        assert f"\nExecStart={command} {verb}\n" in text
        assert "/opt/protoscale" not in text


def test_installing_again_changes_nothing(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(installed)
    capsys.readouterr()
    assert install(installed) == exits.OK
    assert tree(installed) == before
    told = capsys.readouterr().out
    assert "written  " not in told and told.count("unchanged") == len(before) - 1


def test_an_upgrade_replaces_units_and_keeps_the_settings(installed: Path) -> None:
    unit = installed / "usr/local/lib/systemd/system/protoscale.service"
    unit.write_text("[Service]\nExecStart=/old\n")
    (installed / ENV).write_text("GEOMETRY_DEVICE=cuda:3\n")
    assert install(installed) == exits.OK
    assert "Type=notify" in unit.read_text()
    assert (installed / ENV).read_text() == "GEOMETRY_DEVICE=cuda:3\n"


def test_uninstalling_leaves_the_settings_alone(installed: Path) -> None:
    assert install(installed, "--uninstall") == exits.OK
    assert list(tree(installed)) == [ENV]
    assert install(installed, "--uninstall") == exits.OK


def test_prefix_and_destdir_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFIX", "/usr")
    monkeypatch.setenv("DESTDIR", str(tmp_path))
    assert main(["install-systemd"]) == exits.OK
    placed = set(tree(tmp_path))
    assert {f"usr/lib/systemd/system/{unit}" for unit in units.UNITS} <= placed
    assert {"usr/lib/sysusers.d/protoscale.conf", "usr/lib/tmpfiles.d/protoscale.conf", ENV} <= placed
    assert (tmp_path / ENV).stat().st_mode & 0o777 == 0o640


def test_a_relative_prefix_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install-systemd", "--prefix", "usr"]) == exits.CONFIG
    assert "not an absolute path" in capsys.readouterr().err


def test_the_command_on_the_path_acts_for_the_service(installed: Path) -> None:
    command = installed / "usr/local/bin/protoscale"
    assert command.stat().st_mode & 0o777 == 0o755
    assert (
        f'\nexec {Path(sysconfig.get_path("scripts")) / "protoscale"} --service "$@"\n' in command.read_text()
    )


def test_somebody_s_own_command_on_the_path_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "usr/local/bin/protoscale"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("#!/bin/sh\necho mine\n")
    assert install(tmp_path) == exits.OK
    assert "protoscale --service models pull" in capsys.readouterr().out
    assert install(tmp_path, "--uninstall") == exits.OK
    assert theirs.read_text() == "#!/bin/sh\necho mine\n"


def test_the_command_gives_what_the_units_give() -> None:
    """Their Environment=, and the variables of their StateDirectory= and CacheDirectory=."""
    text = (ROOT / "systemd" / "protoscale.service").read_text()
    given = dict(
        word.split("=", 1)
        for line in text.splitlines()
        if line.startswith("Environment=")
        for word in line.removeprefix("Environment=").split()
    )
    for kind, folder in (("State", "/var/lib"), ("Cache", "/var/cache")):
        (name,) = re.findall(rf"^{kind}Directory=(.+)$", text, re.MULTILINE)
        given[f"{kind.upper()}_DIRECTORY"] = f"{folder}/{name}"
    assert given == stead.ENVIRONMENT
    assert f"User={stead.USER}\n" in text and f"EnvironmentFile=-{units.ENV_FILE}\n" in text


def test_an_installation_out_of_the_services_reach_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # pytest's tmp_path lies below /tmp, which PrivateTmp= hides.
    for name in ("bin", "lib"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin" / "protoscale").touch()
    monkeypatch.setattr(units, "program", lambda: Path("/home/ada/venv/bin/protoscale"))
    assert main(["install-systemd"]) == exits.CONFIG
    told = capsys.readouterr().err
    assert "/home/ada/venv/bin/protoscale, lies below /home" in told and "/usr/bin/python3 -m venv" in told


def test_what_the_service_cannot_reach(tmp_path: Path) -> None:
    assert units.unreachable(Path("/usr/bin/env")) is None
    assert "PrivateTmp" not in (units.unreachable(Path("/root/x")) or "")
    for path in ("/root/venv/bin/protoscale", "/home/ada/x", "/tmp/x", "/var/tmp/x"):
        assert "hide" in (units.unreachable(Path(path)) or ""), path


def test_every_unit_file_goes_into_the_wheel() -> None:
    listed = (ROOT / "setup.cfg").read_text().split("[options.data_files]")[1]
    for path in (ROOT / "systemd").iterdir():
        assert f"systemd/{path.name}" in listed, path


def test_the_http_server_may_have_the_memory_that_its_children_may_want() -> None:
    unit = (ROOT / "systemd" / "protoscale-httpd.service").read_text()
    config = read(HttpConfig, {"PROTOSCALE_SPOOL": "/nowhere"})
    decoder = thumbnail.FLOOR + thumbnail.PER_PIXEL * config.max_pixels
    found = re.search(r"^MemoryMax=(.+)$", unit, re.MULTILINE)
    assert found and size(found[1]) > 2 * config.export_memory + 2 * decoder + (1 << 30)
