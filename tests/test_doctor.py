"""doctor: plain words about what works, what does not, and what to do."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from daemon import doctor, server
from daemon.cli.__main__ import main
from daemon.finding import Finding
from httpd.config import HttpConfig
from spool import filesystem
from spool.settings import SpoolSettings
from tests.http.live import answers
from tests.service import ROOT, free_port
from tests.support import until


def examined(environ: dict[str, str]) -> dict[str, Finding]:
    return {finding.name: finding for finding in doctor.examine(environ)}


@pytest.fixture
def environ(tmp_path: Path, u2net_home: Path) -> dict[str, str]:
    return {
        "PROTOSCALE_SPOOL": str(tmp_path / "spool"),
        "U2NET_HOME": str(u2net_home),
        "PROTOSCALE_RESERVE": "1M",
        "REMBG_MODEL": "u2netp",
        "PROTOSCALE_PORT": str(free_port()),
    }


def test_a_good_machine(environ: dict[str, str]) -> None:
    found = examined(environ)
    assert {finding.verdict for finding in found.values()} <= {"ok", "warn"}
    assert found["background"].verdict == "ok"
    assert "silhouette" in found["engine"].words
    assert found["service"].verdict == "warn" and "protoscale run" in found["service"].advice
    assert "geometry-cpu" in found["devices"].words
    assert environ["PROTOSCALE_PORT"] in found["http server"].words


@pytest.mark.parametrize(
    ("variable", "value", "name", "verdict", "word"),
    [
        ("PROTOSCALE_RESERVE", "900000T", "disk", "broken", "refused"),
        ("PROTOSCALE_SPOOL", "/proc/nowhere", "spool", "broken", "PROTOSCALE_SPOOL"),
        ("GEOMETRY_DEVICE", "cuda:9", "devices", "broken", "cuda:9"),
        ("U2NET_HOME", "/nowhere", "background", "broken", "/nowhere"),
        ("REMBG_MODEL", "u2net", "background", "warn", "u2netp is used"),
        ("PROTOSCALE_ATEMPTS", "3", "settings", "warn", "nothing reads it"),
        ("PROTOSCALE_ATTEMPTS", "x", "settings", "broken", "PROTOSCALE_ATTEMPTS"),
        ("PROTOSCALE_PORT", "abc", "http server", "broken", "1 to 65535"),
        ("PROTOSCALE_CALLBACK_URL", "x", "http server", "broken", "PROTOSCALE_CALLBACK_HOSTS"),
        ("PROTOSCALE_HOST", "192.0.2.1", "http server", "broken", "PROTOSCALE_HOST"),
        ("PROTOSCALE_HOST", "0.0.0.0", "http server", "broken", "protoscale keys create"),
    ],
)
def test_what_is_wrong_is_told(
    environ: dict[str, str], variable: str, value: str, name: str, verdict: str, word: str
) -> None:
    finding = examined({**environ, variable: value})[name]
    assert finding.verdict == verdict
    assert word in finding.words
    assert finding.advice


def test_a_port_that_a_stranger_has_is_broken_where_the_server_is_wanted(environ: dict[str, str]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as stranger:
        thread = threading.Thread(target=stranger.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        environ = {**environ, "PROTOSCALE_PORT": str(stranger.server_port)}
        finding = examined(environ)["http server"]
        unwanted = examined({**environ, "PROTOSCALE_HTTP": "false"})["http server"]
        stranger.shutdown()
        thread.join()
    assert (finding.verdict, unwanted.verdict) == ("broken", "warn")
    assert "PROTOSCALE_PORT" in finding.words and finding.words.count("in use") == 1


def test_a_port_that_our_own_server_has_is_as_it_should_be(environ: dict[str, str]) -> None:
    process = subprocess.Popen([sys.executable, "-m", "httpd"], cwd=ROOT, env=environ)
    try:
        until(lambda: answers(int(environ["PROTOSCALE_PORT"])), 60)
        finding = examined(environ)["http server"]
    finally:
        process.terminate()
        process.wait(60)
    assert (finding.verdict, finding.words) == ("ok", f"answers on 127.0.0.1:{environ['PROTOSCALE_PORT']}")


def test_a_typing_error_is_guessed(environ: dict[str, str]) -> None:
    finding = examined({**environ, "PROTOSCALE_ATEMPTS": "3"})["settings"]
    assert finding.advice == "did you mean PROTOSCALE_ATTEMPTS?"


def test_a_damaged_model_is_broken(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "u2netp.onnx").write_bytes(b"half a model")
    finding = examined({**environ, "U2NET_HOME": str(tmp_path)})["background"]
    assert (finding.verdict, "damaged" in finding.words) == ("broken", True)


def test_the_servers_variables_are_known_by_name() -> None:
    own = {str(item.metadata["env"]) for item in fields(HttpConfig)}
    shared = {str(item.metadata["env"]) for item in fields(SpoolSettings)}
    assert {name for name in own - shared if name.startswith("PROTOSCALE_")} == set(server.VARIABLES)


def test_which_file_system_a_path_is_on() -> None:
    table = (
        "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "22 21 0:5 / /srv/my\\040photos rw - nfs4 server:/x rw\n"
        "23 21 0:6 / /srv rw - xfs /dev/sdb1 rw\n"
    )
    assert filesystem.mounted(Path("/home/x"), table) == ("ext4", "/")
    assert filesystem.mounted(Path("/srv/spool"), table) == ("xfs", "/srv")
    assert filesystem.mounted(Path("/srv/my photos/spool"), table) == ("nfs4", "/srv/my photos")


def test_the_exit_code_says_whether_something_is_broken(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor", "--json"]) == 0
    assert {row["verdict"] for row in json.loads(capsys.readouterr().out)} <= {"ok", "warn"}
    monkeypatch.setenv("U2NET_HOME", "/nowhere")
    assert main(["doctor"]) == 1
    assert "BROKEN background" in capsys.readouterr().out


def test_the_gpu_is_tried_only_where_all_else_is_well(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("daemon.devices.present", lambda: ["cpu"])
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor", "--gpu"]) == 0
    assert "no NVIDIA GPU here" in capsys.readouterr().out
    monkeypatch.setenv("U2NET_HOME", "/nowhere")
    assert main(["doctor", "--gpu"]) == 1
    assert "not tried" in capsys.readouterr().out
