"""The Khronos glTF validator, run by node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).parents[1] / "build" / "gltf-validator" / "node_modules"
SCRIPT = """
const fs = require('fs');
require('gltf-validator').validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])))
  .then(report => console.log(JSON.stringify(report)));
"""


def report(path: Path) -> dict[str, Any]:
    """What the validator says of a GLB. Skips where node or the validator is not there."""
    node = shutil.which("node")
    if node is None or not (HOME / "gltf-validator").is_dir():
        pytest.skip("the Khronos glTF validator needs node; `make test` fetches it where npm is there")
    ran = subprocess.run(
        [node, "-e", SCRIPT, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "NODE_PATH": str(HOME)},
    )
    value: dict[str, Any] = json.loads(ran.stdout)
    return value


def assert_valid(path: Path) -> dict[str, Any]:
    """Fail where the validator finds an error or a warning; returns what it knows of the asset."""
    told = report(path)
    found = [f"{message['code']}: {message['message']}" for message in told["issues"]["messages"]]
    assert (told["issues"]["numErrors"], told["issues"]["numWarnings"]) == (0, 0), found
    info: dict[str, Any] = told["info"]
    return info
