"""three.js for the page: the right one or none, and in the wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from httpd import viewer
from tests.service import ROOT


def test_what_is_there_is_what_was_pinned_and_leads_nowhere_else() -> None:
    assert viewer.present(), "make setup fetches it"
    assert not viewer.fetch()
    names = {Path(name).name for name in viewer.FILES}
    assert names | {viewer.STAMP} == {path.name for path in viewer.FOLDER.iterdir()}
    for path in viewer.FOLDER.glob("*.js"):
        code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        for target in re.findall(r"^(?:import|export|\}).*?from ?['\"]([^'\"]+)['\"]", code, re.MULTILINE):
            assert target.startswith("./") and (viewer.FOLDER / target).exists(), (path, target)


def test_imports_are_led_to_files_beside() -> None:
    module = "import {\n\tMesh\n} from 'three';\nimport { clone } from '../utils/SkeletonUtils.js';\n"
    module += "let a = 'three';\n"
    led = viewer.side_by_side(module)
    assert "} from './three.module.min.js';" in led
    assert "import { clone } from './SkeletonUtils.js';" in led
    assert "let a = 'three';" in led


def test_a_wrong_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "three" / "-" / f"three-{viewer.VERSION}.tgz"
    package.parent.mkdir(parents=True)
    package.write_bytes(b"something else")
    with pytest.raises(viewer.NotFetched, match="wrong content"):
        viewer.fetch(tmp_path / "out", package)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", tmp_path.as_uri())
    with pytest.raises(viewer.NotFetched, match="wrong content"):
        viewer.fetch(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_a_network_it_says_what_to_do(tmp_path: Path) -> None:
    copy = tmp_path / "httpd"
    copy.mkdir()
    for name in ("__init__.py", "viewer.py"):
        shutil.copy(ROOT / "httpd" / name, copy)
    environ = {"NPM_CONFIG_REGISTRY": "http://127.0.0.1:1"}
    for options, code in ((["--optional"], 0), ([], 1)):
        command = [sys.executable, "-m", "httpd.viewer", *options]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == code
        assert "127.0.0.1:1" in done.stderr and "python -m httpd.viewer" in done.stderr
    assert not (copy / "page").exists()


def test_a_wheel_carries_the_page_and_its_viewer(tmp_path: Path) -> None:
    source = tmp_path / "source"
    skip = shutil.ignore_patterns("__pycache__", "three")
    for folder in ("daemon", "httpd", "spool"):
        shutil.copytree(ROOT / folder, source / folder, ignore=skip)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", "out", "./source"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=600)
    (wheel,) = (tmp_path / "out").glob("protoscale-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {f"httpd/page/three/{Path(name).name}" for name in viewer.FILES} | {
        "httpd/page/three/VERSION",
        *(f"httpd/page/{path.name}" for path in (ROOT / "httpd" / "page").iterdir() if path.is_file()),
    }
    assert wanted <= names
