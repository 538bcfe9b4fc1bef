"""What several tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from daemon import models
from daemon.config import Config
from spool import policy
from spool.spool import Spool
from tests.client import client_of
from tests.ear import Ear
from tests.support import config


@pytest.fixture(scope="session")
def u2net_home() -> Path:
    """A folder with the real `u2netp`, fetched once and kept: PROTOSCALE_TEST_U2NET_HOME, else build/u2net."""
    named = os.environ.get("PROTOSCALE_TEST_U2NET_HOME")
    home = Path(named) if named else Path(__file__).parents[1] / "build" / "u2net"
    models.pull("u2netp", home, print)
    return home


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool of the test's own, in which a worker `w` may claim."""
    made = Spool.open(tmp_path / "spool")
    made.enlist("w")
    return made


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """A client of a server of that spool."""
    return client_of(tmp_path / "spool")


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    """The settings of a service of that spool."""
    return config(tmp_path / "spool")


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    """Where systemd would listen; it does."""
    ear = Ear(tmp_path / "notify")
    ear.open()
    yield ear
    ear.close()


@pytest.fixture
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs rest, and a worker wait for the disk, for instants only."""
    monkeypatch.setattr(policy, "FIRST_REST", 0.05)
    monkeypatch.setattr("daemon.outcome.DISK_PAUSE", 0.05)
    monkeypatch.setattr("daemon.outcome.LONGEST_DISK_PAUSE", 0.1)
