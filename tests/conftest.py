"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon import models


@pytest.fixture(scope="session")
def u2net_home() -> Path:
    """A folder with the real `u2netp`, fetched once and kept: PROTOSCALE_TEST_U2NET_HOME, else build/u2net."""
    named = os.environ.get("PROTOSCALE_TEST_U2NET_HOME")
    home = Path(named) if named else Path(__file__).parents[1] / "build" / "u2net"
    models.pull("u2netp", home, print)
    return home
