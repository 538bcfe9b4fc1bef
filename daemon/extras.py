"""The parts that are installed on demand (the extras of setup.cfg), as messages tell how."""

from __future__ import annotations

import sys
from pathlib import Path


def installed(extra: str) -> str:
    """What installs `extra` into this environment. Never by name: on PyPI that would be a stranger's package."""
    pip = Path(sys.executable).parent / "pip"
    return f"`{pip} install '.[{extra}]'` in ProtoScale's checkout"
