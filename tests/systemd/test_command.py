"""`sudo protoscale ...` beside the service: the service's settings, spool, models and user."""

from __future__ import annotations

import json

from spool import keys
from tests.support import picture, until
from tests.systemd.machine import COMMAND, INSIDE, UNDER_SYSTEMD, Machine
from tests.systemd.settings import EXPECTED, ODD

pytestmark = UNDER_SYSTEMD
SETTINGS = "etc/protoscale/protoscale.env"
PROTOSCALE = "/usr/local/bin/protoscale"
AS_ADA = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--")


def test_root_finds_the_service_s_command_on_the_path(machine: Machine) -> None:
    assert machine.run("sh", "-c", "command -v protoscale").stdout.strip() == PROTOSCALE
    assert "spool /var/lib/protoscale/spool" in machine.run("protoscale", "status").stdout


def test_a_key_made_by_it_holds_for_the_service(machine: Machine) -> None:
    machine.run("protoscale", "keys", "create", "web", "--role", "read")
    assert [key.name for key in keys.listing(machine.spool.root)] == ["web"]
    owner = machine.run("stat", "--format=%U", "/var/lib/protoscale/spool/keys").stdout.strip()
    assert owner == "protoscale"
    machine.run("protoscale", "keys", "revoke", "web")


def test_the_service_makes_a_model_of_a_photo_that_only_root_may_read(machine: Machine) -> None:
    photo = machine.root / "root" / "cup.png"
    photo.write_bytes(picture())
    photo.chmod(0o600)
    out = ("--quality", "draft", "--out", "/root/models")
    told = machine.run("protoscale", "submit", "/root/cup.png", *out)
    assert told.stdout.strip() == "/root/models/cup/model.glb"
    assert (machine.root / "root/models/cup/model.glb").read_bytes()[:4] == b"glTF"
    assert machine.run("find", "/var/lib/protoscale/spool", "-user", "root").stdout == ""


def test_doctor_and_the_models_are_the_service_s(machine: Machine) -> None:
    found = {row["name"]: row for row in json.loads(machine.run("protoscale", "doctor", "--json").stdout)}
    assert found["spool"]["words"] == "/var/lib/protoscale/spool"
    assert found["service"]["verdict"] == "ok"
    assert str(INSIDE["models"]) in found["background"]["words"]  # U2NET_HOME of the file of settings
    rows = json.loads(machine.run("protoscale", "models", "ls", "--json").stdout)
    assert {row["path"] for row in rows if row["name"] == "hunyuan"} <= {"/var/lib/protoscale/hunyuan"}
    told = machine.run("protoscale", "models", "ls").stdout
    assert "/var/lib/protoscale/hunyuan" in told
    # Refused at its first question, after the folder was made: by the service's user, where the service looks.
    machine.run("protoscale", "models", "pull", "hunyuan", check=False)
    assert machine.run("find", "/var/lib/protoscale", "-user", "root").stdout == ""


def test_doctor_tells_what_the_units_hide(machine: Machine) -> None:
    settings = machine.root / SETTINGS
    before = settings.read_text()
    settings.write_text(before + "U2NET_HOME=/home/ada/models\n")
    told = machine.run("protoscale", "doctor", check=False).stdout
    settings.write_text(before)
    assert "BROKEN sandbox: U2NET_HOME: /home/ada/models lies below /home" in told
    assert "`sudo protoscale models pull`" in told


def test_others_are_told_to_say_sudo(machine: Machine) -> None:
    told = machine.run(*AS_ADA, PROTOSCALE, "status", check=False)
    assert told.returncode != 0
    assert "put `sudo` before it" in told.stderr and COMMAND in told.stderr


def test_the_settings_are_those_that_systemd_reads(machine: Machine) -> None:
    """One file for both: what the service is given, and what the command makes of it."""
    (machine.root / "etc/protoscale/odd.env").write_text(ODD)
    (machine.root / "etc/systemd/system/odd.service").write_text(
        "[Service]\nType=oneshot\nEnvironmentFile=/etc/protoscale/odd.env\n"
        "ExecStart=/bin/sh -c 'env -0 >/run/odd'\n"
    )
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "odd")
    given = dict(
        line.split("=", 1) for line in (machine.root / "run/odd").read_text().split("\0") if "=" in line
    )
    assert {name: value for name, value in given.items() if name.startswith("ODD_")} == EXPECTED


def test_what_is_wrong_names_the_command_of_the_service(machine: Machine) -> None:
    machine.run("systemctl", "stop", "protoscale.service")
    told = machine.run("protoscale", "status", check=False).stderr
    assert "start `sudo systemctl enable --now protoscale.target`" in told
    assert machine.call("/health")["notes"] == [
        "no supervisor works on this spool; start `sudo systemctl enable --now protoscale.target`"
    ]
    machine.run("systemctl", "start", "protoscale.target")
    until(machine.works, 120)
