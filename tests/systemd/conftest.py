"""One box for each file of tests that take one.

They run in their order, and each leaves the service running. ProtoScale itself is installed into the box with pip,
from a wheel, and its dependencies are borrowed from the environment that runs the tests.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import ROOT
from tests.support import until
from tests.systemd.machine import INSIDE, WHY_NOT, Machine


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of this very source. Built from a copy: building writes into the source."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("daemon", "spool", "httpd", "systemd"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(folder / "built"), str(source)], check=True)
    return folder / "built"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, wheel: Path, u2net_home: Path) -> Iterator[Machine]:
    assert WHY_NOT is None, f"PROTOSCALE_TEST_SYSTEMD=required, but {WHY_NOT}"
    machine = Machine(
        tmp_path_factory.mktemp("systemd") / "box",
        {
            Path(sys.base_prefix): INSIDE["python"],
            Path(sysconfig.get_path("purelib")): INSIDE["dependencies"],
            u2net_home: INSIDE["models"],
            wheel: INSIDE["wheel"],
        },
    )
    try:
        machine.boot()
        machine.install()
        machine.run("systemctl", "enable", "--now", "protoscale.target")
        until(machine.works, 120)
        yield machine
    finally:
        machine.halt()
