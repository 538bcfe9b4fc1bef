"""Which clusters are joined and which refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from daemon import doctor
from spool.settings import WrongSetting
from tests.cluster.machines import ray_missing
from tests.service import ROOT, free_port
from tests.support import config

if (why := ray_missing()) is not None:
    pytest.skip(why, allow_module_level=True)

from daemon.cluster.connection import NoCluster, guard, join
from daemon.finding import BROKEN, OK

OPEN = ["10.0.0.1", "192.168.1.9", "172.16.0.2", "127.0.0.1", "100.64.3.2", "fd12::1", "169.254.1.1"]


@pytest.fixture(autouse=True)
def nothing_guards(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_USE_TLS", "RAY_AUTH_MODE", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def test_private_networks_are_fine() -> None:
    guard(OPEN, False)


@pytest.mark.parametrize("host", ["8.8.8.8", "2600::1", "172.32.0.1", "100.128.0.1"])
def test_a_public_address_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoCluster, match="PROTOSCALE_CLUSTER_PUBLIC"):
        guard([*OPEN, host], False)
    guard([host], True)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    guard([host], False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USE_TLS", "1")
    guard([host], False)


def test_a_public_head_is_not_even_asked(tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match="public"):
        join(config(tmp_path, CLUSTER="8.8.8.8:6379"))


def test_a_ray_client_address_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://10.0.0.1:10001")
    with pytest.raises(NoCluster, match="HOST:PORT"):
        join(config(tmp_path, CLUSTER="ray"))


def test_where_nobody_answers_it_says_what_to_do(tmp_path: Path) -> None:
    """In a process of its own: Ray keeps what it was told first."""
    code = (
        "from pathlib import Path\n"
        "from daemon.cluster.connection import NoCluster, join\n"
        "from tests.support import config\n"
        f"try: join(config(Path({str(tmp_path)!r}), CLUSTER='127.0.0.1:{free_port()}'))\n"
        "except NoCluster as error: print(error)\n"
    )
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "RAY_raylet_start_wait_time_s": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=environ, cwd=ROOT, capture_output=True, text=True)
    assert "ray start --head" in run.stdout, run.stdout + run.stderr


@pytest.mark.parametrize("value", ["here", "ray://10.0.0.1:10001", "10.0.0.1", ":6379", "10.0.0.1:port"])
def test_an_address_is_host_and_port(tmp_path: Path, value: str) -> None:
    with pytest.raises(WrongSetting, match="HOST:PORT"):
        config(tmp_path, CLUSTER=value)


def test_doctor_looks_whether_somebody_is_there(tmp_path: Path) -> None:
    assert doctor.cluster(config(tmp_path)) == []
    assert doctor.cluster(config(tmp_path, CLUSTER="ray"))[0].verdict == OK
    (found,) = doctor.cluster(config(tmp_path, CLUSTER=f"127.0.0.1:{free_port()}"))
    assert found.verdict == BROKEN and "nothing answers" in found.words
